"""SIGHUP and SIGUSR1, which never end a process: both reopen logs, and SIGHUP also reloads files."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence

_log = logging.getLogger(__name__)


def ignore_hangups() -> None:
    """Ignore both until `follow_hangups`: they must not end a process that is starting either."""
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def follow_hangups(reopen: Sequence[Callable[[], None]], read_again: Callable[[], None] | None) -> None:
    """Call these functions on the signals, in the running event loop.

    Args:
        reopen: reopen the logs.
        read_again: reloads the files; None if there are none.
    """
    loop = asyncio.get_running_loop()

    def reopen_logs() -> None:
        _log.info("logs are reopened")
        for each in reopen:
            each()

    def reopen_and_reload() -> None:
        reopen_logs()
        if read_again is not None:
            _log.info("files are reloaded")
            read_again()

    loop.add_signal_handler(signal.SIGUSR1, reopen_logs)
    loop.add_signal_handler(signal.SIGHUP, reopen_and_reload)
