"""Decision records for tests of the page."""

from algorithms.observation import Observation
from algorithms.types import Average, Decision, Reason, Recommendation
from autoscaler.ports import Outcome, Record

SERVICE = "default/sd"


def record(
    now_s, *, running=0.0, queued=0.0, replicas=0, ready=0, desired=None, service=SERVICE, problem="", reasons=()
):
    """Make the record of a decision; `running=None` is an unknown count."""
    inflight = None if running is None or queued is None else running + queued
    desired = replicas if desired is None else desired
    averages = () if inflight is None else (Average("stable", inflight, 60.0, 60.0),)
    return Record(
        service,
        Observation(
            now_s=now_s,
            since_s=now_s - 2,
            inflight=inflight,
            replicas=replicas,
            ready=ready,
            latest=inflight or 0.0,
            problem=problem or ("the stream is silent" if inflight is None else ""),
            queued=queued,
            running=running,
            starting=max(replicas - ready, 0),
        ),
        Decision(
            desired,
            Recommendation(None if inflight is None else desired, "because", averages, 1.0),
            tuple(Reason(rule, desired, desired, "why") for rule in reasons),
        ),
        None if desired == replicas else Outcome(service),
        "unchanged" if desired == replicas else "",
    )
