"""Where the answers come from: a page that is named, one in the cluster through kubectl, or decision logs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from shutil import which

import aiohttp

from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.terminal.log_files import LogFiles
from autoscaler.terminal.page_client import PageClient
from autoscaler.terminal.port_forward import NAMESPACE, command, forwarded
from autoscaler.terminal.source import Source

DEFAULT = "http://127.0.0.1:8090"


@asynccontextmanager
async def connected(
    address: str | None = None,
    namespace: str = NAMESPACE,
    logs: Sequence[Path] = (),
    until_s: float | None = None,
    *,
    tokens: BearerTokens | None = None,
) -> AsyncIterator[Source]:
    """Give the source of the answers while the block runs.

    Args:
        address: the page's; None is the controller's in the cluster if there is kubectl, else the usual one here.
        namespace: the controller's.
        logs: decision logs instead of a page.
        until_s: what comes later in them is left out.
        tokens: the first is sent to the page.

    Raises:
        AnswerError: there is none.
    """
    if logs:
        yield LogFiles(logs, until_s)
        return
    async with AsyncExitStack() as stack:
        hint = f" Is it there? In the cluster: `{command(namespace)}`; another page: --address; a log: --log."
        if address is None:
            kubectl = which("kubectl")
            address = DEFAULT if kubectl is None else await stack.enter_async_context(forwarded(kubectl, namespace))
        yield PageClient(address, await stack.enter_async_context(aiohttp.ClientSession()), hint, tokens)
