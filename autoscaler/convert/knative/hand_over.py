"""How to hand a Knative Service over: its Deployments stay Knative's until the end, and the traffic moves."""

from collections.abc import Iterator

from autoscaler.convert.draft import Draft

_GATEWAY = "inflight-gateway"
_ITS_NAMESPACE = "inflight-system"


def hosts_inside(draft: Draft) -> list[str]:
    """Give the names by which callers inside of the cluster reach Knative's Service."""
    name = f"{draft.name}.{draft.namespace or 'default'}"
    return [f"{name}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local")]


def hand_over(draft: Draft) -> Iterator[str]:
    """Give the steps in their order; at each time a number of replicas has one writer."""
    inside = hosts_inside(draft)
    outside = [host for host in draft.hosts if host not in inside]
    yield (
        "kubectl apply the output. The Deployment is a new one, so that only Inflight writes its replicas. Knative "
        "still scales its own and serves. Until its Service is deleted both may need GPUs"
    )
    yield (
        f"send a request through the gateway: kubectl port-forward --namespace {_ITS_NAMESPACE} service/{_GATEWAY} "
        f"8501:80, and curl --fail --header 'Host: {draft.hosts[0]}' http://127.0.0.1:8501/"
    )
    if outside:
        yield (
            f"point DNS, or your Ingress or Gateway, for {', '.join(outside)} at the Service {_GATEWAY} in "
            f"{_ITS_NAMESPACE}, and wait until Knative's pods are at zero"
        )
    yield (
        f"delete {_what(draft)}{_within(draft)}. If both should ever write one Deployment, the policy's condition says "
        "ForeignWriter, and nothing is lowered until nobody else has written for five minutes"
    )
    missing = [host for host in inside if host not in draft.hosts]
    also = f", and add {', '.join(missing)} to spec.traffic.hosts" if missing else ""
    yield (
        f"for callers inside of the cluster, who used Knative's Service {draft.name}: kubectl create service "
        f"externalname {draft.name}{_within(draft)} --external-name {_GATEWAY}.{_ITS_NAMESPACE}.svc.cluster.local{also}"
    )


def _what(draft: Draft) -> str:
    """Name what is to be deleted: what made the Knative Service would make it again."""
    owner = draft.source.owner
    if owner is None:
        return f"Knative's Service: kubectl delete ksvc {draft.name}"
    kind, _, name = owner.partition(" ")
    return f"the {owner}, which made Knative's Service: kubectl delete {kind.lower()} {name}"


def _within(draft: Draft) -> str:
    return f" --namespace {draft.namespace}" if draft.namespace else ""
