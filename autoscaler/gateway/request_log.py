"""The request log: one line of JSON for each request when it ends, for replay and accounting."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from autoscaler.gateway.arrival import RequestTrace
from autoscaler.runtime.background_writer import BackgroundWriter


class RequestRecord(NamedTuple):
    """One request in the log."""

    service: str
    """`namespace/name`."""
    request_id: str
    """The `X-Request-Id` that the pod got."""
    kind: str
    """Count or Pass."""
    arrival: float
    """When it arrived, as Unix time."""
    wait_s: float | None
    """From arrival to grant; None if no pod was granted."""
    service_s: float | None
    """From grant to the end."""
    outcome: str
    """As in `gateway_requests_total`."""
    client: str = ""
    """The client's address; behind trusted proxies, the one they report."""
    method: str = ""
    path: str = ""
    """As it arrived, without the query, which may contain secrets."""
    status: int | None = None
    """Of the response; None if no response was sent."""
    received_bytes: int = 0
    """Of the request's body."""
    sent_bytes: int = 0
    """Of the response, with its head."""
    trace: RequestTrace | None = None
    """Its spans, which the log leaves out; None if it has none."""


OnEnded = Callable[[RequestRecord], None]


class RequestLog:
    """Writes a line for each request; a request never waits for it.

    Attributes:
        writer: writes the lines, and counts those that are lost.
    """

    def __init__(self, writer: BackgroundWriter) -> None:
        self.writer = writer

    def __call__(self, ended: RequestRecord) -> None:
        """Write one request."""
        line = ended._asdict()
        del line["trace"]
        self.writer.offer(f"{json.dumps(line, separators=(',', ':'))}\n")


def client_address(peer: str, forwarded_for: Sequence[bytes], is_trusted: Callable[[str], bool]) -> str:
    """Return the last address that is not a trusted proxy: what an untrusted client says of others is not used.

    Args:
        peer: the address of the connection.
        forwarded_for: the values of `X-Forwarded-For`.
        is_trusted: whether an address is a trusted proxy.
    """
    address = peer
    for part in reversed(b",".join(forwarded_for).decode("latin-1").split(",")):
        before = part.strip()
        if not before or not is_trusted(address):
            break
        address = before
    return address
