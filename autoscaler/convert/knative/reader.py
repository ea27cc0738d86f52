"""Reads a Knative Service, with its DomainMappings and the ConfigMap `config-autoscaler`, if they stand beside it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.knative.hand_over import hand_over, hosts_inside
from autoscaler.convert.knative.pods import AFFINITY, POD, TEMPLATE, VISIBILITY, deployment, service
from autoscaler.convert.knative.pools import choose_nodes
from autoscaler.convert.knative.scaling import ANNOTATIONS_PATH, scale
from autoscaler.convert.source import Source, Sources
from autoscaler.convert.workload import lengthen_grace
from autoscaler.documents.document import DocumentError, KeyPath
from autoscaler.documents.fields import format_duration

GROUP = "serving.knative.dev"
_DEFAULT_TIMEOUT_S = 300
_LONGEST_S = 24 * 3600
_CLUSTER_LOCAL = "cluster-local"
_GUESSED_DOMAIN = "example.com"


def read(source: Source, sources: Sources, options: Options) -> Draft:
    """Make a draft of a Knative Service; raises DocumentError with all that hinders it."""
    if source.version != "v1":
        raise DocumentError(
            [source.problem(("apiVersion",), f"must be {GROUP}/v1, as kubectl get ksvc -o yaml has it")]
        )
    draft = Draft(source, source.name, _namespace(source))
    draft.set("scaleTargetRef", {"name": draft.name})
    problems = []
    for step in (scale, _serve):
        try:
            step(draft, sources, options)
        except DocumentError as error:
            problems += error.problems
    if problems:
        raise DocumentError(problems)
    draft.hand_over = list(hand_over(draft))
    return draft


def _serve(draft: Draft, sources: Sources, options: Options) -> None:
    """Make the pods, and set what the gateway does."""
    draft.set("traffic", {"hosts": _hosts(draft, sources)})
    made = deployment(draft)
    draft.objects = [made, service(draft, draft.spec["traffic"]["port"])]
    _timeouts(draft)
    _affinity(draft)
    _shares(draft)
    choose_nodes(draft, made, options)
    lengthen_grace(draft, made, draft.source)


def _namespace(source: Source) -> str | None:
    """Give the namespace; one that is the number of a platform's project is left out."""
    if source.namespace is not None and source.namespace.isdecimal():
        why = "the number of a platform's project, and no namespace here: choose one by kubectl apply --namespace"
        source.decide(("metadata", "namespace"), why)
        return None
    return source.namespace


def _hosts(draft: Draft, sources: Sources) -> list[str]:
    return [*_own_hosts(draft), *_mapped_hosts(draft, sources)]


def _own_hosts(draft: Draft) -> list[str]:
    """Give the hosts that Knative gave the service; without its status the domain is a guess."""
    source, name, namespace = draft.source, draft.name, draft.namespace or "default"
    label: KeyPath = ("metadata", "labels", VISIBILITY)
    inside = hosts_inside(draft)
    if source.get(*label) == _CLUSTER_LOCAL:
        source.mapped(label, f"to the hosts inside of the cluster: {', '.join(inside)}")
        return inside
    if source.get(*label) is not None:
        source.ineffective(label, f"only {_CLUSTER_LOCAL} has a meaning")
    host = urlsplit(source.text("status", "url")).hostname
    if host:
        source.mapped(("status", "url"), f"to the host {host}")
        return [host]
    guess = f"{name}.{namespace}.{_GUESSED_DOMAIN}"
    why = f"the domain of the host {guess} is a guess: put the one in of kubectl get ksvc {name}"
    source.note((), Effect.CHECK, why)
    return [guess]


def _mapped_hosts(draft: Draft, sources: Sources) -> Iterator[str]:
    for mapping in sources.find(GROUP, "DomainMapping", draft.source.namespace):
        if mapping.get("spec", "ref", "kind") != "Service" or mapping.get("spec", "ref", "name") != draft.name:
            continue
        draft.use(mapping)
        mapping.mapped(("metadata", "name"), f"to the host {mapping.name}")
        mapping.mapped(("spec", "ref"), f"to the policy of {draft.service}")
        if mapping.get("spec", "tls") is not None:
            mapping.ineffective(("spec", "tls"), "TLS ends in front of the gateway: name the Secret in the route")
        yield mapping.name


def _timeouts(draft: Draft) -> None:
    if draft.source.get(*POD, "timeoutSeconds") is None:
        draft.default("traffic.requestTimeout", format_duration(_DEFAULT_TIMEOUT_S), "Knative's default")
    for key, to, note in (
        ("timeoutSeconds", "requestTimeout", "from the start at a pod; the wait before that is traffic.queue.timeout"),
        ("responseStartTimeoutSeconds", "timeouts.responseStart", ""),
        ("idleTimeoutSeconds", "timeouts.streamIdle", "only for streams; another response has requestTimeout"),
    ):
        seconds = draft.source.whole(*POD, key)
        if seconds:
            draft.map(
                draft.source, (*POD, key), f"traffic.{to}", format_duration(min(max(1, seconds), _LONGEST_S)), note
            )
        elif seconds == 0:
            draft.source.ineffective((*POD, key), f"0 is no limit; traffic.{to} has its default")


def _affinity(draft: Draft) -> None:
    """Map the cookie that leads a client back to its pod; its annotations stand on the Service or in its template."""
    source = draft.source
    places: tuple[KeyPath, ...] = (("metadata", "annotations"), ANNOTATIONS_PATH)
    for path in [(*place, key) for place in places for key in source.mapping(*place) if key.startswith(AFFINITY)]:
        text = source.text(*path)
        match str(path[-1]).removeprefix(AFFINITY):
            case "affinity" if text == "cookie":
                draft.spec["traffic"].setdefault("affinity", {})
                source.mapped(path, "to the policy's spec.traffic.affinity")
            case "cookie-name":
                draft.map(source, path, "traffic.affinity.cookie.name", text)
            case "cookie-timeout" if text.isdecimal():
                draft.map(source, path, "traffic.affinity.cookie.timeout", format_duration(int(text)))
            case _:
                source.ineffective(path, "known are affinity: cookie, cookie-name, and cookie-timeout in seconds")


def _shares(draft: Draft) -> None:
    """All requests go to the one Deployment, whatever share a revision had."""
    source = draft.source
    newest = source.text(*TEMPLATE, "metadata", "name")
    for number, _ in enumerate(source.items("spec", "traffic")):
        path: KeyPath = ("spec", "traffic", number)
        percent, revision = source.whole(*path, "percent") or 0, source.text(*path, "revisionName")
        is_newest = source.get(*path, "latestRevision") is True or revision in {"", newest}
        if percent and not is_newest:
            source.decide(
                path,
                f"{percent} % of the requests go to {revision}, whose template is not in the file. "
                f"The template of {newest or 'the latest revision'} is converted: all requests would go to it",
            )
        else:
            source.mapped(path, "to the one Deployment, which gets all requests")
        if tag := source.text(*path, "tag"):
            source.ineffective((*path, "tag"), f"the host of the tag, {tag}-{draft.name}, has no equal and vanishes")
