"""SIGHUP and SIGUSR1, which never end a process: logs are opened anew, and SIGHUP has files read again too."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence

_log = logging.getLogger(__name__)


def ignore_hangups() -> None:
    """Ignore both until `follow_hangups`: a process that starts must not end by them either."""
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def follow_hangups(reopen: Sequence[Callable[[], None]], read_again: Callable[[], None] | None) -> None:
    """Call these when told to, in the event loop that runs.

    Args:
        reopen: open logs anew.
        read_again: has files read again; None where there are none.
    """
    loop = asyncio.get_running_loop()

    def opened_anew() -> None:
        _log.info("logs are opened anew")
        for each in reopen:
            each()

    def both() -> None:
        opened_anew()
        if read_again is not None:
            _log.info("files are read again")
            read_again()

    loop.add_signal_handler(signal.SIGUSR1, opened_anew)
    loop.add_signal_handler(signal.SIGHUP, both)
