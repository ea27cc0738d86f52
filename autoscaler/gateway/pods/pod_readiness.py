"""Waits until a pod is ready before it gets its first request (`health.readyPath`)."""

import asyncio
import logging

from autoscaler.gateway.http.pod_call import PodCallError, call_pod
from autoscaler.gateway.http.pod_pool import Pod

_log = logging.getLogger(__name__)
_EVERY_S = 0.5
_READY = range(200, 400)
"""Like Kubernetes' probes."""


async def until_ready(pod: Pod, path: str, *, connect_s: float, answer_s: float) -> None:
    """Ask a pod every half second, until it answers with a status from 200 to 399."""
    logged = ""
    while why := await _why_not(pod, path, connect_s, answer_s):
        if why != logged:
            logged = why
            _log.info("pod %s at %s is not ready: GET %s: %s", pod.name, pod.address, path, why)
        await asyncio.sleep(_EVERY_S)


async def _why_not(pod: Pod, path: str, connect_s: float, answer_s: float) -> str:
    try:
        answer = await call_pod(pod, f"GET {path}", pod.address, connect_s=connect_s, answer_s=answer_s)
    except PodCallError as error:
        return str(error)
    return "" if answer.status in _READY else f"status {answer.status}"
