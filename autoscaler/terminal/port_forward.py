"""Reaches a page in the cluster: `kubectl port-forward` as a child, which ends with the block."""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator

from autoscaler.terminal.values import AnswerError

DEPLOYMENT = "inflight-controller"
NAMESPACE = "inflight-system"
PORT = 8090
_PATIENCE_S = 15.0
_FORWARDS = re.compile(rb"Forwarding from (?:127\.0\.0\.1|\[::1\]):(\d+)")
_KEPT_LINES = 5


def command(namespace: str, port: int = PORT) -> str:
    """Give the command that a user would type."""
    return f"kubectl port-forward --namespace {namespace} deployment/{DEPLOYMENT} {port}:{PORT}"


@contextlib.asynccontextmanager
async def forwarded(kubectl: str, namespace: str) -> AsyncIterator[str]:
    """Give the address of the controller's page while the block runs.

    Raises:
        AnswerError: kubectl cannot reach it; the message has what it says.
    """
    words = ["port-forward", "--namespace", namespace, f"deployment/{DEPLOYMENT}", f":{PORT}", "--address", "127.0.0.1"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        kubectl, *words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    reading = None
    try:
        port = await _port(process, namespace)
        reading = asyncio.create_task(_read_on(process))  # kubectl would stop if nobody read what it says
        yield f"http://127.0.0.1:{port}"
    finally:
        if reading is not None:
            reading.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _read_on(process: asyncio.subprocess.Process) -> None:
    if process.stdout is not None:
        async for _ in process.stdout:
            pass


async def _port(process: asyncio.subprocess.Process, namespace: str) -> int:
    """Wait until kubectl says on which port it listens."""
    said: deque[bytes] = deque(maxlen=_KEPT_LINES)
    if process.stdout is None:
        raise AnswerError("kubectl has no output")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for line in process.stdout:
                if found := _FORWARDS.match(line):
                    return int(found[1])
                said.append(line.strip())
    except TimeoutError:
        said.append(f"no connection within {_PATIENCE_S:g} s".encode())
    text = b"; ".join(said).decode(errors="replace") or "it ended without a word"
    hint = "Name the page with --address, the namespace with --namespace, or a decision log with --log."
    raise AnswerError(f"`{command(namespace)}` failed: {text}\n{hint}")
