"""Asks a pod to break off the work of a client that has gone."""

import asyncio

from autoscaler.gateway.heads import RequestHead, ResponseHead
from autoscaler.gateway.service import ServiceGate
from autoscaler.gateway.upstream import Failure, Pod, PodConnection, PodRefusedError

_ANSWER_S = 10.0
"""A pod that works answers at once; one that does not in this time is left to its work."""


class _Deaf:
    """Takes a response that nobody reads."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def responded(self, head: ResponseHead) -> None: ...

    def received(self, data: bytes) -> None: ...

    def flush(self) -> None: ...

    def writable(self) -> None: ...

    def switched(self, _head: ResponseHead, _early: bytes) -> None:
        self.done.set_result(None)

    def ended(self) -> None:
        self.done.set_result(None)

    def failed(self, _failure: Failure) -> None:
        self.done.set_result(None)


def interrupt(gate: ServiceGate, pod: Pod, head: RequestHead) -> asyncio.Task[None]:
    """Send the interrupting call beside the work; the task ends with its answer, whatever that is."""
    task = asyncio.ensure_future(_call(gate, pod, head))
    gate.afterwork.add(task)
    task.add_done_callback(gate.afterwork.discard)
    return task


async def _call(gate: ServiceGate, pod: Pod, head: RequestHead) -> None:
    timeouts = gate.config.timeouts
    connection: PodConnection | None = None
    try:
        connection = await pod.connect(timeouts.connect_s)
        deaf = _Deaf()
        request = f"POST {gate.config.interrupt_path} HTTP/1.1\r\nHost: {head.host}\r\nContent-Length: 0\r\n\r\n"
        connection.begin(deaf, request.encode("latin-1"), bodiless=False, complete=True)
        async with asyncio.timeout(_ANSWER_S):
            await deaf.done
    except (PodRefusedError, TimeoutError):
        # A pod that cannot be interrupted goes on; its slot is free when it ends.
        return
    finally:
        if connection is not None:
            connection.close()
