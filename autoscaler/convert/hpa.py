"""Reads a HorizontalPodAutoscaler, of any version of its API."""

from collections.abc import Mapping
from typing import Any

from autoscaler.convert.behavior import map_behavior
from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.hand_over import hand_over, within
from autoscaler.convert.hpa_metrics import json_at, map_metrics
from autoscaler.convert.measures import server_limit
from autoscaler.convert.served import find_beside, lead_traffic, map_target, write_beside
from autoscaler.convert.source import LAST_APPLIED, Source, Sources
from autoscaler.documents.document import DocumentError, KeyPath
from autoscaler.documents.fields import format_duration
from autoscaler.policy.hpa_keda import DOWNSCALE_STABILIZATION_S

_VERSIONS = ("v2", "v1", "v2beta2", "v2beta1")
_GONE = {"v2beta1": "1.25", "v2beta2": "1.26"}
_MIN: KeyPath = ("spec", "minReplicas")
_MAX: KeyPath = ("spec", "maxReplicas")
_REF: KeyPath = ("spec", "scaleTargetRef")
_BEHAVIOR: KeyPath = ("spec", "behavior")
_ALPHA = "autoscaling.alpha.kubernetes.io/"
_V1_BEHAVIOR: KeyPath = ("metadata", "annotations", f"{_ALPHA}behavior")
_STATUS = (f"{_ALPHA}conditions", f"{_ALPHA}current-metrics")
_OF_ADAPTERS = "metric-config."
_OLD_GROUPS = ("extensions/v1beta1", "apps/v1beta1", "apps/v1beta2")
_SCALED_WITHOUT_MORE_RIGHTS = ("Deployment", "StatefulSet", "ReplicaSet")
_MAKERS = {
    "ScaledObject": "convert the ScaledObject: kubectl get scaledobject {name} -o yaml | autoscaler convert -f -",
    "PodAutoscaler": "convert the Knative Service: kubectl get ksvc -o yaml | autoscaler convert -f -",
}
"""What to do with an HPA that another object made."""


def read(source: Source, sources: Sources, options: Options) -> Draft:
    """Make a draft of an HPA.

    Raises:
        DocumentError: another object made it, or a value cannot be read.
    """
    _refuse(source)
    draft = Draft(source, source.name, source.namespace)
    beside = find_beside(draft, sources, _map_target(draft))
    draft.default("containerConcurrency", 0, "an HPA limits no pod; ours is 1")
    _map_bounds(draft, options)
    limit = server_limit(beside.workload) if beside.workload else None
    counts_requests = map_metrics(draft, limit)
    if not counts_requests and options.algorithm == "same":
        source.added(
            "the default algorithm, concurrency: the same decisions need a metric that counts requests in flight"
        )
    _choose(draft, is_same=counts_requests and options.algorithm == "same")
    _account_for_metadata(draft)
    lead_traffic(draft, sources, beside, options)
    write_beside(draft, beside)
    _hand_over(draft)
    return draft


def _refuse(source: Source) -> None:
    """Refuse an HPA that would be made again, or whose version is unknown."""
    if source.version not in _VERSIONS:
        legal = ", ".join(f"autoscaling/{version}" for version in _VERSIONS)
        raise DocumentError([source.problem(("apiVersion",), f"must be {legal}")])
    kind, _, name = (source.owner or "").partition(" ")
    if kind in _MAKERS:
        what = _MAKERS[kind].format(name=name)
        raise DocumentError([source.problem(("metadata", "name"), f"{kind} {name} makes this HPA: {what}")])
    if source.version in _GONE:
        text = (
            f"Kubernetes {_GONE[source.version]} and newer have no {source.version}; kubectl get hpa -o yaml gives v2"
        )
        source.mapped(("apiVersion",), text)


def _map_target(draft: Draft) -> Mapping[str, Any]:
    """Name what is scaled; give it as it is named today."""
    source = draft.source
    map_target(draft, _REF)
    ref: dict[str, Any] = draft.spec["scaleTargetRef"]
    if ref.get("apiVersion") in _OLD_GROUPS:
        note = f"Kubernetes has no {ref['apiVersion']} since 1.16"
        draft.map(source, (*_REF, "apiVersion"), "scaleTargetRef.apiVersion", "apps/v1", note)
    kind = ref.get("kind", "Deployment")
    if kind not in _SCALED_WITHOUT_MORE_RIGHTS:
        why = (
            f"rights for a {kind} are needed: for the controller list and watch of it, and get and patch of its scale; "
        )
        why += "for the gateway list and watch of it, and get of its scale"
        source.decide((*_REF, "kind"), why)
    return ref


def _map_bounds(draft: Draft, options: Options) -> None:
    source = draft.source
    least, most = source.whole(*_MIN), source.whole(*_MAX)
    if most is None:
        raise DocumentError([source.problem(_MAX, "is required, also by Kubernetes")])
    if least is None:
        draft.default("minReplicas", 1, "the HPA's default; ours is 0")
    else:
        draft.map(source, _MIN, "minReplicas", least)
    draft.limit_replicas(source, _MAX, most, options)


def _choose(draft: Draft, *, is_same: bool) -> None:
    """Choose the algorithm: that of the HPA if its metric is ours, else the default one."""
    source = draft.source
    if is_same:
        draft.set("algorithm.hpa", {})
        if draft.spec["minReplicas"] == 0:
            draft.default("algorithm.hpa.kubernetes", "1.37", "as minReplicas: 0 is legal there by default")
    map_behavior(draft, source, _BEHAVIOR, "hpa" if is_same else "concurrency")
    _map_behavior_of_v1(draft, is_same=is_same)
    if not is_same and "delay" not in draft.spec.get("scaleDown", {}):
        draft.default("scaleDown.delay", format_duration(DOWNSCALE_STABILIZATION_S), "the HPA's default; ours is 0s")


def _map_behavior_of_v1(draft: Draft, *, is_same: bool) -> None:
    """Map the `behavior` that v1 keeps in an annotation, with keys in capitals."""
    behavior = json_at(draft.source, _V1_BEHAVIOR)
    if behavior is None:
        return
    if is_same:
        draft.map(draft.source, _V1_BEHAVIOR, "algorithm.hpa.behavior", _camel(behavior), "word for word")
    else:
        draft.source.ineffective(_V1_BEHAVIOR, "the default algorithm has no such rules; see scaleDown.delay")


def _camel(value: Any) -> Any:
    """Write keys with a small first letter, without those that have no value."""
    if isinstance(value, dict):
        return {f"{key[:1].lower()}{key[1:]}": _camel(each) for key, each in value.items() if each is not None}
    return [_camel(each) for each in value] if isinstance(value, list) else value


def _account_for_metadata(draft: Draft) -> None:
    """Account for the labels and annotations, of which none has a part in a policy."""
    source = draft.source
    if source.get("metadata", "labels") is not None:
        source.note(("metadata", "labels"), Effect.LEFT_OUT, "labels of the HPA; those of a policy are not read")
    for key in source.mapping("metadata", "annotations"):
        path: KeyPath = ("metadata", "annotations", key)
        if key in _STATUS:
            source.note(path, Effect.LEFT_OUT, "status, written by the API server")
        elif key.startswith(_OF_ADAPTERS):
            source.ineffective(path, "a metrics adapter reads it; the gateway counts here")
        elif not key.startswith((_ALPHA, LAST_APPLIED)):
            source.note(path, Effect.LEFT_OUT, "an annotation of the HPA, which Kubernetes does not read")


def _hand_over(draft: Draft) -> None:
    """An HPA cannot be paused."""
    hpa = f"kubectl delete hpa {draft.source.name}{within(draft)}"
    hand_over(draft, "the HPA", stop=f"remove the HPA from GitOps, then {hpa}: the replicas stay as they are")
