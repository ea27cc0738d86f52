"""The result of one run, live or simulated: its values, its report as text, and its verdict.

`live` and the simulator's `results.demo_report` make the same `RunResult`, so that their reports can be compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self

from autoscaler.demo.hey_summary import summary
from autoscaler.demo.load_result import LoadResult
from autoscaler.explain.steps import why
from autoscaler.ports import Record

OK = 200


class Moment(NamedTuple):
    """The state from `t_s` on."""

    t_s: float
    """Seconds since the run began."""
    asked: int
    """Replicas asked for."""
    ready: int
    """Replicas that can serve, without those that are being removed."""
    running: int
    """Requests being served."""
    queued: int
    """Requests waiting for a replica."""


class DecisionPoint(NamedTuple):
    """One decision: what the verdict needs of it."""

    t_s: float
    desired: int
    candidates: Mapping[str, int] = {}
    """What each candidate of the policy would have asked for."""
    before: int = 0
    """Replicas asked for before it."""
    why: str = ""
    """Why it changed the number, in words; empty if it did not."""

    @classmethod
    def of(cls, record: Record, began_s: float) -> Self:
        """Give the decision of a record, in a run that began at a time."""
        desired, before = record.decision.desired, record.observation.replicas
        beside = {name: decision.desired for name, decision in record.candidates}
        words = why(record) if desired != before else ""
        return cls(record.observation.now_s - began_s, desired, beside, before, words)


class ServedRequest(NamedTuple):
    """One request, as measured by the gateway."""

    arrived_s: float
    wait_s: float
    """Until it was sent to a replica."""
    service_s: float
    """From then to its end."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A whole run; times are in seconds since its start, or in seconds of duration."""

    source: str
    """What ran: `live, Prometheus and the gateway's stream`, `simulated, engine reference`."""
    load: LoadResult
    """What the client measured, as hey does."""
    requests: tuple[ServedRequest, ...]
    """The requests that were sent to a replica, in order of arrival."""
    timeline: tuple[Moment, ...]
    """The state after every change, in order of time."""
    decisions: tuple[DecisionPoint, ...]
    cold_starts_s: tuple[float, ...]
    """How long each replica took from its start to being ready."""
    gpu_s: float
    """The time in which replicas held a GPU: starting, serving, idle or being removed."""
    idle_s: float
    """The part of `gpu_s` in which a replica was ready and served no request."""
    overlaps: int
    """Requests that were sent to a replica above its concurrency limit."""
    unreported: tuple[str, ...] = ()
    """Replicas that ended without a report."""

    @property
    def peak(self) -> int:
        """The highest number of replicas asked for."""
        return max((moment.asked for moment in self.timeline), default=0)

    def scaled(self, by: float) -> "RunResult":
        """Give the same run with all its times multiplied."""
        return replace(
            self,
            load=self.load.scaled(by),
            requests=tuple(ServedRequest(*(by * duration_s for duration_s in served)) for served in self.requests),
            timeline=tuple(moment._replace(t_s=moment.t_s * by) for moment in self.timeline),
            decisions=tuple(decided._replace(t_s=decided.t_s * by) for decided in self.decisions),
            cold_starts_s=tuple(cold_start_s * by for cold_start_s in self.cold_starts_s),
            gpu_s=self.gpu_s * by,
            idle_s=self.idle_s * by,
        )


class Expected(NamedTuple):
    """The expected result of a run; by default that of the reference load."""

    answers: int = 50
    peak: int = 5


def verdict(result: RunResult, expected: Expected) -> list[str]:
    """Give every difference from the expected result; empty means passed."""
    good = sum(answer.status == OK for answer in result.load.answers)
    last = result.timeline[-1] if result.timeline else Moment(0.0, 0, 0, 0, 0)
    checks = (
        (good == expected.answers, f"{good} of {expected.answers} answers were status {OK}"),
        (not result.overlaps, f"replicas were given {result.overlaps} requests beyond their concurrency"),
        (not result.unreported, f"{', '.join(result.unreported)} ended without an account of overlaps"),
        (result.peak == expected.peak, f"the peak was {result.peak} replicas, not {expected.peak}"),
        (late(result, expected.peak) <= 1, f"{expected.peak} replicas were asked for later than one decision after"),
        (last.asked == last.ready == 0, f"{last.asked} replicas asked for and {last.ready} ready are left at the end"),
    )
    return [problem for holds, problem in checks if not holds]


def late(result: RunResult, peak: int) -> int:
    """Count the decisions for fewer than `peak` replicas while `peak` requests were already in flight.

    One is acceptable: it was being made when the last of these requests arrived.
    """
    needed_s = next((m.t_s for m in result.timeline if m.running + m.queued >= peak), None)
    if needed_s is None:
        return 0
    asked_s = next((d.t_s for d in result.decisions if d.desired >= peak), float("inf"))
    return sum(needed_s <= decided.t_s < asked_s for decided in result.decisions)


def render(result: RunResult, expected: Expected | None = None) -> str:
    """Give the report as text: hey's summary, the replicas over time, their cost, and the verdict if any."""
    parts = [f"What ran: {result.source}", summary(result.load).strip("\n"), _replicas(result), _costs(result)]
    if expected is not None:
        parts.append(_verdict(verdict(result, expected), expected))
    return "\n\n".join(parts) + "\n"


def _replicas(result: RunResult) -> str:
    """Show the times at which the number asked for or ready changed."""
    rows = ["Replicas over time:", "        time   asked   ready   running   queued"]
    before: tuple[int, int] | None = None
    for moment in _settled(result.timeline):
        if (moment.asked, moment.ready) != before:
            rows.append(f"  {moment.t_s:8.2f} s {moment.asked:7} {moment.ready:7} {moment.running:9} {moment.queued:8}")
            before = (moment.asked, moment.ready)
    return "\n".join(rows)


def _settled(timeline: Sequence[Moment]) -> list[Moment]:
    """Keep the last of the moments that print as the same hundredth of a second."""
    return list({round(moment.t_s, 2): moment for moment in timeline}.values())


def _costs(result: RunResult) -> str:
    starts, total_s = result.cold_starts_s, result.gpu_s
    idle = f" ({result.idle_s / total_s:.0%})" if total_s else ""
    mean = f", {sum(starts) / len(starts):.1f} s on average" if starts else ""
    lines = [
        f"GPU-seconds used:  {total_s:.1f}",
        f"Idle seconds:      {result.idle_s:.1f}{idle}",
        f"Cold starts:       {len(starts)}{mean}",
        f"Decisions:         {len(result.decisions)}",
        f"Peak replicas:     {result.peak}",
        f"Overlaps:          {result.overlaps}",
        *_candidates(result.decisions),
    ]
    return "\n".join(lines)


def _candidates(decisions: Sequence[DecisionPoint]) -> Iterator[str]:
    """Say what each candidate would have asked for, in replica-seconds from each decision to the next."""
    pairs = [(before, after.t_s - before.t_s) for before, after in pairwise(decisions)]
    asked_s = sum(point.desired * took_s for point, took_s in pairs)
    for name in dict.fromkeys(name for point in decisions for name in point.candidates):
        wanted_s = sum(point.candidates.get(name, 0) * took_s for point, took_s in pairs)
        peak = max(point.candidates.get(name, 0) for point in decisions)
        change = f" ({wanted_s / asked_s - 1:+.0%})" if asked_s else ""
        yield (
            f"Candidate {name}: would have asked for {wanted_s:.0f} replica-seconds, not {asked_s:.0f}{change}, "
            f"and for {peak} at its peak"
        )


def _verdict(problems: Sequence[str], expected: Expected) -> str:
    if problems:
        return "\n".join(["Verdict: FAILED", *(f"  {problem}" for problem in problems)])
    return (
        f"Verdict: passed: {expected.answers} of {expected.answers} answers, at most one request per slot, peak of "
        f"{expected.peak} replicas asked for in time, back at zero"
    )


def to_json(result: RunResult, expected: Expected | None = None) -> Mapping[str, Any]:
    """Give the whole result as JSON values."""
    document = asdict(result) | {
        "load": {
            "total_s": result.load.total_s,
            "answers": [answer._asdict() for answer in result.load.answers],
            "errors": dict(result.load.errors),
        },
        "timeline": [moment._asdict() for moment in result.timeline],
        "decisions": [decided._asdict() for decided in result.decisions],
        "requests": [served._asdict() for served in result.requests],
        "peak": result.peak,
    }
    return document if expected is None else document | {"problems": verdict(result, expected)}
