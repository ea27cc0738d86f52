"""Files that are read again when one changes; an invalid file changes nothing."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from autoscaler.documents.document import DocumentError
from autoscaler.runtime.files import FileWatch

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def follow_files(watch: FileWatch, read: Callable[[Sequence[Path]], T], on_change: Callable[[T], None]) -> None:
    """Call `on_change` with the result of `read` whenever a file has changed; the caller reads them first."""
    while True:
        await watch.changed()
        try:
            # Reading may take long, and must not block the event loop.
            found = await asyncio.to_thread(read, watch.files)
        except DocumentError as error:
            _log.error("files not reloaded, the last valid ones stay in force: %s", error)
        else:
            on_change(found)
