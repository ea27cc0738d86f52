"""The words of each rule, for a decision whose number it changed last.

`WORDS` has one entry for each name that can stand in the reasons of a decision; a test goes through all that exist. The
texts stand behind "5 replicas". What a rule says itself (`Reason.why`) has the numbers that it used, and is taken apart
here; if it has another form, as in a log of an earlier release, it is shown as it is.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from algorithms.good_time import current_count
from algorithms.types import Reason
from autoscaler.explain.causes import needed, per_replica, requests
from autoscaler.explain.states import State
from autoscaler.explain.view import ServiceView
from autoscaler.explain.wording import appointed, clock, count, duration, number_of, sentence, span
from autoscaler.ports import Record

STANDING = frozenset({"paused", "override", "foreignWriter", "replicasContested", "secondPolicy", "deciderFailed"})
"""Rules that are the cause also if they leave the number as it was."""


class Case(NamedTuple):
    """A decision and the rule that is its cause."""

    view: ServiceView
    record: Record
    reason: Reason
    number: int
    """Replicas asked for after the decision."""

    def at(self, at_s: float) -> str:
        """Write a time."""
        return clock(at_s, self.view.now_s, self.view.zone)

    @property
    def wanted(self) -> str:
        """Name the number that the policy wants, if it is another one."""
        return "" if self.reason.before == self.number else f", though this policy wants {self.reason.before}"


class Said(NamedTuple):
    """What a rule has to say."""

    first: str
    """Stands behind "5 replicas"."""
    short: str
    """Stands behind "5" in a row of a table."""
    second: str | None = None
    """The second sentence, if it is not about what is in flight and what comes next."""
    state: State | None = None
    """The tag, if the rule has one."""


def said(case: Case) -> Said:
    """Say why this rule gave the number."""
    return WORDS.get(case.reason.rule, _plain)(case)


def _plain(case: Case) -> Said:
    rule, why = case.reason.rule, case.reason.why
    return Said(f", by the rule {rule}: {why}", f", by {rule}: {why}")


# Rules of the decider.


def _from_zero(case: Case) -> Said:
    waiting = current_count(case.record.observation)
    verb = "waits" if waiting == 1 else "wait"
    text = f"{requests(waiting)} {verb} and no replica is ready"
    return Said(f", because {text}", f" asked: {text}")


def _passing(case: Case) -> Said:
    number = case.record.observation.passing
    text = f"{count(number)} uncounted {'request needs' if number == 1 else 'requests need'} a replica"
    return Said(f", because {text}", f": {text}")


def _standby(case: Case) -> Said:
    spare = case.reason.after - case.reason.before
    text = f"{_is_or_are(case.reason.before)} needed and {_is_or_are(spare)} spare while there is load"
    return Said(f", because {text}", f": {text}")


def _hints(case: Case) -> Said:
    found = re.match(r"([\d.e+]+) announced within ([\d.e+]+) s", case.reason.why)
    if not found:
        return Said(f", because {case.reason.why}", f": {case.reason.why}")
    announced = f"{number_of(float(found[1]), 'request is', 'requests are')} announced within {span(float(found[2]))}"
    return Said(f", because {announced}", f": {announced}")


def _is_or_are(number: float) -> str:
    return number_of(number, "is", "are")


def _worth_a_start(case: Case) -> Said:
    before, why = case.reason.before, case.reason.why
    return Said(f" are enough, though {before} were recommended: {why}", f": {why}, so {before} are not worth a start")


def _delay(case: Case) -> Said:
    found = re.search(r"within the last ([\d.e+]+) s", case.reason.why)
    within = f" within the last {span(float(found[1]))}" if found else " a moment ago"
    before, after = case.reason.before, case.reason.after
    were = f"{after} {'was' if after == 1 else 'were'} recommended{within}"
    return Said(f", because {were}; now it would be {before}", f": {were}, now {before}")


def _to_zero_delay(case: Case) -> Said:
    found = re.search(r"for ([\d.e+]+) of ([\d.e+]+) s", case.reason.why)
    if not found:
        return Said(f", held because {case.reason.why}", f", kept by toZeroDelay: {case.reason.why}")
    for_s, of_s = float(found[1]), float(found[2])
    text = f"zero has been recommended for {duration(for_s)} of {span(of_s)}"
    return Said(f", held because {text}", f", kept by toZeroDelay: {text}")


def _partial_count(case: Case) -> Said:
    text = "only a part of the count is known"
    second = f"{sentence(case.reason.why)} A part may raise the number and does not lower it."
    return Said(f", held because {text}", f", held: {text}", second)


def _first_window(case: Case) -> Said:
    found = re.match(r"([\d.e+]+) of ([\d.e+]+) s are known since the start", case.reason.why)
    if not found:
        return Said(f", held because {case.reason.why}", f", held: {case.reason.why}")
    now_s, known_s, of_s = case.record.observation.now_s, float(found[1]), float(found[2])
    known = f"{duration(known_s)} of the {span(of_s)} window are known"
    return Said(
        f", held because {known} since the start at {case.at(now_s - known_s)}",
        f", held: {known}",
        f"Until {case.at(now_s - known_s + of_s)} the number may rise and does not fall.",
    )


def _by(why: str) -> str:
    """Give what set a bound, if it is not the policy alone."""
    return re.sub(r"^at (least|most) \d+", "", why)


def _max_replicas(case: Case) -> Said:
    wanted, observation = case.reason.before, case.record.observation
    now, per = current_count(observation), per_replica(case.view)
    if per is not None and needed(now, per) == wanted:
        though = f"{requests(now)} in flight would need {wanted}"
    else:
        though = f"{_is_or_are(wanted)} needed"
    most = f", the maximum{_by(case.reason.why)}"
    return Said(f"{most}, though {though}", f"{most}: {though}", state=State.AT_MAX)


def _min_replicas(case: Case) -> Said:
    by = _by(case.reason.why)
    least = ", the reserve" if by == ", a reserve" else f", the minimum{by}"
    return Said(
        f"{least}, though {case.reason.before} would be enough", f"{least}: {case.reason.before} would be enough"
    )


def _max_cold(case: Case) -> Said:
    found = re.search(r"at most (\d+) may start at once", case.reason.why)
    ready, wanted = case.record.observation.ready, case.reason.before
    starts = f"at most {found[1]} may start at once" if found else case.reason.why
    text = f"{_is_or_are(ready)} ready and {starts}; {_is_or_are(wanted)} needed"
    return Said(f", because {text}", f": {text}")


def _decider_failed(case: Case) -> Said:
    return Said(
        ", held because the decision failed"
        if case.reason.after == case.reason.before
        else ", because the decision failed",
        ": the decision failed",
        f"{sentence(case.reason.why)} Nothing lowers the number meanwhile.",
    )


# What people and other programs say.


def _until(case: Case) -> str:
    """Give when a pause or an override ends, as it was written."""
    text = case.reason.why.rpartition(" until ")[2]
    try:
        at_s = datetime.fromisoformat(text).timestamp()
    except ValueError:
        return text
    return appointed(at_s, case.view.now_s, case.view.zone)


def _though_recommended(case: Case) -> str:
    wanted = case.reason.before
    return "" if wanted == case.number else f", though {_is_or_are(wanted)} recommended"


def _paused(case: Case) -> Said:
    until = _until(case)
    return Said(
        f", held because the policy is paused until {until}{_though_recommended(case)}",
        f", paused until {until}{_though_recommended(case)}",
        "Then it goes on from what is there.",
        State.PAUSED,
    )


def _override(case: Case) -> Said:
    until = _until(case)
    return Said(
        f", set by hand until {until}{_though_recommended(case)}",
        f", set by hand until {until}{_though_recommended(case)}",
        "Then the policy decides again.",
        State.HOLDING,
    )


def _foreign_writer(case: Case) -> Said:
    foreign, now = case.view.episodes.foreign, current_count(case.record.observation)
    writer = (foreign.writer if foreign else "") or "another writer"
    at = f" at {case.at(foreign.since_s)}" if foreign else ""
    if foreign and foreign.number is not None and case.number > foreign.number:
        text = f"{requests(now)} {'is' if now == 1 else 'are'} in flight; {writer} set {foreign.number}{at}"
        return Said(f", because {text}", f": {text}", _takes_back(case), State.FOREIGN)
    by = f", set by {writer}{at}"
    return Said(f"{by}{case.wanted}", f"{by}{case.wanted}", _takes_back(case), State.FOREIGN)


def _takes_back(case: Case) -> str:
    """Say when the policy goes on."""
    held = None if case.view.fleet is None else case.view.fleet.override
    foreign = case.view.episodes.foreign
    until_s = held.until_s if held else foreign.until_s if foreign else None
    does = "takes the number back" if case.wanted else "goes on"
    if until_s is None:
        return f"It {does} when nobody else writes."
    return f"It {does} at {case.at(until_s)} if nobody else writes."


def _contested(case: Case) -> Said:
    foreign = case.view.episodes.foreign
    writer = (foreign.writer if foreign else "") or "another writer"
    text = f", set by {writer} again and again{case.wanted}"
    second = f"{sentence(case.reason.why)} Until it stops, this policy raises the number once a minute at most."
    return Said(text, text, second, State.FOREIGN)


def _second_policy(case: Case) -> Said:
    text = f", decided by an older policy{case.wanted}"
    return Said(text, text, sentence(case.reason.why), State.HOLDING)


# What several services, pools and pods need.


def _backfill(case: Case) -> Said:
    text = "the history before the start is being read"
    return Said(f", held because {text}{_though_recommended(case)}", f", held: {text}")


def _budget(case: Case) -> Said:
    name, _, rest = case.reason.why.partition(": ")
    wanted = case.reason.before
    text = f"{name} allows no more; {_is_or_are(wanted)} wanted"
    return Said(f", because {text}", f": {text}", sentence(rest))


def _pools(case: Case) -> Said:
    before, after = case.reason.before, case.reason.after
    if after > before:
        text = f"{_is_or_are(before)} needed and one moves to another pool"
    else:
        text = f"the pools have no room for {before}"
    return Said(f", because {text}", f": {text}", sentence(case.reason.why))


def _pods_busy(case: Case) -> Said:
    wanted = case.reason.before
    text = f"though {_is_or_are(wanted)} wanted: a pod that was to leave became busy"
    return Said(f", {text}", f", {text}", sentence(case.reason.why))


def _drain_cancelled(case: Case) -> Said:
    return Said(f", held because {case.reason.why}", f", held: {case.reason.why}")


def _written_anyway(case: Case) -> Said:
    """Say what was not sure when the number was written."""
    return Said(f", written without all proofs: {case.reason.why}", f", written without all proofs: {case.reason.why}")


WORDS: Mapping[str, Callable[[Case], Said]] = {
    "fromZero": _from_zero,
    "standby": _standby,
    "scaleUp.worthAStart": _worth_a_start,
    "passing": _passing,
    "hints": _hints,
    "partialCount": _partial_count,
    "scaleDown.delay": _delay,
    "scaleDown.toZeroDelay": _to_zero_delay,
    "firstWindow": _first_window,
    "maxReplicas": _max_replicas,
    "minReplicas": _min_replicas,
    "maxCold": _max_cold,
    "deciderFailed": _decider_failed,
    "paused": _paused,
    "override": _override,
    "foreignWriter": _foreign_writer,
    "replicasContested": _contested,
    "secondPolicy": _second_policy,
    "backfill": _backfill,
    "budget": _budget,
    "pools": _pools,
    "podsBusy": _pods_busy,
    "podsUnknown": _written_anyway,
    "drainUnconfirmed": _written_anyway,
    "drainCancelled": _drain_cancelled,
}
