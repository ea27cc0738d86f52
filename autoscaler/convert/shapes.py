"""What a value must be, by its key, wherever it stands in the objects that are read.

These keys have one type in all of these kinds, which the API server demands too. So readers can rely on it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from autoscaler.convert.source import Source
from autoscaler.documents.document import KeyPath


class Shape(NamedTuple):
    """One type."""

    legal: str
    fits: Callable[[Any], bool]
    item: "Shape | None" = None
    """The type of each item, if it is a list."""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


_MAPPING = Shape("must be a mapping", lambda value: isinstance(value, dict))
_TEXT = Shape("must be a text: put it in quotes", lambda value: isinstance(value, str))
_MAPPINGS = Shape("must be a list of mappings", _is_list, _MAPPING)
_TEXTS = Shape("must be a list of texts", _is_list, _TEXT)
_WHOLE = Shape("must be a whole number", _is_whole)
_PORT = Shape("must be a port's number or name", lambda value: _is_whole(value) or isinstance(value, str))
_SCALAR = Shape("must be a number or a text", lambda value: not isinstance(value, dict | list))

_KEYS = {
    **dict.fromkeys(
        (
            *("metadata", "spec", "template", "labels", "annotations", "matchLabels", "scaleTargetRef", "http"),
            *("backend", "selector", "defaultBackend", "httpGet", "tcpSocket", "exec", "grpc", "advanced", "behavior"),
            *("horizontalPodAutoscalerConfig", "scaleUp", "scaleDown", "fallback", "scalingModifiers", "timeouts"),
            *("scalingMetric", "concurrency", "requestRate", "coldStart", "resources", "limits", "requests"),
            *("readinessProbe", "livenessProbe", "startupProbe", "securityContext", "nodeSelector"),
            "authenticationRef",
        ),
        _MAPPING,
    ),
    **dict.fromkeys(
        (
            *("containers", "initContainers", "ports", "env", "rules", "triggers", "ownerReferences", "backendRefs"),
            *("volumes", "volumeMounts", "traffic", "policies", "staticRoutes", "secretTargetRef", "paths"),
            *("tolerations", "imagePullSecrets", "envFrom"),
        ),
        _MAPPINGS,
    ),
    **dict.fromkeys(("hosts", "hostnames", "args", "command", "pathPrefixes"), _TEXTS),
    **dict.fromkeys(("name", "namespace", "kind", "apiVersion", "image", "metricType", "host", "type"), _TEXT),
    **dict.fromkeys(("containerPort", "terminationGracePeriodSeconds", "maxReplicas", "minReplicas"), _WHOLE),
    "targetPort": _PORT,
    **dict.fromkeys(("query", "threshold", "activationThreshold", "targetValue"), _SCALAR),
}
_IN_PLACE: dict[KeyPath, Shape] = {("fallback", "behavior"): _TEXT}
"""Keys that have another type below one key."""
_OF_A_USER = {"annotations", "labels", "matchLabels", "nodeSelector", "limits", "requests", "data", "stringData"}
"""Keys below these are names that people choose."""
_WHERE = {
    *("Service", "Deployment", "StatefulSet", "ReplicaSet", "Ingress", "HTTPRoute", "ScaledObject", "HTTPScaledObject"),
    *("InterceptorRoute", "HorizontalPodAutoscaler", "TriggerAuthentication", "LeaderWorkerSet", "Rollout"),
}


def misshapen(source: Source) -> Iterator[str]:
    """Give one problem for each value of a document whose type is wrong."""
    if source.kind in _WHERE:
        yield from _below(source, (), source.document.value)


def _below(source: Source, path: KeyPath, value: Any) -> Iterator[str]:
    for key, each in _inner(value):
        inner = (*path, key)
        wrong = list(_wrong(source, inner, each, _shape_of(inner)))
        yield from wrong
        if not wrong and key not in _OF_A_USER:
            yield from _below(source, inner, each)


def _shape_of(path: KeyPath) -> Shape | None:
    """Give the type that the value at a path must have; items of a list have none of their own."""
    key = path[-1]
    return _IN_PLACE.get(path[-2:]) or _KEYS.get(key) if isinstance(key, str) else None


def _inner(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _wrong(source: Source, path: KeyPath, value: Any, shape: Shape | None) -> Iterator[str]:
    if shape is None or value is None:
        return
    if not shape.fits(value):
        yield source.problem(path, shape.legal)
    elif shape.item is not None:
        wrong = (number for number, each in enumerate(value) if not shape.item.fits(each))
        yield from (source.problem((*path, number), shape.item.legal) for number in wrong)
