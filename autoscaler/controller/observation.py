"""How what Prometheus and the gateways' streams say becomes one look.

They measure one thing twice and are never added. Prometheus is what a tick decides on; a newer and higher count from
the streams wins, a lower one does not lower. Where Prometheus is silent, or knows a part only, the streams decide alone
if all gateways are heard. What is left after that is a part, which may raise, or unknown.
"""

from collections.abc import Sequence
from typing import NamedTuple

from algorithms.plausibility import doubt
from algorithms.types import Observation
from autoscaler.ports import Fleet, Reading, Rescale, TimedReading


class Live(NamedTuple):
    """What the gateways' streams say of one service; `problem` and None as in `Reading`."""

    latest: float | None
    """Requests queued and running now."""
    mean: float | None
    """Their mean since the last look, from the gateways' integrals; None where one was not heard all along."""
    passing: int = 0
    """Uncounted requests held or open now, and those let through since the last look."""
    problem: str = ""


NOTHING_HEARD = Live(None, None, problem="no gateway is known")


def observe(
    now_s: float,
    since_s: float,
    fleet: Fleet,
    *,
    metered: Reading | None = None,
    live: Live = NOTHING_HEARD,
    gateways: int = 0,
) -> Observation:
    """Make the look at one service.

    Args:
        now_s: when.
        since_s: when the look before it was taken.
        fleet: what its target runs.
        metered: Prometheus' answer; None at a wake-up, which does not ask it, and where there is none to ask.
        live: what the streams say.
        gateways: how many are known to live; series from fewer are a part of the whole.
    """
    live = _heard(live)
    inflight, problem = _count(_judged(metered, gateways), live)
    return Observation(
        now_s=now_s,
        since_s=since_s,
        inflight=inflight,
        replicas=fleet.asked,
        ready=fleet.ready,
        latest=live.latest or 0.0,
        passing=live.passing,
        problem=problem,
    )


def _judged(metered: Reading | None, gateways: int) -> Reading | None:
    """Call a good reading a part where a gateway that is known to live has no series in it; no count is unknown."""
    if metered is not None and metered.value is not None and (why := doubt(metered.value)):
        return metered._replace(value=None, problem=f"Prometheus: {why}")
    if metered is None or metered.problem or metered.series >= gateways:
        return metered
    return metered._replace(problem=f"Prometheus has series of {metered.series} of {gateways} gateways")


def _heard(live: Live) -> Live:
    """Give what the streams say; of numbers that cannot be true nothing is taken."""
    numbers = [number for number in (live.latest, live.mean, live.passing) if number is not None]
    why = next(filter(None, map(doubt, numbers)), "")
    return Live(None, None, problem=f"a gateway's stream: {why}") if why else live


def _count(metered: Reading | None, live: Live) -> tuple[float | None, str]:
    if metered is not None and metered.value is not None and not metered.problem:
        return metered.value, ""
    heard = live.latest if live.mean is None else live.mean
    if heard is not None and not live.problem:
        return heard, ""
    parts = [part for part in (metered.value if metered else None, heard) if part is not None]
    problems = [problem for problem in (metered.problem if metered else "", live.problem) if problem]
    return max(parts, default=None), "; ".join(problems)


def past_observations(
    moments: Sequence[TimedReading], fleet: Fleet, now_s: float, *, gateways: int = 0, rescale: Rescale | None = None
) -> list[Observation]:
    """Make the looks that would have been taken until `now_s`; what was unknown then is left out.

    They are moved so that the last one is taken now: a gap of a second between the past and the present would be time
    without requests to algorithms that count silence as zero.

    Args:
        moments: evenly apart, in order; those after `now_s` are of no use.
        fleet: what runs now: a replica that is ready is taken to have been so since it was made, and asked for.
        now_s: when the fleet was seen.
        gateways: how many are known to live now; series from fewer were a part then.
        rescale: when the number asked for was changed last, and from what, where that is known.
    """
    known = [moment for moment in moments if moment.at_s <= now_s]
    if len(known) < 2:  # noqa: PLR2004 - one moment has no length
        return []
    later_s, step_s = now_s - known[-1].at_s, known[1].at_s - known[0].at_s
    return [
        observe(
            moment.at_s + later_s,
            moment.at_s + later_s - step_s,
            _then(fleet, moment.at_s, now_s - moment.at_s, rescale),
            metered=moment.reading,
            live=Live(None, None),
            gateways=gateways,
        )
        for moment in known
        if moment.reading.value is not None
    ]


def _then(fleet: Fleet, at_s: float, ago_s: float, rescale: Rescale | None) -> Fleet:
    """Give the fleet as it may have been, as far as looks show it."""
    replicas = tuple(replica for replica in fleet.replicas if replica.age_s >= ago_s)
    if rescale is None or rescale.before is None:
        return Fleet(min(fleet.asked, len(replicas)), replicas)
    return Fleet(rescale.before if at_s < rescale.at_s else fleet.asked, replicas)
