"""The starts of pods as spans: from the decision that asked for a pod until it is ready, with the stages of the start.

The ids follow from the names of the service and the pod, so a gateway links the requests that waited for the pod to
them: see `runtime/spans`. Only the controller that writes has spans.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from autoscaler.accounts import Start, Starts
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.spans import Make, Span, start_context

_KEPT = 16
_CLOCKS_DIFFER_S = 5.0
"""How far the clock that dates a pod's creation may be from the controller's."""
_WHOLE_WITHIN_S = 1.0
"""Kubernetes dates the stages in whole seconds."""
_SPAN_DIGITS = 16


class _Raise(NamedTuple):
    """A decision that asked for more replicas."""

    at_s: float
    before: int
    after: int
    why: str
    rules: str


class StartSpans:
    """A recorder that offers the spans of each start that is over.

    Args:
        offer: takes what makes them.
        starts: gives the newest starts of a service.
        leads: whether this controller writes.
    """

    def __init__(
        self, offer: Callable[[Make], None], *, starts: Callable[[ServiceName], Starts], leads: Callable[[], bool]
    ) -> None:
        self._offer, self._starts, self._leads = offer, starts, leads
        self._raises: dict[ServiceName, deque[_Raise]] = {}
        self._sent_s: dict[ServiceName, float] = {}

    def __call__(self, record: Record) -> None:
        """Keep a decision that asked for more, and offer the starts that are over since the last one."""
        service, before = record.service, record.observation.replicas
        if record.written is not None and record.written > before:
            rules = ", ".join(reason.rule for reason in record.decision.reasons)
            found = _Raise(record.observation.now_s, before, record.written, record.decision.recommendation.why, rules)
            self._raises.setdefault(service, deque(maxlen=_KEPT)).append(found)
        if not self._leads():
            return
        for start in self._starts(service).newest:
            if start.at_s > self._sent_s.get(service, float("-inf")):
                self._sent_s[service] = start.at_s
                self._offer(partial(spans_of_start, service, start, self._asked_for(service, start)))

    def _asked_for(self, service: ServiceName, start: Start) -> _Raise | None:
        """Return the last decision before the pod was created."""
        latest_s = start.at_s - start.total_s + _CLOCKS_DIFFER_S
        return next((each for each in reversed(self._raises.get(service, ())) if each.at_s <= latest_s), None)

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._raises.pop(service, None)
        self._sent_s.pop(service, None)


def spans_of_start(service: ServiceName, start: Start, asked: _Raise | None) -> Iterator[Span]:
    """Give the span of the whole, and those of its stages if each has a known length."""
    trace_id, span_id = context = start_context(service, start.pod)
    created_s = start.at_s - start.total_s
    attributes: dict[str, str | bool | int | float] = {"inflight.service": service, "inflight.pod": start.pod}
    begin_s = created_s
    if asked is not None:
        begin_s = min(asked.at_s, created_s)
        attributes |= {
            "inflight.replicas.before": asked.before,
            "inflight.replicas.after": asked.after,
            "inflight.recommendation": asked.why,
            "inflight.rules": asked.rules,
        }
    attributes |= {f"inflight.start.{stage}_seconds": seconds for stage, seconds in start.stages}
    yield Span("start" if asked is None else "decision", "internal", context, "", begin_s, start.at_s, attributes)
    if abs(sum(seconds for _, seconds in start.stages) - start.total_s) > _WHOLE_WITHIN_S:
        return
    for stage, seconds in start.stages:
        of_stage, _ = start_context(service, f"{start.pod}/{stage}")
        span = (trace_id, of_stage[:_SPAN_DIGITS])
        yield Span(stage, "internal", span, span_id, created_s, created_s + seconds, {"inflight.pod": start.pod})
        created_s += seconds
