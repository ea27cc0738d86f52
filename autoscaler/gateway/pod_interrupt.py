"""Asks a pod to stop the work of a client that has disconnected (`onAbort: Interrupt`)."""

import asyncio
import contextlib

from autoscaler.gateway.http.headers import RequestHead
from autoscaler.gateway.http.pod_call import PodCallError, call_pod
from autoscaler.gateway.http.pod_pool import Pod
from autoscaler.gateway.service import ServiceProxy

_ANSWER_S = 10.0
"""A working pod answers at once; after this time it is left to finish."""


def interrupt(proxy: ServiceProxy, pod: Pod, head: RequestHead) -> asyncio.Task[None]:
    """Send the call while the request is open; the task ends with any response."""
    task = asyncio.ensure_future(_call(proxy, pod, head))
    proxy.background_tasks.add(task)
    task.add_done_callback(proxy.background_tasks.discard)
    return task


async def _call(proxy: ServiceProxy, pod: Pod, head: RequestHead) -> None:
    # A pod that cannot be interrupted goes on; its slot is free when it has finished.
    with contextlib.suppress(PodCallError):
        call, connect_s = f"POST {proxy.config.interrupt_path}", proxy.config.timeouts.connect_s
        await call_pod(pod, call, head.host, connect_s=connect_s, answer_s=_ANSWER_S)
