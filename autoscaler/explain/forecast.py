"""What the policy asks for next if nothing more arrives: its own decider, run forward.

Rules:
1. A fresh decider continues from the exported state of the live one, which does not change. It decides at each tick, as
   the controller does, on what `assumptions` says.
2. It ends when nothing can change any more: nothing is in flight, and the number has been the same for longer than a
   decision looks back. It ends after an hour at the latest.
3. There is no forecast while the count is unknown or partial, while something outside of the policy sets the number (a
   pause, an override, another writer, a budget), while it cannot be written, and in mode DryRun.
4. Where replicas run is left out: a replica that moves to another pool adds one for a time. A service with several
   pools is marked, so that its sentence says so.
5. Where nothing can happen for many ticks, one decision on all of them stands for each, if it is the same as the one
   before them: then those in between are the same too, because without load no part of a decider takes a number back.
   Else it is undone, and half as many ticks are tried. The algorithms of others decide at each tick: they act at
   times that begin at a tick.
"""

from itertools import pairwise
from math import floor
from typing import NamedTuple

from algorithms.decider import FAILED, Decider
from algorithms.plausibility import is_time, plausible
from algorithms.types import Decision, State
from autoscaler.controller.budgets import RULE as BUDGET
from autoscaler.controller.services import BACKFILL
from autoscaler.explain.assumptions import Assumed, World, assumed
from autoscaler.explain.episodes import asked_after
from autoscaler.policy.annotations import overrides_of
from autoscaler.policy.decider_factory import decider, knows_no_ticks, lookback_s
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Fleet, Record

HORIZON_S = 3600.0
MOST_TICKS = 1024
"""One decision stands for no more of them."""
_FROM_OUTSIDE = frozenset({BUDGET, BACKFILL, FAILED})


class Point(NamedTuple):
    """One decision of the forecast."""

    at_s: float
    desired: int
    average: float | None
    """The average that decided; None if there was none."""


class Forecast(NamedTuple):
    """What is asked for if nothing more arrives."""

    points: tuple[Point, ...]
    """Begins with the present decision."""
    first_s: float | None = None
    """When the number falls first; None if it does not."""
    last_s: float | None = None
    """When it falls last; None if it does not, or if that is beyond the forecast."""
    settled: bool = True
    """Whether nothing can change after the last point."""
    ends_at_once: bool = False
    """Whether the requests in flight were assumed to end at once, because no service time is known."""
    leaves_out_moves: bool = False
    """Whether the service has several pools: a replica that moves to another one is not foreseen (rule 4)."""

    @property
    def remaining(self) -> int:
        """The replicas that stay."""
        return self.points[-1].desired


def forecast(
    policy: ScalingPolicy,
    state: State,
    record: Record,
    fleet: Fleet | None = None,
    *,
    service_s: float | None = None,
    start_s: float | None = None,
    tick_s: float = 2.0,
    horizon_s: float = HORIZON_S,
    most_ticks: int = MOST_TICKS,
) -> Forecast | None:
    """Run the policy's decider forward; None if there is no forecast (rule 3).

    It costs one decision for each tick at which something happens, and a few for the time between (rule 5).

    Args:
        policy: the policy that made the decision.
        state: what `Service.export` or `Decider.export` gave after it.
        record: the decision.
        fleet: the replicas then; their ages tell when those that start are ready.
        service_s: the mean time that a replica takes for a request.
        start_s: how long a start usually takes.
        tick_s: the time between two decisions.
        horizon_s: the longest forecast.
        most_ticks: for how many ticks one decision may stand (rule 5).
    """
    if not _is_foreseen(policy, record, fleet):
        return None
    forward = decider(policy)
    forward.restore(state)
    slots = policy.spec.container_concurrency
    happens = assumed(plausible(record.observation), fleet, slots=slots, service_s=service_s, start_s=start_s)
    run = _Run(forward, record, happens, tick_s, most_ticks=most_ticks if knows_no_ticks(policy) else 1)
    settled = run.to_the_end(lookback_s(policy), horizon_s)
    points = run.points
    falls_s = [now.at_s for before, now in pairwise(points) if now.desired < before.desired]
    return Forecast(
        tuple(points),
        falls_s[0] if falls_s else None,
        falls_s[-1] if falls_s and settled else None,
        settled,
        ends_at_once=bool(happens.ends_s) and service_s is None,
        leaves_out_moves=len(policy.spec.pools or ()) > 1,
    )


def _is_foreseen(policy: ScalingPolicy, record: Record, fleet: Fleet | None) -> bool:
    observation, decision = plausible(record.observation), record.decision
    if observation.inflight is None or observation.problem or not is_time(observation.now_s):
        return False
    if policy.spec.mode != "Active" or (record.outcome and record.outcome.error):
        return False
    if fleet is not None and fleet.override is not None:
        return False
    if any(each.until_s > observation.now_s for each in overrides_of(policy.metadata.annotations)):
        return False
    return not any(reason.rule in _FROM_OUTSIDE for reason in decision.reasons)


class _Run:
    """A decider that is run forward from a record."""

    def __init__(self, forward: Decider, record: Record, happens: Assumed, tick_s: float, *, most_ticks: int) -> None:
        self._forward, self._tick_s, self._most_ticks = forward, tick_s, most_ticks
        # A controller that stands by decides as the leader does.
        self._asked = record.decision.desired if record.unwritten == "standby" else asked_after(record)
        observation = plausible(record.observation)
        self._world = World(observation, happens, self._asked)
        self._tick = floor(observation.now_s / tick_s)
        """The last one that is decided."""
        self._begun_s = self._changed_s = observation.now_s
        self._last: Decision | None = None
        """The last decision, if the next one can be the same."""
        self.points = [Point(self._begun_s, self._asked, _average(record.decision))]

    def to_the_end(self, memory_s: float, horizon_s: float) -> bool:
        """Decide at each tick until nothing can change (rule 2); False if the horizon comes before that."""
        ticks, grows = 1, True
        while (self._tick + 1) * self._tick_s <= self._begun_s + horizon_s:
            settled_s = self._changed_s + memory_s + 2 * self._tick_s
            left = floor(min(self._begun_s + horizon_s, settled_s) / self._tick_s) - self._tick
            ticks = max(min(ticks, left), 1)
            if ticks == 1 or self._last is None:
                self._decide()
            elif not self._skip(ticks, self._last):
                ticks, grows = ticks // 2, False
                continue
            if self._forward.is_settled or self._tick * self._tick_s - self._changed_s > memory_s + 2 * self._tick_s:
                return True
            if self._last is None:
                ticks, grows = 1, True
            else:
                ticks = min(4 * ticks, self._most_ticks) if grows else ticks // 2
        return False

    def _decide(self) -> None:
        """Decide at the next tick."""
        self._tick += 1
        now_s = self._tick * self._tick_s
        observation = self._world.observe(now_s)
        decision = self._forward.decide(observation)
        is_quiet = self._world.is_quiet and not observation.inflight
        is_same = is_quiet and decision.desired == self._asked
        if not is_same:
            self._changed_s = now_s
        self._last = decision if is_same and not _average(decision) else None
        self._asked = decision.desired
        self._world.ask(self._asked)
        self.points.append(Point(now_s, self._asked, _average(decision)))

    def _skip(self, ticks: int, last: Decision) -> bool:
        """Decide once on the next ticks (rule 5); False if that changed nothing because they may not be the same."""
        begins_s, ends_s = self._tick * self._tick_s, (self._tick + ticks) * self._tick_s
        if ends_s >= min(self._world.next_s, self._forward.next_change_s(begins_s)):
            return False
        before = self._forward.export()
        decision = self._forward.decide(self._world.observe(ends_s))
        if _numbers(decision) != _numbers(last):
            self._forward.restore(before)
            self._world.back_to(begins_s)
            return False
        average = _average(decision)
        self.points += [
            Point(tick * self._tick_s, self._asked, average) for tick in range(self._tick + 1, self._tick + ticks + 1)
        ]
        self._tick += ticks
        return True


def _numbers(decision: Decision) -> tuple[object, ...]:
    """Give what decides; the words of a rule may say the time."""
    wanted = decision.recommendation
    averages = [average.value for average in wanted.averages]
    reasons = [reason[:3] for reason in decision.reasons]
    return decision.desired, wanted.replicas, wanted.why, wanted.panic, averages, reasons


def _average(decision: Decision) -> float | None:
    averages = decision.recommendation.averages
    return averages[0].value if averages else None
