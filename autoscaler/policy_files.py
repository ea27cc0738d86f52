"""Policies from files, read again when one changes; a file that cannot be used changes nothing."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from autoscaler.documents import DocumentError
from autoscaler.files import Version, version_of
from autoscaler.policy import ScalingPolicy
from autoscaler.validation import read_policies

_LOOK_EVERY_S = 1.0
_log = logging.getLogger(__name__)


async def follow_files(files: Sequence[Path], on_change: Callable[[list[ScalingPolicy]], None]) -> None:
    """Tell of all policies whenever a file has changed, for ever; who calls has read them once before."""
    known = _states(files)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        states = _states(files)
        if states != known:
            known = states
            _read_again(files, on_change)


def _read_again(files: Sequence[Path], on_change: Callable[[list[ScalingPolicy]], None]) -> None:
    try:
        policies = read_policies(files)
    except DocumentError as error:
        _log.error("policies not reloaded, those before stay in force: %s", error)
        return
    on_change(policies)


def _states(files: Sequence[Path]) -> list[Version]:
    return [version_of(file) for file in files]
