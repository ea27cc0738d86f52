"""Policies from files, read again when one changes; a file that cannot be used changes nothing."""

import logging
from collections.abc import Callable

from autoscaler.documents import DocumentError
from autoscaler.files import FileWatch
from autoscaler.policy import ScalingPolicy
from autoscaler.validation import read_policies

_log = logging.getLogger(__name__)


async def follow_files(watch: FileWatch, on_change: Callable[[list[ScalingPolicy]], None]) -> None:
    """Tell of all policies whenever a file has changed, for ever; who calls has read them once before."""
    while True:
        await watch.changed()
        try:
            policies = read_policies(watch.files)
        except DocumentError as error:
            _log.error("policies not reloaded, those before stay in force: %s", error)
        else:
            on_change(policies)
