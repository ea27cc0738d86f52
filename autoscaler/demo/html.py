"""A run of the demo as the sections of a report, from what `--json` writes of it."""

from collections import Counter

import msgspec
import numpy as np

from autoscaler.demo.kept import KeptRun, run_of
from autoscaler.page.html import Figure
from autoscaler.report.page import report_page
from autoscaler.report.parts import Section, Table
from autoscaler.report.runs import sections

TITLE = "autoscaler demo"


class KeptAnswer(msgspec.Struct):
    """A response."""

    latency_s: float
    status: int


class KeptLoad(msgspec.Struct):
    """What the client measured."""

    total_s: float
    answers: list[KeptAnswer]
    errors: dict[str, int]


class KeptDemo(KeptRun):
    """A run of the demo."""

    load: KeptLoad
    peak: int
    overlaps: int
    problems: list[str]
    """Where it differs from what was expected."""


def demo_sections(kept: KeptDemo) -> list[Section]:
    """Give the sections of a run: its figures, then requests and replicas over time."""
    return [Section("Figures", _figures(kept)), *sections([run_of("demo", kept)])]


def demo_page(kept: KeptDemo) -> str:
    """Write the page of a run."""
    return report_page(
        TITLE,
        demo_sections(kept),
        answer=_answer(kept),
        second=_second(kept),
        figures=_headline(kept),
        origin={**kept.origin, "What ran": kept.source},
    )


def _good(kept: KeptDemo) -> int:
    return sum(answer.status == 200 for answer in kept.load.answers)  # noqa: PLR2004 - HTTP's status


def _sent(kept: KeptDemo) -> int:
    return len(kept.load.answers) + sum(kept.load.errors.values())


def _answer(kept: KeptDemo) -> str:
    if kept.problems:
        return f"The run is not as expected: {'; '.join(kept.problems)}."
    return (
        f"{_good(kept)} of {_sent(kept)} requests were answered with 200, with at most {kept.peak} replicas, and the "
        "service is back at zero."
    )


def _second(kept: KeptDemo) -> str:
    speed = float(kept.origin.get("Speed", "1"))
    if speed == 1:
        return ""
    return (
        f"The run was {speed:g} times as fast as real time. Its times are multiplied here; those in the reasons of "
        "decisions are as they passed."
    )


def _headline(kept: KeptDemo) -> list[Figure]:
    waits_s = [each.wait_s for each in kept.requests]
    return [
        ("Answered", f"{_good(kept)}", f"of {_sent(kept)}"),
        *(
            [("Wait, mean", f"{np.mean(waits_s):.1f}", "s"), ("Longest wait", f"{max(waits_s):.1f}", "s")]
            if waits_s
            else []
        ),
        (
            "Cold starts",
            f"{len(kept.cold_starts_s)}",
            f"{np.mean(kept.cold_starts_s):.1f} s each" if kept.cold_starts_s else "",
        ),
        ("Peak", f"{kept.peak}", "replicas"),
        ("GPU-seconds", f"{kept.gpu_s:,.0f}", f"{kept.idle_s:,.0f} idle"),
    ]


def _figures(kept: KeptDemo) -> list[Table]:
    times = {
        "latency at the client": [answer.latency_s for answer in kept.load.answers],
        "wait for a replica": [each.wait_s for each in kept.requests],
        "service": [each.service_s for each in kept.requests],
        "cold start": kept.cold_starts_s,
    }
    statuses = Counter(answer.status for answer in kept.load.answers)
    rows = [
        *([f"answers with status {status}", str(number)] for status, number in sorted(statuses.items())),
        *([f"requests without an answer: {error}", str(number)] for error, number in sorted(kept.load.errors.items())),
        ["time of the load (s)", f"{kept.load.total_s:.1f}"],
        ["peak of replicas asked for", str(kept.peak)],
        ["requests above a replica's concurrency", str(kept.overlaps)],
        ["decisions", str(len(kept.decisions))],
        ["GPU-seconds", f"{kept.gpu_s:.1f}"],
        ["of them idle", f"{kept.idle_s:.1f}"],
    ]
    return [
        Table("Times in seconds", ["", "mean", "P50", "P95", "longest"], [_row(*each) for each in times.items()]),
        Table("Counts", ["", "value"], rows),
    ]


def _row(name: str, values_s: list[float]) -> list[str]:
    """Give mean, P50, P95 and the largest of some times."""
    if not values_s:
        return [name, *["-"] * 4]
    found = (np.mean(values_s), *np.quantile(values_s, (0.5, 0.95)), max(values_s))
    return [name, *(f"{value:.2f}" for value in found)]
