"""The trace of a request: the `traceparent` of its client, and the one that the pod gets.

https://www.w3.org/TR/trace-context/
"""

import re
from typing import NamedTuple

from autoscaler.gateway.http.headers import Values

_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_VERSION = b"00"
_SAMPLED = 1


class TraceContext(NamedTuple):
    """Where a request stands in a trace."""

    trace_id: str
    span_id: str
    """The span of whoever sent it."""
    sampled: bool
    """Whether its spans are kept."""


def trace_of(values: Values) -> TraceContext | None:
    """Return the trace that a client names; None if it names none, or not exactly one by the rules."""
    parents = values.get(b"traceparent", ())
    found = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if found is None or (found[5] and found[1] == _VERSION):
        return None
    return TraceContext(found[2].decode(), found[3].decode(), bool(int(found[4], 16) & _SAMPLED))


def parent_line(context: TraceContext) -> bytes:
    """Return the `traceparent` for who gets the request next."""
    return f"traceparent: 00-{context.trace_id}-{context.span_id}-{context.sampled:02x}\r\n".encode()
