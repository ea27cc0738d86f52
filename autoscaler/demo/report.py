"""What one run came to, live or simulated: one value, the text that tells it, and the verdict on it.

Both drivers fill the same `RunResult`, so that their reports can be laid side by side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from autoscaler.demo.hey_summary import summary
from autoscaler.demo.load_result import Result

OK = 200


class Moment(NamedTuple):
    """What there was from `t_s` on."""

    t_s: float
    """Seconds since the run began."""
    asked: int
    """Replicas asked for."""
    ready: int
    """Replicas that can serve; those on their way out are no longer among them."""
    running: int
    """Requests being served."""
    queued: int
    """Requests waiting for a replica."""


class Decided(NamedTuple):
    """One decision, as far as the verdict needs it."""

    t_s: float
    desired: int


class Served(NamedTuple):
    """One request as the gateway saw it."""

    arrived_s: float
    wait_s: float
    """Until a replica was given it."""
    service_s: float
    """From then to its end."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run from its beginning to its end; times in seconds since the beginning, or in seconds of duration."""

    source: str
    """What ran, in a few words: `live, Prometheus and the gateway's stream`, `simulated, engine reference`."""
    load: Result
    """What the client saw, as hey accounts for it."""
    requests: tuple[Served, ...]
    """Those that a replica was given, in order of arrival."""
    timeline: tuple[Moment, ...]
    """The state after every change, in order of time."""
    decisions: tuple[Decided, ...]
    cold_starts_s: tuple[float, ...]
    """How long each replica took from being asked for to being ready."""
    gpu_s: float
    """Time in which replicas held a GPU: starting, serving, idle or on their way out."""
    idle_s: float
    """The part of `gpu_s` in which a replica was ready and had nothing to serve."""
    overlaps: int
    """Requests that a replica was given beyond its concurrency."""
    unreported: tuple[str, ...] = ()
    """Replicas that ended without an account of what they were given."""

    @property
    def peak(self) -> int:
        """Highest number of replicas asked for."""
        return max((moment.asked for moment in self.timeline), default=0)

    def scaled(self, by: float) -> "RunResult":
        """Give the same run with all its times multiplied."""
        return replace(
            self,
            load=self.load.scaled(by),
            requests=tuple(Served(*(by * duration_s for duration_s in served)) for served in self.requests),
            timeline=tuple(moment._replace(t_s=moment.t_s * by) for moment in self.timeline),
            decisions=tuple(decided._replace(t_s=decided.t_s * by) for decided in self.decisions),
            cold_starts_s=tuple(cold_start_s * by for cold_start_s in self.cold_starts_s),
            gpu_s=self.gpu_s * by,
            idle_s=self.idle_s * by,
        )


class Expected(NamedTuple):
    """What a run must have come to; by default the reference load."""

    answers: int = 50
    peak: int = 5


def verdict(result: RunResult, expected: Expected) -> list[str]:
    """Give every way in which the run is not what was expected; empty is a pass."""
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
    """Count the decisions that asked for fewer than `peak` when so many requests were in flight already.

    At most one may be: it was under way when the last of the requests came.
    """
    needed_s = next((m.t_s for m in result.timeline if m.running + m.queued >= peak), None)
    if needed_s is None:
        return 0
    asked_s = next((d.t_s for d in result.decisions if d.desired >= peak), float("inf"))
    return sum(needed_s <= decided.t_s < asked_s for decided in result.decisions)


def render(result: RunResult, expected: Expected | None = None) -> str:
    """Give the report as text: hey's summary, the replicas over time, what they cost, and the verdict if one is due."""
    parts = [f"What ran: {result.source}", summary(result.load).strip("\n"), _replicas(result), _costs(result)]
    if expected is not None:
        parts.append(_verdict(verdict(result, expected), expected))
    return "\n\n".join(parts) + "\n"


def _replicas(result: RunResult) -> str:
    """Show the moments in which the number asked for or ready changed."""
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
    ]
    return "\n".join(lines)


def _verdict(problems: Sequence[str], expected: Expected) -> str:
    if problems:
        return "\n".join(["Verdict: FAILED", *(f"  {problem}" for problem in problems)])
    return (
        f"Verdict: passed: {expected.answers} of {expected.answers} answers, at most one request per slot, peak of "
        f"{expected.peak} replicas asked for in time, back at zero"
    )


def to_json(result: RunResult, expected: Expected | None = None) -> Mapping[str, Any]:
    """Give all of it as JSON-ready values."""
    told = asdict(result) | {
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
    return told if expected is None else told | {"problems": verdict(result, expected)}
