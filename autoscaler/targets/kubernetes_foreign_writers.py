"""Finds another autoscaler of a target: an HPA or a KEDA ScaledObject that points at it."""

from collections.abc import Mapping
from typing import Any

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import Resource

_KINDS = (
    ("ScaledObject", Resource("keda.sh/v1alpha1", "scaledobjects")),
    ("HorizontalPodAutoscaler", Resource("autoscaling/v2", "horizontalpodautoscalers")),
)


async def find_other_autoscaler(api: Api, namespace: str, kind: str, name: str) -> str:
    """Name an autoscaler whose scaleTargetRef is this object; empty if there is none, or listing them is forbidden."""
    for autoscaler, resource in _KINDS:
        for item in await _listed(api, resource, namespace):
            if _points_at((item.get("spec") or {}).get("scaleTargetRef") or {}, kind, name):
                return f"{autoscaler} {namespace}/{item['metadata']['name']}"
    return ""


async def _listed(api: Api, resource: Resource, namespace: str) -> list[Mapping[str, Any]]:
    try:
        items: list[Mapping[str, Any]] = (await api.get(resource.collection(namespace)))["items"]
    except ApiError:
        # No KEDA, or no permission: the writer stays unnamed, and the event says "unknown".
        return []
    return items


def _points_at(reference: Mapping[str, Any], kind: str, name: str) -> bool:
    return bool(reference.get("name") == name and reference.get("kind", "Deployment") == kind)
