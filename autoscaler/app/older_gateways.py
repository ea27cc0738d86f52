"""Waits until no gateway runs that knows no peers: one of 0.1.0 counts alone, so that beside it no limit would hold."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import Resource

_PODS = Resource("v1", "pods")
_LABEL = "app.kubernetes.io/name=inflight-gateway"
_PORT = "peer"
_ASK_EVERY_S = 1.0
_log = logging.getLogger(__name__)


async def older_gateways_gone(api: Api, namespace: str) -> None:
    """Return when each gateway's pod that has not ended has a port `peer`; until then say which one is waited for."""
    said: object = None
    while True:
        try:
            waited_for: object = await _without_peers(api, namespace)
        except ApiError as error:
            waited_for = error
        if not waited_for:
            return
        if str(waited_for) != str(said):
            _log.warning("gateways of an older release must end before this one can serve beside them: %s", waited_for)
            said = waited_for
        await asyncio.sleep(_ASK_EVERY_S)


async def _without_peers(api: Api, namespace: str) -> str:
    listed = await api.get(_PODS.collection(namespace), {"labelSelector": _LABEL})
    return ", ".join(sorted(pod["metadata"]["name"] for pod in listed["items"] if _knows_no_peers(pod)))


def _knows_no_peers(pod: Mapping[str, Any]) -> bool:
    ended = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports") or ())
    return not ended and not any(port.get("name") == _PORT for port in ports)
