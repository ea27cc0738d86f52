"""A request when it arrives."""

import secrets
from typing import NamedTuple

from autoscaler.gateway.http.headers import Forwarded, RequestHead


class RequestTrace:
    """The spans of one request: those that it will have, and what they need to know."""

    __slots__ = ("parent_id", "pod", "pod_came", "sent_s", "span_id", "took_s", "trace_id", "upstream_id")

    def __init__(self, trace_id: str, parent_id: str) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        """The span of the client; empty for none."""
        self.span_id, self.upstream_id = secrets.token_hex(8), secrets.token_hex(8)
        self.pod = ""
        self.pod_came = False
        """Whether the pod was not there yet when the request arrived."""
        self.sent_s: float | None = None
        """When it was last sent to a pod, in seconds from its arrival."""
        self.took_s = 0.0
        """From its arrival to its end."""

    def sent(self, pod: str, seconds: float, *, pod_came: bool) -> None:
        """Note that it is sent to a pod now."""
        self.pod, self.sent_s, self.pod_came = pod, seconds, pod_came


class Arrival(NamedTuple):
    """What is known of a request when it arrives."""

    head: RequestHead
    forwarded: Forwarded
    request_id: bytes
    unix_s: float
    secure: bool
    """Whether the client used https."""
    keep_alive: bool
    client: str = ""
    """The client's address, if the request log or the service's fairness needs it."""
    trace_id: str = ""
    """The trace in which it has spans, of the gateway or of others; empty for none."""
    trace: RequestTrace | None = None
    """Its spans of the gateway; None for none."""
