"""The end of a request: it is counted, and written to the request log."""

import logging
from collections.abc import Callable
from http import HTTPStatus

from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http.client_connection import ClientConnection
from autoscaler.gateway.request_log import RequestRecord
from autoscaler.gateway.service import ServiceProxy

_log = logging.getLogger(__name__)


def note_end(
    proxy: ServiceProxy,
    client: ClientConnection,
    outcome: RequestOutcome,
    record: Callable[[RequestOutcome, int | None], RequestRecord],
) -> None:
    """Count the end of a request, and write it down if anybody wants it; `record` makes the line."""
    proxy.counts.outcomes[outcome] += 1
    status = client.status
    if status is None and outcome is RequestOutcome.ERROR and client.connected:
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value  # which the connection sends next
    if status is not None:
        proxy.counts.responded(status)
    if proxy.on_ended is None:
        return
    try:
        proxy.on_ended(record(outcome, status))
    except Exception:  # noqa: BLE001 - the request has ended, whatever becomes of its line
        _log.exception("a request could not be written to the request log")
