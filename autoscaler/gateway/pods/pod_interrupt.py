"""Asks a pod to stop the work of a client that has disconnected (`onAbort: Interrupt`)."""

import asyncio
import contextlib

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.http.headers import RequestHead
from autoscaler.gateway.http.pod_call import PodCallError, call_pod
from autoscaler.gateway.http.pod_pool import Pod

_ANSWER_S = 10.0
"""A working pod answers at once; after this time it is left to finish."""


def interrupt(config: GatewayService, pod: Pod, head: RequestHead) -> asyncio.Task[None]:
    """Send the call while the request is open; the task ends with any response."""
    return asyncio.ensure_future(_call(config, pod, head))


async def _call(config: GatewayService, pod: Pod, head: RequestHead) -> None:
    # A pod that cannot be interrupted goes on; its slot is free when it has finished.
    with contextlib.suppress(PodCallError):
        call, connect_s = f"POST {config.interrupt_path}", config.timeouts.connect_s
        await call_pod(pod, call, head.host, connect_s=connect_s, answer_s=_ANSWER_S)
