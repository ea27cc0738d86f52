"""Sends a pod that has just become ready one request before it gets those of clients (`traffic.warmUp`).

The first request of a model server is slow: it compiles kernels and loads weights. Here no client waits for it. No pod
is lost by it: in the end each gets requests, however its warm-up went.
"""

import asyncio
import logging

from autoscaler.gateway.config import WarmUp
from autoscaler.gateway.counts import WarmUpOutcome
from autoscaler.gateway.http.pod_call import PodCallError, call_pod
from autoscaler.gateway.http.pod_pool import Pod

_log = logging.getLogger(__name__)
_EVERY_S = 0.5
"""The pause before another attempt, if nothing could be sent."""
_FIRST_ERROR = 400


async def warm_up(service: str, pod: Pod, request: WarmUp, *, connect_s: float) -> WarmUpOutcome:
    """Send the request once, wait for its answer, and say how it went."""
    try:
        async with asyncio.timeout(request.timeout_s):
            status = await _answered(pod, request, connect_s)
    except TimeoutError:
        return _not_warm(service, pod, WarmUpOutcome.TIMEOUT, f"no answer within {request.timeout_s:g} s")
    except PodCallError as error:
        return _not_warm(service, pod, WarmUpOutcome.FAILED, str(error))
    if status >= _FIRST_ERROR:
        return _not_warm(service, pod, WarmUpOutcome.FAILED, f"status {status}")
    return WarmUpOutcome.SUCCEEDED


async def _answered(pod: Pod, request: WarmUp, connect_s: float) -> int:
    """Give the status of the answer; while the pod refuses connections, try again, because nothing has been sent."""
    while True:
        try:
            answer = await call_pod(
                pod,
                f"{request.method} {request.path}",
                pod.address,
                body=request.body,
                keep_body=False,
                connect_s=connect_s,
                answer_s=request.timeout_s,
            )
        except PodCallError as error:
            if error.was_sent:
                raise
            await asyncio.sleep(_EVERY_S)
        else:
            return answer.status


def _not_warm(service: str, pod: Pod, outcome: WarmUpOutcome, why: str) -> WarmUpOutcome:
    _log.warning("%s: the warm-up of pod %s at %s: %s; it gets requests now", service, pod.name, pod.address, why)
    return outcome
