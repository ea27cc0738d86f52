"""Records and views of tests of this package: each says only what matters to it."""

from datetime import timedelta, timezone

from algorithms.observation import Observation
from algorithms.types import Average, Decision, Reason, Recommendation
from autoscaler.accounts import Start, Starts
from autoscaler.explain.episodes import EpisodeRecorder
from autoscaler.explain.view import ServiceView
from autoscaler.ports import Fleet, Outcome, Record, Replica
from autoscaler.testing import policy

CET = timezone(timedelta(hours=1), "CET")
NOON = 1796126400.0
"""1 December 2026, 12:00:00 UTC."""


def at(clock):
    """Give the Unix time of a clock time in CET on that day."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return NOON - 13 * 3600 + hours * 3600 + minutes * 60 + seconds


def stable(value, per=1.0, replicas=None, *, known=60.0, over=60.0, panic=False):
    """Make a recommendation by an average of the stable window."""
    number = -int(-value // per) if replicas is None else replicas
    return Recommendation(number, f"stable {value:g}", (Average("stable", value, over, known),), per, panic)


def record(
    clock="14:35:02",
    *,
    replicas=5,
    ready=None,
    inflight=1.0,
    desired=None,
    recommendation=None,
    reasons=(),
    error=None,
    drain=(),
    written=False,
    unwritten="",
    **observation,
):
    """Make a record; by default nothing had to be written."""
    now_s = at(clock) if isinstance(clock, str) else clock
    counts = {"queued": 0.0, "running": inflight} if inflight is not None else {}
    seen = Observation(
        now_s,
        now_s - 2,
        inflight,
        replicas,
        replicas if ready is None else ready,
        **{"latest": inflight or 0.0, **counts, **observation},
    )
    recommendation = stable(float(replicas)) if recommendation is None else recommendation
    chain = tuple(Reason(*reason) for reason in reasons)
    number = chain[-1].after if chain else recommendation.replicas
    number = replicas if number is None else number
    decision = Decision(number if desired is None else desired, recommendation, chain)
    outcome = None
    if written or error or drain:
        outcome = Outcome("default/x", error or "", tuple(Reason(*reason) for reason in drain))
    return Record("default/x", seen, decision, outcome, unwritten)


def view(*records, now="14:35:02", spec=None, annotations=None, starts=(), **known):
    """Make a view after these records; `starts` are the seconds that starts took."""
    episodes = EpisodeRecorder()
    for each in records:
        episodes(each)
    return ServiceView(
        "default/x",
        at(now),
        policy("x", annotations=annotations, **(spec or {})),
        records[-1] if records else None,
        starts=Starts(tuple(Start(f"p{number}", 0.0, (), took) for number, took in enumerate(starts))),
        zone=CET,
        **({"episodes": episodes.of("default/x")} | known),
    )


def fleet(*states, asked=None, override=None):
    """Make a fleet: each state is the age of a pod that starts, as text, or how many requests a ready one runs."""
    replicas = tuple(
        Replica(f"p{number}", ready=False, running=0, age_s=float(state))
        if isinstance(state, str)
        else Replica(f"p{number}", ready=True, running=state, age_s=100.0)
        for number, state in enumerate(states)
    )
    return Fleet(len(states) if asked is None else asked, replicas, override)
