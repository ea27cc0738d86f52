"""A request when it arrives."""

from typing import NamedTuple

from autoscaler.gateway.http.headers import Forwarded, RequestHead
from autoscaler.gateway.http.trace_context import TraceContext


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
    trace: TraceContext | None = None
    """Where its client stands in a trace; None if it names none."""

    @property
    def trace_id(self) -> str:
        """The trace that has its spans; empty if none has."""
        return self.trace.trace_id if self.trace is not None and self.trace.sampled else ""
