"""Sends spans to a receiver of OpenTelemetry (OTLP over HTTP), in a thread of its own: nothing waits for it.

Rules:
1. What waits to be sent is bounded. A span that finds no room, or that the receiver does not take, is lost and counted.
2. The spans of one event are made in the thread too, so the event costs its caller the time to put it into a list.
3. A pod's start has a trace whose ids follow from the names of the service and the pod. So every process that knows the
   pod can link to the decision that asked for it.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from threading import Condition, Thread
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

MOST_WAITING = 4096
"""Events whose spans are not sent yet."""
_AT_ONCE = 256
_GATHER_S = 0.5
"""How long spans are gathered before they are sent."""
_ANSWER_S = 5.0
"""How long the receiver may take."""
_CLOSE_PATIENCE_S = 2.0
_PATH = "/v1/traces"
_NS = 1_000_000_000
_log = logging.getLogger(__name__)

Context = tuple[str, str]
"""A trace and one of its spans, in hexadecimal digits."""


class Span(NamedTuple):
    """A span that has ended."""

    name: str
    kind: str
    """internal, server or client."""
    context: Context
    parent_id: str
    """Empty for none."""
    start_s: float
    """In Unix time."""
    end_s: float
    attributes: Mapping[str, str | bool | int | float]
    links: tuple[Context, ...] = ()
    error: str = ""
    """What failed; empty if nothing did."""


Make = Callable[[], Iterable[Span]]


def start_context(service: str, pod: str) -> Context:
    """Return the trace and the first span of a pod's start (rule 3)."""
    digits = hashlib.sha256(f"{service}/{pod}".encode()).hexdigest()
    return digits[:32], digits[32:48]


def spans_address(url: str) -> str:
    """Return where a receiver takes spans, by its base address."""
    return url if url.endswith(_PATH) else url.rstrip("/") + _PATH


class SpanExport:
    """Sends spans.

    Attributes:
        lost: spans that the receiver did not take, and events whose spans found no room.
    """

    def __init__(self, url: str | None, program: str, most: int = MOST_WAITING) -> None:
        """Begin.

        Args:
            url: the receiver's base address; None leaves it to the variables `OTEL_EXPORTER_OTLP_...`.
            program: what sends, as `service.name` in the receiver unless a variable names it.
            most: how many events may wait.
        """
        # Slow to import, and not installed where nobody asks for traces.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

        self._exporter = OTLPSpanExporter(endpoint=url and spans_address(url), timeout=_ANSWER_S)
        self._resource = Resource.create({"service.name": program}).merge(OTELResourceDetector().detect())
        self._most = most
        self._waiting: list[Make] = []
        self._closes = False
        self._fails = False
        self.lost = 0
        self._changed = Condition()
        # A daemon thread: the process must be able to end while the receiver hangs.
        self._thread = Thread(target=self._run, name="sends spans", daemon=True)
        self._thread.start()

    def offer(self, make: Make) -> None:
        """Send the spans of an event later; `make` is called in the thread."""
        with self._changed:
            if len(self._waiting) >= self._most or self._closes:
                self.lost += 1
                return
            self._waiting.append(make)
            if len(self._waiting) in {1, _AT_ONCE}:
                self._changed.notify()

    def close(self, patience_s: float = _CLOSE_PATIENCE_S) -> None:
        """Send what waits, for at most `patience_s`; the rest is lost."""
        with self._changed:
            self._closes = True
            self._changed.notify()
        self._thread.join(patience_s)
        with self._changed:
            self.lost += len(self._waiting)
            self._waiting.clear()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    # In the thread.

    def _run(self) -> None:
        while events := self._taken():
            spans = list(chain.from_iterable(map(self._made, events)))
            if spans:
                self._send(spans)

    def _taken(self) -> list[Make]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closes)
            self._changed.wait_for(lambda: len(self._waiting) >= _AT_ONCE or self._closes, _GATHER_S)
            taken, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            return taken

    def _made(self, make: Make) -> "list[ReadableSpan]":
        try:
            return [self._readable(span) for span in make()]
        except Exception:  # noqa: BLE001 - one event must not end the thread
            _log.exception("the spans of an event could not be made")
            self._lose(1)
            return []

    def _send(self, spans: "Sequence[ReadableSpan]") -> None:
        try:
            failed = self._exporter.export(spans).name != "SUCCESS"
        except Exception:  # noqa: BLE001 - as a receiver that fails
            _log.debug("the receiver of spans failed", exc_info=True)
            failed = True
        if failed:
            self._lose(len(spans))
        if failed is not self._fails:
            self._fails = failed
            _log.log(
                logging.WARNING if failed else logging.INFO,
                "spans are %s; lost so far: %d",
                "not taken by their receiver" if failed else "taken again",
                self.lost,
            )

    def _lose(self, number: int) -> None:
        with self._changed:
            self.lost += number

    def _readable(self, span: Span) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags  # noqa: PLC0415

        def context(of: Context, *, is_remote: bool = False) -> SpanContext:
            trace_id, span_id = of
            sampled = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=sampled)

        parent = context((span.context[0], span.parent_id), is_remote=True) if span.parent_id else None
        return ReadableSpan(
            span.name,
            context(span.context),
            parent,
            self._resource,
            span.attributes,
            links=[Link(context(each, is_remote=True)) for each in span.links],
            kind=SpanKind[span.kind.upper()],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=int(span.start_s * _NS),
            end_time=int(max(span.start_s, span.end_s) * _NS),
            instrumentation_scope=InstrumentationScope("inflight"),
        )
