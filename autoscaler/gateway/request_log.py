"""The request log: one JSON line for each request as it ends, for those who replay or account for every single one."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from autoscaler.runtime.background_writer import BackgroundWriter


class RequestRecord(NamedTuple):
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
    client: str = ""
    """The client's address; behind trusted proxies, what they say of it."""
    method: str = ""
    path: str = ""
    """As it came, without the query, which may hold secrets."""
    status: int | None = None
    """Of the response; None if the client has been sent none."""
    received_bytes: int = 0
    """Of the request's body."""
    sent_bytes: int = 0
    """Of the response, with its head."""


OnEnded = Callable[[RequestRecord], None]


class RequestLog:
    """Has a line written for each request; requests do not depend on what becomes of it.

    Attributes:
        writer: what writes the lines, and counts those that are lost.
    """

    def __init__(self, writer: BackgroundWriter) -> None:
        self.writer = writer

    def __call__(self, ended: RequestRecord) -> None:
        """Write one request down."""
        self.writer.offer(f"{json.dumps(ended._asdict(), separators=(',', ':'))}\n")


def client_address(peer: str, forwarded_for: Sequence[bytes], is_trusted: Callable[[str], bool]) -> str:
    """Give the last address that no trusted proxy has: what proxies before an untrusted one say is anybody's word.

    Args:
        peer: whose connection it is.
        forwarded_for: the values of `X-Forwarded-For`.
        is_trusted: whether an address is a proxy that is believed.
    """
    address = peer
    for part in reversed(b",".join(forwarded_for).decode("latin-1").split(",")):
        before = part.strip()
        if not before or not is_trusted(address):
            break
        address = before
    return address
