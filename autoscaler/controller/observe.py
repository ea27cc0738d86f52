"""Combines the counts of Prometheus and of the gateways' streams into one `algorithms.observation.Observation`.

Both measure the same requests and are never added. A tick decides on Prometheus. A newer and higher count from the
streams wins, a lower one does not lower. If Prometheus has no count or only a part, and all gateways' streams are up to
date, the streams decide alone. If not, the count is a part, which may raise the number, or unknown.
"""

from collections.abc import Sequence
from typing import NamedTuple

from algorithms.observation import ColdStart, Observation
from algorithms.plausibility import doubt
from autoscaler.ports import Fleet, Reading, Rescale, TimedReading


class StreamedCounts(NamedTuple):
    """The counts of one service in the gateways' streams; `problem` and None as in `Reading`."""

    latest: float | None
    """Requests queued and running now."""
    mean: float | None
    """Their mean since the last observation, from the gateways' integrals; None if a stream was interrupted."""
    passing: int = 0
    """Pass requests that are held now, and those let through since the last observation."""
    problem: str = ""
    queued: float | None = None
    """Those of them that wait; None if slots of a lost gateway are held, in which they may run."""
    arrived: int | None = None
    """Requests that arrived since the last observation; this and the next two are None if they are not told."""
    finished: int | None = None
    """Requests that pods finished since then."""
    served_s: float | None = None
    """How long the pods took for those, summed."""
    hinted: int = 0
    """Requests that are announced to the gateways that report, and have not arrived."""
    hinted_s: float = 0.0
    """Within how many seconds they are all to come."""


NO_STREAM = StreamedCounts(None, None, problem="no gateway is known")


def observe(
    now_s: float,
    since_s: float,
    fleet: Fleet,
    *,
    metered: Reading | None = None,
    live: StreamedCounts = NO_STREAM,
    gateways: int = 0,
    starts: tuple[ColdStart, ...] = (),
) -> Observation:
    """Make the observation of one service.

    Args:
        now_s: the time of the observation.
        since_s: the time of the one before it.
        fleet: what the target runs.
        metered: the reading of Prometheus; None at a wake-up, which does not ask it, and without a query.
        live: the counts of the streams.
        gateways: how many gateways are known; series from fewer are a part of the whole.
        starts: the starts of replicas that were first seen to be over.
    """
    live = _plausible(live)
    inflight, problem = _count(_checked(metered, gateways), live)
    return Observation(
        now_s=now_s,
        since_s=since_s,
        inflight=inflight,
        replicas=fleet.asked,
        ready=fleet.ready,
        latest=live.latest or 0.0,
        passing=live.passing,
        problem=problem,
        pools=fleet.pools,
        queued=live.queued,
        running=None if live.queued is None or live.latest is None else live.latest - live.queued,
        starting=len(fleet.replicas) - fleet.ready,
        unplaced=fleet.unplaced,
        arrived=live.arrived,
        finished=live.finished,
        served_s=live.served_s,
        starts=starts,
        hinted=float(live.hinted),
        hinted_s=live.hinted_s,
    )


def _checked(metered: Reading | None, gateways: int) -> Reading | None:
    """Mark a reading as partial if a known gateway has no series in it, and as unknown if it is no count."""
    if metered is not None and metered.value is not None and (why := doubt(metered.value)):
        return metered._replace(value=None, problem=f"Prometheus: {why}")
    if metered is None or metered.problem or metered.series >= gateways:
        return metered
    return metered._replace(problem=f"Prometheus has series of {metered.series} of {gateways} gateways")


def _plausible(live: StreamedCounts) -> StreamedCounts:
    """Give the counts of the streams; if one cannot be true, all are unknown."""
    numbers = [number for number in (live.latest, live.mean, live.passing) if number is not None]
    why = next(filter(None, map(doubt, numbers)), "")
    return StreamedCounts(None, None, problem=f"a gateway's stream: {why}") if why else live


def _count(metered: Reading | None, live: StreamedCounts) -> tuple[float | None, str]:
    if metered is not None and metered.value is not None and not metered.problem:
        return metered.value, ""
    streamed = live.latest if live.mean is None else live.mean
    if streamed is not None and not live.problem:
        return streamed, ""
    parts = [part for part in (metered.value if metered else None, streamed) if part is not None]
    problems = [problem for problem in (metered.problem if metered else "", live.problem) if problem]
    return max(parts, default=None), "; ".join(problems)


def past_observations(
    readings: Sequence[TimedReading], fleet: Fleet, now_s: float, *, gateways: int = 0, rescale: Rescale | None = None
) -> list[Observation]:
    """Make the observations of the time before `now_s` from history, without those whose count was unknown.

    They are moved so that the last one is at `now_s`. A gap of a second would be time without requests to algorithms
    that count silence as zero.

    Args:
        readings: evenly spaced, in order; those after `now_s` are not used.
        fleet: what runs now; a ready replica is assumed to have been ready and asked for since it was created.
        now_s: when the fleet was observed.
        gateways: how many gateways are known now; series from fewer were a part then.
        rescale: the last change of the replicas asked for, if it is known.
    """
    known = [each for each in readings if each.at_s <= now_s]
    if len(known) < 2:  # noqa: PLR2004 - one reading covers no time
        return []
    later_s, step_s = now_s - known[-1].at_s, known[1].at_s - known[0].at_s
    return [
        observe(
            each.at_s + later_s,
            each.at_s + later_s - step_s,
            _then(fleet, each.at_s, now_s - each.at_s, rescale),
            metered=each.reading,
            live=StreamedCounts(None, None),
            gateways=gateways,
        )
        for each in known
        if each.reading.value is not None
    ]


def _then(fleet: Fleet, at_s: float, ago_s: float, rescale: Rescale | None) -> Fleet:
    """Give the fleet as it probably was."""
    replicas = tuple(replica for replica in fleet.replicas if replica.age_s >= ago_s)
    if rescale is None or rescale.before is None:
        return Fleet(min(fleet.asked, len(replicas)), replicas)
    return Fleet(rescale.before if at_s < rescale.at_s else fleet.asked, replicas)
