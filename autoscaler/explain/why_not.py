"""Why it is not another number: what more or fewer replicas would need.

It looks at the recommendation, at the rules that moved the number away from the one that is asked about, and at the
bounds. When fewer follow by themselves, the forecast says.
"""

from collections.abc import Iterator

from algorithms.types import Reason
from autoscaler.explain.causes import in_flight
from autoscaler.explain.episodes import asked_after
from autoscaler.explain.view import ServiceView
from autoscaler.explain.wording import clock, duration, number_of, replicas, sentence, span
from autoscaler.ports import Record


def why_not(view: ServiceView, number: int) -> tuple[str, ...]:
    """Say in sentences why a service does not have this number of replicas."""
    record = view.record
    if record is None:
        return ("No decision on this service is known yet.",)
    asked = asked_after(record)
    if number == asked:
        return (f"{replicas(number)} {'is' if number == 1 else 'are'} asked for.",)
    if record.observation.inflight is None:
        why = sentence(f"The count is unknown{': ' + record.observation.problem if record.observation.problem else ''}")
        return (why, *_not_written(record), *_rules(record, number, asked))
    found = (*_bounds(view, number), *_rules(record, number, asked), *_not_written(record))
    return (*found, *_load(record, number, asked), *_later(view, number, asked))


def why_not_more(view: ServiceView) -> tuple[str, ...]:
    """Say why a service does not have one more."""
    return () if view.record is None else why_not(view, asked_after(view.record) + 1)


def why_not_fewer(view: ServiceView) -> tuple[str, ...]:
    """Say why it does not have one fewer; empty at zero."""
    asked = 0 if view.record is None else asked_after(view.record)
    return why_not(view, asked - 1) if asked else ()


def _bounds(view: ServiceView, number: int) -> Iterator[str]:
    if view.policy is None:
        return
    least, most = view.policy.spec.replica_range(view.now_s)
    if number > most:
        yield f"The maximum is {most} now; {number} would be above it."
    if number < least:
        yield f"The minimum is {least} now; {number} would be below it."


def _rules(record: Record, number: int, asked: int) -> Iterator[str]:
    """Name the rules that moved the number away from the one that is asked about."""
    drain = record.outcome.drain if record.outcome else ()
    for reason in (*record.decision.reasons, *drain):
        if _moved_away(reason, number, asked) and reason.rule not in {"maxReplicas", "minReplicas"}:
            yield sentence(f"The rule {reason.rule} made {reason.after} of {reason.before}: {reason.why}")


def _moved_away(reason: Reason, number: int, asked: int) -> bool:
    if reason.before == reason.after:
        return False
    return reason.after < number if number > asked else reason.after > number


def _not_written(record: Record) -> Iterator[str]:
    wanted = record.decision.desired
    if record.outcome is not None and record.outcome.error:
        yield sentence(f"{wanted} could not be written: {record.outcome.error}")
    if record.unwritten == "dryRun":
        yield f"In mode DryRun nothing is written; it would be {wanted}."
    if record.unwritten == "standby":
        yield f"Another controller leads; this one would ask for {wanted}."


def _load(record: Record, number: int, asked: int) -> Iterator[str]:
    """Say what the load would have to be."""
    recommendation = record.decision.recommendation
    used, per = recommendation.averages, recommendation.per_replica
    if not used or per is None:
        yield sentence(recommendation.why)
        return
    window = f" on average over {span(used[0].over_s)}" if used[0].over_s else ""
    if number > asked:
        yield f"{replicas(number)} would need more than {number_of((number - 1) * per, 'request')} in flight{window}."
    elif number:
        yield f"{_enough(number)} for {number_of(number * per, 'request')} in flight{window}, and no more."
    else:
        yield f"None is asked for when nothing is in flight{window}."
    yield sentence(in_flight(used[0], per))
    if recommendation.panic and number < asked:
        yield "In panic the number does not fall."


def _enough(number: int) -> str:
    return f"{replicas(number)} {'is' if number == 1 else 'are'} enough"


def _later(view: ServiceView, number: int, asked: int) -> Iterator[str]:
    """Say when that few remain by themselves."""
    if view.forecast is None or number > asked:
        return
    reached_s = next((point.at_s for point in view.forecast.points if point.desired <= number), None)
    if reached_s is not None:
        remain, left = number_of(number, "remains", "remain"), duration(max(reached_s - view.now_s, 0.0))
        yield f"If nothing more arrives, {remain} in {left} ({clock(reached_s, view.now_s, view.zone)})."
    elif view.forecast.settled:
        yield f"Also if nothing more arrives, {number_of(view.forecast.remaining, 'remains', 'remain')}."
