"""Work that goes on beside a block."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside(running: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run a task without an end beside the block; the first error of the two is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(running)
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
