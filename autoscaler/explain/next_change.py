"""What is in flight now, and what happens next if nothing more arrives."""

from algorithms.good_time import current_count
from autoscaler.explain.causes import needed, per_replica
from autoscaler.explain.forecast import Forecast
from autoscaler.explain.view import ServiceView
from autoscaler.explain.wording import clock, compared, count, duration


def now(view: ServiceView, number: int) -> str:
    """Say what is in flight now; empty if it is unknown."""
    total = _total(view)
    if total is None:
        return ""
    if not total:
        return "Nothing is in flight now."
    per = per_replica(view)
    only = "Only " if per is not None and needed(total, per) < number else ""
    waiting = ""
    if view.queued:
        waiting = f", and {count(view.queued)} of them {'waits' if view.queued == 1 else 'wait'}"
    return f"{only}{count(total)} {'is' if total == 1 else 'are'} in flight now{waiting}."


def _total(view: ServiceView) -> float | None:
    """Give the requests in flight now; None is unknown."""
    if view.queued is not None and view.running is not None:
        return view.queued + view.running
    if view.record is None or view.record.observation.inflight is None or view.record.observation.problem:
        return None
    return current_count(view.record.observation)


def next_change(view: ServiceView, number: int) -> str:
    """Say when replicas go if nothing more arrives; empty if there is no forecast."""
    found = view.forecast
    if found is None or not number:
        return ""
    if found.first_s is None:
        return f"{_condition(found)}, the number stays." if found.settled else ""
    first_s = max(found.first_s - view.now_s, 0.0)
    if found.last_s is None:
        return f"{_condition(found)}, {_one(number)} goes in {duration(first_s)} ({_clock(view, found.first_s)})."
    last_s = max(found.last_s - view.now_s, 0.0)
    first, last = compared(first_s, last_s)
    text = f"{_condition(found)}, {_one(number)} goes in {first} ({_clock(view, found.first_s)})"
    if found.last_s > found.first_s:
        text += f" and the last in {last} ({_clock(view, found.last_s)})"
    return text + (f"; {found.remaining} {'stays' if found.remaining == 1 else 'stay'}." if found.remaining else ".")


def _one(number: int) -> str:
    return "it" if number == 1 else "the first replica"


def _condition(found: Forecast) -> str:
    assumed = ["nothing more arrives"]
    if found.leaves_out_moves:
        assumed.append("no replica moves to another pool")
    if found.ends_at_once:
        assumed.append("all in flight ends now")
    *first, last = assumed
    return f"If {', '.join(first)} and {last}" if first else f"If {last}"


def short_next(view: ServiceView, number: int) -> str:
    """Say the same in a row of a table."""
    found = view.forecast
    if found is None or found.first_s is None:
        return ""
    left = duration(max(found.first_s - view.now_s, 0.0))
    return f"{'It' if number == 1 else 'First'} goes in {left} if nothing more arrives."


def _clock(view: ServiceView, at_s: float) -> str:
    return clock(at_s, view.now_s, view.zone)
