"""The request log: one JSON line for each request as it ends, for those who replay or account for every single one."""

import json
import logging
from collections.abc import Callable
from typing import NamedTuple, TextIO

_log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """One request, all of it."""

    service: str
    """`namespace/name`."""
    request_id: str
    """The `X-Request-Id` that its pod saw."""
    kind: str
    """Count or Pass."""
    arrival: float
    """When it came, as Unix time."""
    wait_s: float | None
    """From arrival to grant; None where no pod was ever granted."""
    service_s: float | None
    """From grant to the end."""
    outcome: str
    """As in `gateway_requests_total`."""


OnEnded = Callable[[Ended], None]


class RequestLog:
    """Writes lines to a file that is open, each at once.

    A file that takes no more (a full disk) ends the log and says so; requests do not depend on it.
    """

    def __init__(self, file: TextIO) -> None:
        self._file: TextIO | None = file

    def __call__(self, ended: Ended) -> None:
        """Write one request down."""
        if self._file is None:
            return
        try:
            self._file.write(f"{json.dumps(ended._asdict(), separators=(',', ':'))}\n")
            self._file.flush()
        except OSError as error:
            self._file = None
            _log.error("the request log ends here, nothing more is written to it: %s", error)
