"""The table of decisions: a row for each that changed something, and one for a stretch of those that did not.

Rules:
1. Decisions in a row that were not written belong to one stretch, if the number before and after, the result, and
   whether the count is known are the same for all.
2. A row keeps the last decision of its stretch: that one is opened.
3. The newest rows are kept.
"""

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from algorithms.types import Decision, Recommendation
from autoscaler.explain.steps import counted, number_after, result, steps
from autoscaler.explain.wording import average, count, span
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Record

MOST_ROWS = 100
_Range = tuple[float, float] | None


class Row(NamedTuple):
    """One row: a decision, or a stretch of some."""

    from_s: float
    to_s: float
    decisions: int
    before: int
    after: int
    inflight: _Range
    """The lowest and the highest count; None is unknown."""
    ready: tuple[int, int]
    recommended: tuple[int, int] | None
    """The lowest and the highest recommendation; None if all were held."""
    rules: tuple[tuple[str, int], ...]
    """How often each rule changed the number."""
    last: Record
    """The last decision."""

    @property
    def result(self) -> str:
        """What became of it: one of `steps.RESULTS`."""
        return result(self.last)

    @property
    def id(self) -> str:
        """Its name, which stays while the stretch grows."""
        return f"{self.from_s:.3f}"


def row_of(record: Record) -> Row:
    """Give the row of one decision."""
    now_s, observation, wanted = record.observation.now_s, record.observation, record.decision.recommendation.replicas
    inflight = counted(observation)
    return Row(
        now_s,
        now_s,
        1,
        observation.replicas,
        number_after(record),
        None if inflight is None else (inflight, inflight),
        (observation.ready, observation.ready),
        None if wanted is None else (wanted, wanted),
        tuple((reason.rule, 1) for reason in _changing(record)),
        record,
    )


def _changing(record: Record) -> Iterator[Any]:
    reasons = (*record.decision.reasons, *(record.outcome.drain if record.outcome else ()))
    return (reason for reason in reasons if reason.before != reason.after)


def joined(row: Row, later: Row) -> Row | None:
    """Give one row for a stretch and the decision after it; None if it is not of that stretch (rule 1)."""
    if _kind(row) != _kind(later) or later.result == "written":
        return None
    rules = Counter(dict(row.rules))
    rules.update(dict(later.rules))
    return Row(
        row.from_s,
        later.to_s,
        row.decisions + later.decisions,
        row.before,
        row.after,
        _wider(row.inflight, later.inflight),
        (min(row.ready[0], later.ready[0]), max(row.ready[1], later.ready[1])),
        _wider(row.recommended, later.recommended),
        tuple(rules.items()),
        later.last,
    )


def _kind(row: Row) -> tuple[object, ...]:
    return row.before, row.after, row.result, row.inflight is None


def _wider(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


class DecisionTable:
    """The newest rows of one service."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._rows: deque[Row] = deque(maxlen=most_rows)

    def __call__(self, record: Record) -> None:
        """Take in a decision."""
        row = row_of(record)
        same = joined(self._rows[-1], row) if self._rows else None
        if same is not None:
            self._rows[-1] = same
        else:
            self._rows.append(row)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows, the newest first."""
        return tuple(reversed(self._rows))


def row_json(row: Row, policy: ScalingPolicy | None = None) -> dict[str, Any]:
    """Give a row as the page and `explain --json` have it."""
    return {
        "id": row.id,
        "from": row.from_s,
        "to": row.to_s,
        "count": row.decisions,
        "before": row.before,
        "after": row.after,
        "inflight": _one_or_two(row.inflight),
        "ready": _one_or_two(row.ready),
        "recommendation": recommendation_cell(row),
        "rules": rules_cell(row),
        "result": row.result,
        "steps": [step._asdict() for step in steps(row.last, policy)],
    }


def _one_or_two(values: Any) -> Any:
    if values is None:
        return None
    lowest, highest = (round(value, 2) for value in values)
    return lowest if lowest == highest else [lowest, highest]


def recommendation_cell(row: Row) -> str:
    """Say what was recommended: with its average for one decision, else the lowest and the highest number."""
    if row.decisions == 1:
        return _recommended(row.last.decision)
    many = f"{row.decisions} decisions"
    if row.recommended is None:
        return f"held, {many}"
    lowest, highest = row.recommended
    return f"{lowest}, {many}" if lowest == highest else f"{lowest} \N{EN DASH} {highest}, {many}"


def _recommended(decision: Decision) -> str:
    recommendation = decision.recommendation
    if recommendation.replicas is None:
        return f"held: {recommendation.why}" if recommendation.why else "held"
    return f"{recommendation.replicas}: {_basis(recommendation)}"


def _basis(recommendation: Recommendation) -> str:
    used = recommendation.averages
    if not used:
        return recommendation.why
    value, panic = average(used[0].value, recommendation.per_replica), ", panic" if recommendation.panic else ""
    if not used[0].over_s:
        return f"{value} in flight{panic}"
    return f"average {value}{panic or f' over {span(used[0].over_s)}'}"


def rules_cell(row: Row) -> str:
    """Name the rules that changed the number, and say how: for a stretch of decisions how often."""
    if not row.rules:
        return "none"
    if row.decisions > 1:
        return ", ".join(rule if often == row.decisions else f"{rule} in {count(often)}" for rule, often in row.rules)
    return ", ".join(f"{reason.rule} {reason.before} → {reason.after}" for reason in _changing(row.last))
