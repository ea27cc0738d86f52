"""What the policy asks for next if nothing more arrives: its own decider, run forward.

Rules:
1. A fresh decider continues from the exported state of the live one, which does not change. It decides at each tick, as
   the controller does, on what `assumptions` says.
2. It ends when nothing can change any more: nothing is in flight, and the number has been the same for longer than a
   decision looks back. It ends after an hour at the latest.
3. There is no forecast while the count is unknown or partial, while something outside of the policy sets the number (a
   pause, an override, another writer, a budget), while it cannot be written, and in mode DryRun.
4. Where replicas run is left out: a replica that moves to another pool adds one for a time.
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
from autoscaler.policy.decider_factory import decider, lookback_s
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Fleet, Record

HORIZON_S = 3600.0
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
) -> Forecast | None:
    """Run the policy's decider forward; None if there is no forecast (rule 3).

    It costs one decision for each tick until rule 2 ends it: with a long delay all those of an hour.

    Args:
        policy: the policy that made the decision.
        state: what `Service.export` or `Decider.export` gave after it.
        record: the decision.
        fleet: the replicas then; their ages tell when those that start are ready.
        service_s: the mean time that a replica takes for a request.
        start_s: how long a start usually takes.
        tick_s: the time between two decisions.
        horizon_s: the longest forecast.
    """
    if not _is_foreseen(policy, record, fleet):
        return None
    forward = decider(policy)
    forward.restore(state)
    slots = policy.spec.container_concurrency
    happens = assumed(plausible(record.observation), fleet, slots=slots, service_s=service_s, start_s=start_s)
    points, settled = _run(forward, record, happens, tick_s=tick_s, memory_s=lookback_s(policy), horizon_s=horizon_s)
    falls_s = [now.at_s for before, now in pairwise(points) if now.desired < before.desired]
    return Forecast(
        tuple(points),
        falls_s[0] if falls_s else None,
        falls_s[-1] if falls_s and settled else None,
        settled,
        ends_at_once=bool(happens.ends_s) and service_s is None,
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


def _run(
    forward: Decider, record: Record, happens: Assumed, *, tick_s: float, memory_s: float, horizon_s: float
) -> tuple[list[Point], bool]:
    """Decide at each tick until nothing can change; False beside the points if the horizon comes before that."""
    # A controller that stands by decides as the leader does.
    asked = record.decision.desired if record.unwritten == "standby" else asked_after(record)
    observation = plausible(record.observation)
    begun_s = changed_s = observation.now_s
    world = World(observation, happens, asked)
    points = [Point(begun_s, asked, _average(record.decision))]
    tick = floor(begun_s / tick_s) + 1
    while tick * tick_s <= begun_s + horizon_s:
        now_s = tick * tick_s
        observation = world.observe(now_s)
        decision = forward.decide(observation)
        if decision.desired != asked or observation.inflight or not world.is_quiet:
            changed_s = now_s
        asked = decision.desired
        world.ask(asked)
        points.append(Point(now_s, asked, _average(decision)))
        if forward.is_settled or now_s - changed_s > memory_s + 2 * tick_s:
            return points, True
        tick += 1
    return points, False


def _average(decision: Decision) -> float | None:
    averages = decision.recommendation.averages
    return averages[0].value if averages else None
