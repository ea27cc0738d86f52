"""The books of one service under load: what clients were told, what pods ran, how the number of replicas went, and why.

They are kept outside the product, and compared in the end: `settle` fails on a request that is unaccounted for, on one
that ran twice, and on a change of replicas that no decision explains.
"""

import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from autoscaler.controller.records import explained, from_json
from autoscaler.controller.replay import Replay


@dataclass(slots=True)
class Request:
    """One request as its client saw it."""

    name: str
    sent_s: float
    status: int = 0
    """Of the answer; 0 where the connection broke."""
    text: str = ""
    """What the answer said, or how the connection broke."""
    retry_after: str = ""
    ended_s: float = 0.0


@dataclass(slots=True)
class Run:
    """One request as a pod saw it."""

    pod: str
    begun_s: float = 0.0
    ended_s: float = 0.0
    ended: bool = False
    cut: bool = False
    """Its pod died with it."""


@dataclass(slots=True)
class Ledger:
    """The books of one service."""

    service: str
    requests: list[Request] = field(default_factory=list)
    runs: defaultdict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    overlaps: int = 0
    """Times that a pod was given more than it can take."""
    changes: list[tuple[float, int]] = field(default_factory=list)
    """Every value of spec.replicas, with the Unix time at which it was seen."""
    logs: list[list[dict]] = field(default_factory=list)
    """Of each controller the lines about this service."""

    @property
    def replicas(self):
        """Give every value of spec.replicas, in order."""
        return [number for _, number in self.changes]

    def sees(self, replicas):
        """Take in what spec.replicas is now."""
        if self.replicas[-1:] != [replicas]:
            self.changes.append((time.time(), replicas))

    @property
    def records(self):
        """Give all decisions of all controllers, by their time."""
        found = [line for log in self.logs for line in log if "observation" in line]
        return sorted(found, key=at_s)

    @property
    def orders(self):
        """Give the decisions that were to be written."""
        return [record for record in self.records if record["written"] is not None]

    def busy(self):
        """Give the address of a pod that serves one of these requests now; None if none does."""
        running = (run.pod for runs in self.runs.values() for run in runs if not (run.ended or run.cut))
        return next(running, None)

    def waits(self):
        """Give for each request that ran when it was sent and when a pod began to run it."""
        return [(each.sent_s, self.runs[each.name][0].begun_s) for each in self.requests if self.runs.get(each.name)]

    def runs_at(self, pod):
        """Count the requests that a pod has been given until now, by its address."""
        return sum(run.pod == pod for runs in self.runs.values() for run in runs)

    def is_told(self):
        """Tell whether the decision behind the last change has been recorded, which comes after it.

        That of the other controller, which writes nothing, may be there before. Where nobody's was written, as after a
        controller was killed, what is decided later is recorded later.
        """
        if len(self.changes) < 2:
            return True
        behind = _behind(self.changes[-1], self.records)
        written = any(record["written"] is not None for record in behind)
        return bool(behind) and (written or at_s(self.records[-1]) > self.changes[-1][0] + SOONEST_S)

    def statuses(self):
        """Count the requests by what came of them."""
        return Counter(request.status for request in self.requests)

    def settle(self, *refusals, killed=False):
        """Close the books.

        Args:
            refusals: what else than 200 clients may have been told here, as status or (status, text); 0 is a
                connection that broke.
            killed: whether a controller may have been killed between a write and its record; what it decided the other
                one decided too.
        """
        self._settle_requests(dict(each if isinstance(each, tuple) else (each, "") for each in refusals))
        self._settle_replicas(self.records if killed else self.orders)
        for record in self.records:
            self._settle_decision(record)
        for log in self.logs:
            assert not [again.recorded for again in Replay().lines(map(as_written, log)) if again.differs], (
                "a log replays as it was"
            )

    def _settle_requests(self, refusals):
        assert self.requests, "nobody asked for anything"
        assert self.overlaps == 0, "a pod was given more than it can take"
        for request in self.requests:
            runs = self.runs.get(request.name, [])
            assert len(runs) <= 1, f"{request} ran more than once: {runs}"
            if request.status == 200:
                assert [run.ended for run in runs] == [True], f"{request} was answered and did not run: {runs}"
            else:
                assert request.status in refusals, f"{request} has no place in these books: {runs}"
                assert refusals[request.status] in request.text, request
                assert request.text, f"{request} does not say why"
            if request.status in {503, 504}:
                assert request.retry_after, f"{request} does not say when to come again"

    def _settle_replicas(self, decisions):
        """Find the decision behind each change."""
        for (_, before), change in pairwise(self.changes):
            behind = _behind(change, decisions)
            assert any(each["recommendation"]["why"] or each["reasons"] for each in behind), (
                f"nobody decided on {before} -> {change} in {self.changes}"
            )
            assert change[1] > before or any(map(_may_lower, behind)), [
                explained(from_json(as_written(each))) for each in behind
            ]
        unseen = [order for order in self.orders if order["written"] and number(order) not in self.replicas]
        assert not unseen, f"written, and never seen: {unseen}"

    def _settle_decision(self, record):
        """What is unknown or known in part lowers nothing, nor does a decider that fails; bounds are kept."""
        if not _may_lower(record):
            assert record["desired"] >= record["observation"]["replicas"], explained(from_json(as_written(record)))


SOONEST_S, LATEST_S = 2, 40
"""How long before a change is seen it was decided: etcd may stand still meanwhile, and clocks are read a bit apart."""


def _behind(change, decisions):
    """Give the decisions on a number that were taken not long before it was seen."""
    seen_s, found = change
    return [each for each in decisions if number(each) == found and -LATEST_S < at_s(each) - seen_s < SOONEST_S]


def number(record):
    """Give the number that a decision wrote or would have written: a drain may end with another than was decided."""
    return record["drain"][-1]["after"] if record["drain"] else record["desired"]


def at_s(record):
    """Give the time of a decision, by the right clock."""
    return record["observation"]["now_s"] - record["ahead_s"]


def as_written(line):
    """Give a line as it stands in the log, without what was added here."""
    return {key: value for key, value in line.items() if key != "ahead_s"}


def _may_lower(record):
    observation = record["observation"]
    if any(reason["rule"] == "deciderFailed" for reason in record["reasons"]):
        return False
    bounded = any(reason["rule"] == "maxReplicas" for reason in record["reasons"])
    return bounded or (observation["inflight"] is not None and not observation["problem"])


class DecisionFile:
    """A decision log, read as it grows, of a controller whose clock is so much ahead."""

    def __init__(self, path, ahead_s):
        self._path, self._ahead_s = path, ahead_s
        self._read = 0
        self.lines = defaultdict(list)
        """By service."""

    def follow(self):
        """Take in what is new; a line that is not whole yet is left for the next time."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            *whole, rest = file.read().split(b"\n")
            self._read = file.tell() - len(rest)
        for line in map(json.loads, whole):
            self.lines[line["service"]].append({**line, "ahead_s": self._ahead_s})
