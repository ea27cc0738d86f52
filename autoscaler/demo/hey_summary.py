"""The summary of a load exactly as hey 0.1.4 prints it, its peculiarities included.

These are: a percentile is the first sorted value whose rank, in whole percent, reaches it, and a percentile that no
rank reaches is printed as "0% in 0.0000 secs"; the histogram's first bucket has only the fastest response; the line
DNS+dialup ends with the fastest and slowest of the whole requests; the average of no values is NaN.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from autoscaler.demo.load_result import LoadResult, Response

PERCENTILES = (10, 25, 50, 75, 90, 95, 99)
BUCKETS = 10
LONGEST_BAR = 40
DETAILS: tuple[tuple[str, Callable[[Response], float]], ...] = (
    ("DNS+dialup", lambda answer: answer.dialup_s),
    ("DNS-lookup", lambda answer: answer.dns_s),
    ("req write", lambda answer: answer.write_s),
    ("resp wait", lambda answer: answer.wait_s),
    ("resp read", lambda answer: answer.read_s),
)


def summary(result: LoadResult) -> str:
    """Give the text that hey prints at the end."""
    latencies_s = sorted(answer.latency_s for answer in result.answers)
    sections = (
        _overview(result, latencies_s),
        f"Response time histogram:\n{_bars(latencies_s)}",
        f"Latency distribution:{_distribution(latencies_s)}",
        f"Details (average, fastest, slowest):{_details(result, latencies_s)}",
        f"Status code distribution:{_statuses(result)}",
        _errors(result),
    )
    return "\n\n".join(sections) + "\n\n"


def percentiles(latencies_s: Sequence[float]) -> dict[int, float]:
    """Give hey's percentiles of sorted latencies, without those that no rank reaches."""
    ranks = [(i * 100 // len(latencies_s), latency_s) for i, latency_s in enumerate(latencies_s)]
    found: dict[int, float] = {}
    wanted = iter(PERCENTILES)
    percentile = next(wanted, None)
    for rank, latency_s in ranks:
        if percentile is not None and rank >= percentile:
            found[percentile] = latency_s
            percentile = next(wanted, None)
    return found


def histogram(latencies_s: Sequence[float]) -> list[tuple[float, int]]:
    """Give hey's buckets of sorted latencies, as upper edge and count: eleven edges from the fastest to the slowest."""
    if not latencies_s:
        return []
    fastest, slowest = latencies_s[0], latencies_s[-1]
    edges = [fastest + (slowest - fastest) / BUCKETS * i for i in range(BUCKETS)] + [slowest]
    below = [sum(latency_s <= edge for latency_s in latencies_s) for edge in edges]
    return [(edges[0], below[0]), *((edge, n - m) for edge, (m, n) in zip(edges[1:], pairwise(below), strict=True))]


def _overview(result: LoadResult, latencies_s: Sequence[float]) -> str:
    number = len(latencies_s) + sum(result.errors.values())
    fastest_s, slowest_s = _ends(latencies_s)
    text = (
        "\nSummary:\n"
        f"  Total:\t{_seconds(result.total_s)} secs\n"
        f"  Slowest:\t{_seconds(slowest_s)} secs\n"
        f"  Fastest:\t{_seconds(fastest_s)} secs\n"
        f"  Average:\t{_seconds(_mean(latencies_s))} secs\n"
        f"  Requests/sec:\t{_seconds(number / result.total_s if result.total_s else 0.0)}\n"
        "  "
    )
    size = sum(answer.size for answer in result.answers)
    sizes = f"\n  Total data:\t{size} bytes\n  Size/request:\t{size // len(latencies_s)} bytes" if size else ""
    return text + sizes


def _bars(latencies_s: Sequence[float]) -> str:
    buckets = histogram(latencies_s)
    most = max((count for _, count in buckets), default=0)
    lengths = [(count * LONGEST_BAR + most // 2) // most for _, count in buckets]
    lines = zip(buckets, lengths, strict=True)
    return "".join(f"  {edge:4.3f} [{count}]\t|{'■' * length}\n" for (edge, count), length in lines)


def _distribution(latencies_s: Sequence[float]) -> str:
    found = list(percentiles(latencies_s).items())
    unreached = [(0, 0.0)] * (len(PERCENTILES) - len(found)) if latencies_s else []
    return "".join(f"\n  {percent}% in {_seconds(latency_s)} secs" for percent, latency_s in found + unreached)


def _details(result: LoadResult, latencies_s: Sequence[float]) -> str:
    return "".join(_detail(tag, [span(answer) for answer in result.answers], latencies_s) for tag, span in DETAILS)


def _detail(tag: str, spans_s: Sequence[float], latencies_s: Sequence[float]) -> str:
    fastest_s, slowest_s = _ends(latencies_s if tag == "DNS+dialup" else sorted(spans_s))
    return f"\n  {tag}:\t{_seconds(_mean(spans_s))} secs, {_seconds(fastest_s)} secs, {_seconds(slowest_s)} secs"


def _statuses(result: LoadResult) -> str:
    counts = Counter(answer.status for answer in result.answers)
    return "".join(f"\n  [{status}]\t{count} responses" for status, count in sorted(counts.items()))


def _errors(result: LoadResult) -> str:
    lines = "".join(f"\n  [{count}]\t{reason}" for reason, count in sorted(result.errors.items()))
    return f"Error distribution:{lines}" if lines else ""


def _ends(ordered: Sequence[float]) -> tuple[float, float]:
    return (ordered[0], ordered[-1]) if ordered else (0.0, 0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _seconds(value: float) -> str:
    """Write a number as Go's %4.4f does."""
    return f"{value:4.4f}".replace("nan", "NaN")
