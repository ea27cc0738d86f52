"""The metrics of a HorizontalPodAutoscaler: which of them counts requests, and why the others cannot be had here.

The versions of its API write a metric in two forms: v2 and v2beta2 with `metric` and `target`, v2beta1, and the
annotation of v1, with `metricName` and `targetAverageValue`.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from autoscaler.convert.draft import Draft
from autoscaler.convert.measures import Measure, ServerLimit, ask_for_a_target, measure_of_name
from autoscaler.convert.source import Source
from autoscaler.documents.document import DocumentError, KeyPath

METRICS: KeyPath = ("spec", "metrics")
V1_CPU: KeyPath = ("spec", "targetCPUUtilizationPercentage")
V1_METRICS: KeyPath = ("metadata", "annotations", "autoscaling.alpha.kubernetes.io/metrics")
_PARTS = {"Pods": "pods", "External": "external", "Object": "object"}
_RESOURCES = {"Resource": "resource", "ContainerResource": "containerResource"}
_HIGHEST = "The HPA followed the metric that asked for most; here the requests alone decide"
_SUFFIXES = {
    "": 1,
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: 1000**power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": 1024**power for power, suffix in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([-+]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")


class Metric(NamedTuple):
    """One metric."""

    source: Source
    path: KeyPath
    """Of the whole metric; of the annotation for those of v1."""
    target_path: KeyPath
    """Of its target for each replica."""
    title: str
    """What it is, for the beginning of a sentence."""
    measure: Measure | None
    """What it counts; None for a resource of a pod."""
    target: object
    """The quantity for each replica; None if its target is another one."""
    is_of_pods: bool
    """Whether it is measured at each pod."""

    @property
    def is_of_requests(self) -> bool:
        """Whether its target is one of requests in flight for each replica."""
        return self.measure is not None and self.measure.is_of_requests and self.target is not None

    @property
    def why(self) -> str:
        """Say what it counts, or why it has no effect here."""
        if self.measure is None:
            return f"{self.title} is not measured here"
        if self.measure.is_of_requests and self.target is None:
            return f"{self.title} has a target for all replicas together; a target here is one for each replica"
        return f"{self.title} {self.measure.value}"


def metrics_of(source: Source) -> list[Metric]:
    """Give the metrics, also those that v1 keeps in an annotation.

    Raises:
        DocumentError: they cannot be read.
    """
    given = [((*METRICS, number), each) for number, each in enumerate(source.items(*METRICS))]
    of_v1 = json_at(source, V1_METRICS) or []
    if not isinstance(of_v1, list):
        raise DocumentError([source.problem(V1_METRICS, "must be a list of metrics, as Kubernetes writes it")])
    given += [(V1_METRICS, each) for each in of_v1]
    return [_metric(source, path, each) for path, each in given]


def json_at(source: Source, path: KeyPath) -> Any:
    """Read an annotation that has JSON in it; None if it is not there.

    Raises:
        DocumentError: it is no JSON.
    """
    text = source.text(*path)
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise DocumentError([source.problem(path, "must be JSON, as Kubernetes writes it")]) from error


def _metric(source: Source, path: KeyPath, given: object) -> Metric:
    kind = str(given.get("type")) if isinstance(given, dict) else ""
    known = _PARTS | _RESOURCES
    part = given.get(known.get(kind, ""), {}) if isinstance(given, dict) else None
    if kind not in known or not isinstance(part, dict):
        raise DocumentError([source.problem(path, f"must be a metric with a type of {', '.join(known)}, and its part")])
    name = str(_of(part, "metric").get("name") or part.get("metricName") or part.get("name") or "")
    if kind in _RESOURCES:
        container = f" of the container {part['container']}" if "container" in part else " of the pods"
        return Metric(source, path, path, f"{name}{container}", None, None, is_of_pods=True)
    is_average = _of(part, "target").get("averageValue") is not None
    below: KeyPath = (_PARTS[kind], "target", "averageValue") if is_average and path != V1_METRICS else ()
    target = _of(part, "target").get("averageValue", part.get("targetAverageValue", part.get("averageValue")))
    title = f"the metric {name}"
    return Metric(source, path, (*path, *below), title, measure_of_name(name), target, is_of_pods=kind == "Pods")


def _of(part: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = part.get(key)
    return inner if isinstance(inner, dict) else {}


def map_metrics(draft: Draft, limit: ServerLimit | None) -> bool:
    """Map the metric that counts requests, and name the others; tell whether exactly one counts them."""
    source, metrics = draft.source, metrics_of(draft.source)
    of_requests = [metric for metric in metrics if metric.is_of_requests]
    chosen = of_requests[0] if len(of_requests) == 1 else None
    for metric in metrics:
        if metric is chosen:
            _map(draft, metric)
        else:
            source.ineffective(
                metric.path, f"{metric.why}. {_HIGHEST}" if chosen else f"{metric.why}{_in_force(metric)}"
            )
    if source.get(*V1_CPU) is not None:
        source.ineffective(V1_CPU, "cpu of the pods is not measured here")
    if chosen is None:
        ask_for_a_target(source, _place_of_the_number(source, metrics), limit)
    return chosen is not None


def _in_force(metric: Metric) -> str:
    return "; autoscaling/v1 keeps it here, and it was in force too" if metric.path == V1_METRICS else ""


def _map(draft: Draft, metric: Metric) -> None:
    """Let the target of a metric be that of the policy."""
    source = metric.source
    source.mapped(metric.path, f"{metric.why}. No metrics adapter is needed")
    value = number_of(metric.target)
    if value is None:
        raise DocumentError([source.problem(metric.target_path, "must be a quantity such as 10 or 500m")])
    note = "a target and no limit, as there"
    if metric.is_of_pods:
        note += "; all requests are divided by it, where the HPA took the mean of the pods that answered"
    draft.map(source, metric.target_path, "targetPerReplica", value, note)


def number_of(quantity: object) -> float | None:
    """Read a quantity of Kubernetes; None if it is none."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None or isinstance(quantity, bool):
        return None
    number, exponent, suffix = found.groups()
    value = Decimal(number) * (Decimal(10) ** int(exponent) if exponent else _SUFFIXES[suffix or ""])
    return int(value) if value == int(value) else float(value)


def _place_of_the_number(source: Source, metrics: list[Metric]) -> KeyPath:
    """Give the key at which the number for each replica is missed."""
    if len(metrics) == 1:
        return metrics[0].target_path
    return next((path for path in (METRICS, V1_METRICS, V1_CPU) if source.get(*path) is not None), ())
