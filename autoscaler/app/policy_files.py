"""What files say, read again when one changes; a file that cannot be used changes nothing."""

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
    """Tell what `read` makes of the files whenever one has changed, for ever; who calls has read them once before."""
    while True:
        await watch.changed()
        try:
            # It may take its time, which the event loop has not.
            found = await asyncio.to_thread(read, watch.files)
        except DocumentError as error:
            _log.error("files not reloaded, what was read before stays in force: %s", error)
        else:
            on_change(found)
