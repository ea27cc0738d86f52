"""What was recorded of a service: its requests, its policy and its measured cold starts.

A gateway's request log has each request as it was. A decision log has counts only: requests in flight at each decision.
Arrivals are estimated from them, by the balance of requests: between two decisions as many have arrived as there are
more in flight, and as many as have ended; and pods that ran R requests for a time T have ended R x T / S of them, where
S is the mean service time. Time in which the count was unknown is left out, and said.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from autoscaler.controller.records import policy_line_of, record_of
from autoscaler.documents.document import Document, DocumentError
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Record
from simulations.scenario.workloads import LEAST_S
from simulations.traces.recorded import COUNT, NEVER_DISPATCHED, Trace, trace_of_log

MOST_SAMPLES = 10_000
"""Of service times: the simulator draws from them where one is unknown."""


class CompareError(Exception):
    """Nothing can be compared; the message says why."""


class Load(NamedTuple):
    """The requests of a service in a span of time."""

    trace: Trace
    start_s: float
    """When the span begins, in Unix time."""
    span_s: float
    """How much of the time is known."""
    service_time: Any
    """The distribution of service times that are not in the trace, as in a scenario."""
    source: str
    """What it was read from, for people."""
    estimated: str = ""
    """How arrivals were estimated; empty if they are exact."""
    unknown_s: float = 0.0
    """How much of the time was left out, because no count is known."""

    @property
    def start(self) -> str:
        """When the span begins, as a scenario has it."""
        return datetime.fromtimestamp(floor(self.start_s), UTC).isoformat()


class DecisionLog(NamedTuple):
    """What a decision log has of one service."""

    policy: ScalingPolicy | None
    """The last one."""
    records: tuple[Record, ...]
    """In the order of time."""


def of_requests(lines: Iterable[dict[str, Any]], service: str, since_s: float, source: str) -> Load:
    """Read the last `since_s` seconds of a request log.

    Raises:
        CompareError: there is no request of the service, or no service time is known.
    """
    own = [line for line in lines if line["service"] == service and _is_counted(line)]
    if not own:
        raise CompareError(f"{source}: has no counted request of {service}")
    last_s = max(line["arrival"] for line in own)
    own = [line for line in own if line["arrival"] >= last_s - since_s]
    start_s = min(line["arrival"] for line in own)
    ends_s = max(line["arrival"] + (line.get("wait_s") or 0.0) + (line["service_s"] or 0.0) for line in own)
    trace = trace_of_log(own, service, start_s, float("inf"))
    service_s = np.zeros(0) if trace.service_s is None else trace.service_s
    known = service_s[~np.isnan(service_s)]
    if not len(known):
        raise CompareError(f"{source}: has no request of {service} that was served, so no service time is known")
    return Load(trace, start_s, ends_s - start_s, known[:MOST_SAMPLES].tolist(), f"{len(trace)} requests of {source}")


def _is_counted(line: dict[str, Any]) -> bool:
    return bool(line["kind"] == COUNT and line["outcome"] not in NEVER_DISPATCHED)


def read_decisions(paths: Sequence[Path], service: str) -> DecisionLog:
    """Read decision logs; an incomplete last line is left out, as it is still being written.

    Raises:
        DocumentError: a line is not one of a decision log.
        OSError: a file cannot be read.
    """
    policy, records = None, []
    for line in (each for path in paths for each in _lines(path)):
        if not isinstance(line.value, dict) or line.value.get("service") != service:
            continue
        if "policy" in line.value:
            policy = policy_line_of(line).policy
        else:
            records.append(record_of(line))
    return DecisionLog(policy, tuple(sorted(records, key=lambda record: record.observation.now_s)))


def _lines(path: Path) -> Iterator[Document]:
    *whole, _rest = path.read_bytes().split(b"\n")
    for number, text in enumerate(whole, 1):
        try:
            yield Document(str(path), msgspec.json.decode(text), {(): number})
        except (ValueError, RecursionError) as error:
            raise DocumentError([f"{path}:{number}: not a line of a decision log: {error}"]) from error


class ServiceTimes(NamedTuple):
    """How long pods work on requests."""

    distribution: Any
    """As in a scenario."""
    mean_s: float
    limit: int
    """How many requests a pod runs at a time; 0 is no limit."""


def of_decisions(records: Sequence[Record], times: ServiceTimes, since_s: float, source: str) -> Load:
    """Estimate the requests of the last `since_s` seconds of a decision log.

    Args:
        records: the decisions on one service, in the order of time.
        times: how long requests take.
        since_s: how far back from the last decision.
        source: the log's name.

    Raises:
        CompareError: the log has no decision on the service, or no count is known.
    """
    if not records:
        raise CompareError(f"{source}: has no decision on the service")
    first_s = records[-1].observation.now_s - since_s
    recent = [record for record in records if record.observation.since_s >= first_s]
    found = _Balance(times)
    for record in recent:
        found.take(record)
    if not found.times_s:
        raise CompareError(f"{source}: has no request in flight in this time")
    return Load(
        Trace(np.array(found.times_s)),
        recent[0].observation.since_s,
        found.known_s,
        times.distribution,
        f"about {len(found.times_s)} requests of {source}",
        f"arrivals are estimated from the requests in flight at {len(recent)} decisions",
        found.unknown_s,
    )


class _Balance:
    """Counts arrivals from requests in flight, decision by decision."""

    def __init__(self, times: ServiceTimes) -> None:
        self._mean_s, self._limit = max(times.mean_s, LEAST_S), times.limit
        self._until_s: float | None = None
        self._before: tuple[float, float] | None = (0.0, 0.0)
        """Requests in flight and running at the last decision; None if they were unknown."""
        self._rest = 0.0
        """Arrivals that are not a whole request yet; below 0 if more have ended than can be explained."""
        self.times_s: list[float] = []
        self.known_s = self.unknown_s = 0.0

    def take(self, record: Record) -> None:
        """Take in the next decision."""
        seen = record.observation
        since_s = seen.since_s if self._until_s is None else max(seen.since_s, self._until_s)
        took_s, self._until_s = max(seen.now_s - since_s, 0.0), max(seen.now_s, since_s)
        now = self._counts(record)
        if now is None:
            self.unknown_s += took_s
            self._before = None
            return
        (before, ran), (inflight, running) = self._before or now, now
        self._rest += inflight - before + (ran + running) / 2 * took_s / self._mean_s
        arrived = max(floor(self._rest), 0)
        self._rest -= arrived
        self.times_s += [self.known_s + took_s * (number + 0.5) / arrived for number in range(arrived)]
        self.known_s += took_s
        self._before = now

    def _counts(self, record: Record) -> tuple[float, float] | None:
        seen = record.observation
        if seen.queued is not None and seen.running is not None:
            return seen.queued + seen.running, seen.running
        if seen.inflight is None or seen.problem:
            return None
        room = seen.ready * self._limit if self._limit else float("inf")
        return seen.inflight, min(seen.inflight, room)


def cold_starts_s(records: Iterable[Record]) -> list[float]:
    """Give the cold starts that a decision log shows, exact to one decision.

    Each replica that was asked for is matched with the next one that became ready, in order. Replicas that were given
    up before they were ready are left out.
    """
    pending: list[float] = []
    found: list[float] = []
    ready: int | None = None
    for record in records:
        seen = record.observation
        if ready is not None and seen.ready > ready:
            count = min(seen.ready - ready, len(pending))
            found += [seen.now_s - asked_s for asked_s in pending[:count]]
            del pending[:count]
        ready = seen.ready
        if (written := record.written) is not None:
            pending = _asked(pending, written - seen.replicas, seen.now_s)
    return found


def _asked(pending: list[float], more: int, now_s: float) -> list[float]:
    return [*pending, *[now_s] * more] if more > 0 else pending[: max(len(pending) + more, 0)]
