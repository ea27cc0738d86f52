"""The trace of each request, for OpenTelemetry: where it stands, what the pod gets, and the spans when it has ended.

Rules:
1. A request whose client names a trace belongs to it. Whether it has spans is the client's decision; a request without
   a trace is given one, and has spans by chance, at a ratio.
2. The pod gets a `traceparent` with the gateway's last span as parent, and the client's `tracestate` as it came. A
   `traceparent` that breaks the rules of W3C begins a new trace, and then `tracestate` is dropped.
3. A request without spans costs nothing but its header.
"""

import random
import secrets
from collections.abc import Iterator
from functools import partial

from autoscaler.gateway.arrival import RequestTrace
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http.headers import RequestHead
from autoscaler.gateway.http.trace_context import TraceContext, parent_line
from autoscaler.gateway.request_log import OnEnded, RequestRecord
from autoscaler.runtime.spans import Span, SpanExport, start_context

_PARENT, _STATE = b"traceparent", b"tracestate"
_FIRST_ERROR = 500
_FAILURES = frozenset(
    outcome.value
    for outcome in (
        RequestOutcome.ERROR,
        RequestOutcome.INVALID_RESPONSE,
        RequestOutcome.UPSTREAM_RESET,
        RequestOutcome.UPSTREAM_TIMEOUT,
    )
)
"""Outcomes that are errors although the response may have begun well."""


class Tracing:
    """Gives requests their traces."""

    def __init__(self, ratio: float, rng: random.Random | None = None) -> None:
        """Set how many of the requests that name no trace have spans, from 0 to 1."""
        self._ratio = ratio
        self._rng = rng or random.Random()  # noqa: S311

    def begin(self, client: TraceContext | None, head: RequestHead) -> tuple[RequestTrace | None, RequestHead]:
        """Return the trace of a request, None if it has no spans, and the head that the pod gets.

        Args:
            client: the trace that its client names; None if it names none, or not by the rules.
            head: its head.
        """
        if client is not None and not client.sampled:
            return None, head
        sampled = client is not None or self._rng.random() < self._ratio
        trace = RequestTrace(client.trace_id, client.span_id) if client else RequestTrace(secrets.token_hex(16), "")
        dropped = (_PARENT,) if client else (_PARENT, _STATE)
        line = parent_line(TraceContext(trace.trace_id, trace.upstream_id, sampled))
        kept = [each for each in head.lines if each.partition(b":")[0].lower() not in dropped]
        return trace if sampled else None, head._replace(lines=[*kept, line])


def exported(export: SpanExport, log: OnEnded | None = None) -> OnEnded:
    """Return what sends the spans of each request that has ended, after it is written to the log if there is one."""

    def ended(record: RequestRecord) -> None:
        if log is not None:
            log(record)
        if record.trace is not None:
            export.offer(partial(spans_of, record, record.trace))

    return ended


def spans_of(record: RequestRecord, trace: RequestTrace) -> Iterator[Span]:
    """Give the spans of a request: the whole, its wait if it was held, its slot, and the pod's part."""
    begin_s, granted_s = record.arrival, record.arrival + (record.wait_s or 0.0)
    end_s = begin_s + trace.took_s
    ours = (trace.trace_id, trace.span_id)
    attributes: dict[str, str | bool | int | float] = {
        "http.request.method": record.method,
        "url.path": record.path,
        "inflight.service": record.service,
        "inflight.outcome": record.outcome,
        "inflight.request_id": record.request_id,
    }
    if record.status is not None:
        attributes["http.response.status_code"] = record.status
    error = record.outcome if (record.status or 0) >= _FIRST_ERROR or record.outcome in _FAILURES else ""
    links = (start_context(record.service, trace.pod),) if trace.pod_came else ()
    yield Span(record.method, "server", ours, trace.parent_id, begin_s, end_s, attributes, links, error)
    if record.wait_s is None or record.wait_s:
        held_end_s = end_s if record.wait_s is None else granted_s
        yield Span("held", "internal", (trace.trace_id, secrets.token_hex(8)), trace.span_id, begin_s, held_end_s, {})
    if record.wait_s is None:
        return
    slot = (trace.trace_id, secrets.token_hex(8))
    yield Span("slot", "internal", slot, trace.span_id, granted_s, end_s, {"inflight.kind": record.kind})
    if trace.sent_s is not None:
        pod = {"inflight.pod": trace.pod}
        upstream = (trace.trace_id, trace.upstream_id)
        yield Span("upstream", "client", upstream, slot[1], begin_s + trace.sent_s, end_s, pod, error=error)
