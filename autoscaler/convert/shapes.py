"""What a value must be, by its key, wherever it stands in the objects that are read.

Kubernetes' own kinds use a key for one type only, so that readers can rely on it: the API server refuses anything else.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from autoscaler.convert.source import Source
from autoscaler.documents.document import KeyPath


class Shape(NamedTuple):
    """One type."""

    legal: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(each, kind) for each in value)


_MAPPING = Shape("must be a mapping", lambda value: isinstance(value, dict))
_MAPPINGS = Shape("must be a list of mappings", _list_of(dict))
_TEXTS = Shape("must be a list of texts; put numbers in quotes", _list_of(str))
_TEXT = Shape("must be a text; put it in quotes", lambda value: isinstance(value, str))
_WHOLE = Shape("must be a whole number", _is_whole)
_PORT = Shape("must be a port's number or name", lambda value: _is_whole(value) or isinstance(value, str))
_SCALAR = Shape("must be a number or a text", lambda value: not isinstance(value, dict | list))

_KEYS = {
    **dict.fromkeys(
        (
            *("metadata", "spec", "template", "labels", "annotations", "matchLabels", "scaleTargetRef", "http"),
            *("backend", "service", "defaultBackend", "httpGet", "tcpSocket", "exec", "grpc", "advanced", "behavior"),
            *("horizontalPodAutoscalerConfig", "scaleUp", "scaleDown", "fallback", "scalingModifiers", "timeouts"),
            *("scalingMetric", "concurrency", "requestRate", "coldStart", "resources", "limits", "requests"),
            *("readinessProbe", "livenessProbe", "startupProbe", "securityContext", "nodeSelector", "authenticationRef"),
        ),
        _MAPPING,
    ),
    **dict.fromkeys(
        (
            *("containers", "initContainers", "ports", "env", "rules", "triggers", "ownerReferences", "backendRefs"),
            *("volumes", "volumeMounts", "traffic", "policies", "staticRoutes", "secretTargetRef", "headers", "paths"),
            *("metrics", "tolerations", "imagePullSecrets", "envFrom"),
        ),
        _MAPPINGS,
    ),
    **dict.fromkeys(("hosts", "hostnames", "args", "command", "pathPrefixes"), _TEXTS),
    **dict.fromkeys(("name", "namespace", "kind", "apiVersion", "image", "metricType", "host", "type"), _TEXT),
    **dict.fromkeys(("containerPort", "terminationGracePeriodSeconds", "maxReplicas", "minReplicas"), _WHOLE),
    **dict.fromkeys(("targetPort", "port"), _PORT),
    **dict.fromkeys(("query", "threshold", "activationThreshold", "targetValue"), _SCALAR),
}
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
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _below(source, (*path, number), each)
    for key, each in value.items() if isinstance(value, dict) else ():
        shape = _KEYS.get(key)
        if shape is not None and each is not None and not shape.fits(each):
            yield source.problem((*path, key), shape.legal)
        elif key not in _OF_A_USER and not (path and path[-1] in _OF_A_USER):
            yield from _below(source, (*path, key), each)
