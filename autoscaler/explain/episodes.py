"""Since when something lasts: kept from record to record, live and over a decision log alike.

A record says what is true now. "Since 14:35:02" needs those before it, and keeping all of them for one time would cost
too much: an `Episodes` is a few numbers for each service.
"""

import re
from typing import NamedTuple

from algorithms.types import Reason
from autoscaler.ports import Record, ServiceName

FOREIGN = frozenset({"foreignWriter", "replicasContested"})
"""Rules that hold a number which another writer has set."""
_QUIET_FOR = re.compile(r"quiet for ([\d.]+) s")
_WRITTEN_BY = re.compile(r"(.*?) has written (\d+)\b")


class Refusals(NamedTuple):
    """Writes of the number that failed, one after the other."""

    since_s: float
    times: int
    error: str
    """The last one's."""
    at_s: float
    """When the last one failed."""


class ForeignWrite(NamedTuple):
    """A number that another writer has set."""

    rule: str
    writer: str
    """Empty if nobody knows it."""
    number: int | None
    since_s: float
    """When the first decision saw it."""
    until_s: float | None
    """When the hold ends if nobody else writes; None is unknown."""
    why: str


class Episodes(NamedTuple):
    """What lasts at one service, and since when, in Unix time; None if it does not last."""

    begun_s: float | None = None
    """The first record. What has lasted since then may have begun before."""
    asked: int | None = None
    """Replicas asked for after the last record."""
    asked_since_s: float | None = None
    """Since when; None if the number has been the same since before the first record."""
    unknown_since_s: float | None = None
    """The count is unknown."""
    quiet_since_s: float | None = None
    """Nothing is in flight."""
    zero_since_s: float | None = None
    """The algorithm recommends zero."""
    zero_for_s: float | None = None
    """For how long it had recommended zero when the last replica was given up."""
    max_since_s: float | None = None
    """The upper bound limits the number."""
    unplaced_since_s: float | None = None
    """Replicas have no place."""
    refusals: Refusals | None = None
    """The number cannot be written."""
    foreign: ForeignWrite | None = None
    """Another writer has set the number."""


def asked_after(record: Record) -> int:
    """Give the replicas that are asked for after a decision."""
    return record.observation.replicas if record.written is None else record.written


def after(before: Episodes, record: Record) -> Episodes:
    """Give what lasts after one more record of the same service."""
    observation, decision = record.observation, record.decision
    now_s, asked = observation.now_s, asked_after(record)
    zero_since_s = before.zero_since_s
    if decision.recommendation.replicas is not None:
        zero_since_s = None if decision.recommendation.replicas else _since(before.zero_since_s, now_s)
    changed = before.asked is not None and asked != before.asked
    last_went = changed and not asked and zero_since_s is not None
    return Episodes(
        begun_s=_since(before.begun_s, now_s),
        asked=asked,
        asked_since_s=now_s if changed else before.asked_since_s,
        unknown_since_s=_since(before.unknown_since_s, now_s) if observation.inflight is None else None,
        quiet_since_s=_quiet_since_s(before, record),
        zero_since_s=zero_since_s,
        zero_for_s=now_s - zero_since_s if last_went and zero_since_s is not None else _kept(before, asked),
        max_since_s=_since(before.max_since_s, now_s) if _has(record, "maxReplicas") else None,
        unplaced_since_s=_since(before.unplaced_since_s, now_s) if unplaced(record) else None,
        refusals=_refusals(before.refusals, record),
        foreign=_foreign(before.foreign, record),
    )


def unplaced(record: Record) -> int:
    """Give how many replicas have no place; the pools say it too, also in a log of an earlier release."""
    return max(record.observation.unplaced, sum(pool.unplaced for pool in record.observation.pools))


def _since(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s


def _kept(before: Episodes, asked: int) -> float | None:
    return None if asked else before.zero_for_s


def _has(record: Record, rule: str) -> bool:
    return any(reason.rule == rule for reason in record.decision.reasons)


def _quiet_since_s(before: Episodes, record: Record) -> float | None:
    """Say since when nothing is in flight: the mean covers the time since the record before it, the counts are now."""
    observation = record.observation
    if observation.inflight is None or observation.problem or observation.latest:
        return None
    if observation.queued or observation.running:
        return None
    if not observation.inflight:
        return _since(before.quiet_since_s, observation.since_s)
    is_over = observation.queued is not None and observation.running is not None
    return observation.now_s if is_over else None


def _refusals(before: Refusals | None, record: Record) -> Refusals | None:
    """Count the failed writes in a row; a decision that needs no write does not end them, one that is written does."""
    if record.outcome is None:
        return None if record.decision.desired == record.observation.replicas else before
    if not record.outcome.error:
        return None
    since_s, times = (record.observation.now_s, 0) if before is None else before[:2]
    return Refusals(since_s, times + 1, record.outcome.error, record.observation.now_s)


def _foreign(before: ForeignWrite | None, record: Record) -> ForeignWrite | None:
    reason = next((each for each in record.decision.reasons if each.rule in FOREIGN), None)
    if reason is None:
        return None
    if before is not None and (before.rule, before.why) == (reason.rule, reason.why):
        return before
    return _foreign_write(reason, record.observation.now_s)


def _foreign_write(reason: Reason, now_s: float) -> ForeignWrite:
    found, quiet = _WRITTEN_BY.match(reason.why), _QUIET_FOR.search(reason.why)
    writer = "" if found is None or found[1] == "unknown" else found[1]
    return ForeignWrite(
        reason.rule,
        writer,
        None if found is None else int(found[2]),
        now_s,
        None if quiet is None else now_s + float(quiet[1]),
        reason.why,
    )


class EpisodeRecorder:
    """A recorder that keeps the episodes of all services."""

    def __init__(self) -> None:
        self._of: dict[ServiceName, Episodes] = {}

    def __call__(self, record: Record) -> None:
        """Take in a record."""
        self._of[record.service] = after(self._of.get(record.service, Episodes()), record)

    def of(self, service: ServiceName) -> Episodes:
        """Give what lasts at a service; nothing is known before its first record."""
        return self._of.get(service, Episodes())

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._of.pop(service, None)
