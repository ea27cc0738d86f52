"""A comparison as text and as JSON."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any, NamedTuple

from autoscaler.documents.fields import format_duration
from simulations.recorded.blocks import LEAST_BLOCKS, LENGTHS_S, Interval
from simulations.recorded.load import Load
from simulations.recorded.replays import ACTIVE, Comparison

_ROWS = {
    "gpu_hours": ("GPU-hours", 2),
    "cost": ("cost", 2),
    "wait_mean_s": ("wait, mean (s)", 2),
    "wait_p95_s": ("wait, P95 (s)", 2),
    "cold_starts": ("cold starts", 0),
    "unserved": ("not served", 0),
}


class Starts(NamedTuple):
    """Where the cold starts of the replay come from."""

    source: str
    measured_s: Sequence[float] = ()
    """Empty if they are given, not measured."""


def to_text(service: str, load: Load, starts: Starts, found: Comparison) -> str:
    """Give tables of the figures and of the differences, after what they rest on."""
    names = [outcome.name for outcome in found.outcomes]
    rests_on = rests_on_what(load, starts, found)
    lines = [
        f"{service}: {len(names)} policies on the recorded requests, {rests_on.pop('time')}",
        *(f"  {name}: {value}" for name, value in rests_on.items()),
        "",
        *_table(["", *names], {outcome.name: outcome.figures for outcome in found.outcomes}, found),
        "",
        f"Difference from the {ACTIVE}, on the same blocks:",
        *_table(["", *names[1:]], {each.name: each.difference for each in found.outcomes[1:]}, found, sign="+"),
    ]
    return "\n".join(lines) + "\n"


def rests_on_what(load: Load, starts: Starts, found: Comparison) -> dict[str, str]:
    """Say what a comparison rests on, by name: `time`, `load`, `left out`, `cold starts`, `intervals`."""
    left_out = f"{format_duration(round(load.unknown_s))} without a count"
    return {
        "time": f"{_time(load.start_s)} to {_time(load.start_s + load.span_s + load.unknown_s)}",
        "load": f"{load.source}; {load.estimated or 'arrivals and service times are exact'}",
        **({"left out": left_out} if load.unknown_s else {}),
        "cold starts": _starts(starts),
        "intervals": _how(found),
    }


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _starts(starts: Starts) -> str:
    if not starts.measured_s:
        return starts.source
    return f"{len(starts.measured_s)} measured in {starts.source}, median {median(starts.measured_s):.1f} s"


def _how(found: Comparison) -> str:
    if found.blocks is None:
        shortest = format_duration(LEAST_BLOCKS * LENGTHS_S[-1])
        return f"none, for the record is shorter than {shortest}; no difference is settled"
    return f"95 %, by {found.blocks.number} blocks of {format_duration(found.blocks.length_s)}"


def table_rows(
    head: Sequence[str], columns: Mapping[str, Mapping[str, Interval]], found: Comparison, sign: str = ""
) -> list[list[str]]:
    """Give a table of figures with their intervals, or of differences, which have a sign: its head, then its rows."""
    rows = [list(head)]
    for key, (label, decimals) in _ROWS.items():
        if any(key in figures for figures in columns.values()):
            unit = f" ({found.currency})" if key == "cost" else ""
            rows.append([label + unit, *(_cell(figures[key], decimals, sign) for figures in columns.values())])
    return rows


def _table(
    head: Sequence[str], columns: Mapping[str, Mapping[str, Interval]], found: Comparison, sign: str = ""
) -> list[str]:
    rows = table_rows(head, columns, found, sign)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "   ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
        for first, *others in rows
    ]


def _cell(figure: Interval, decimals: int, sign: str) -> str:
    if figure.value != figure.value:
        return "unknown"
    text = f"{figure.value:{sign}.{decimals}f}"
    if figure.low is not None and figure.high is not None:
        text += f" ({figure.low:{sign}.{decimals}f} to {figure.high:{sign}.{decimals}f})"
    return text + ("" if not sign or figure.settled else ", not settled")


def to_json(service: str, load: Load, starts: Starts, found: Comparison) -> dict[str, Any]:
    """Give the comparison as JSON-ready values; what is unknown is null."""
    blocks = found.blocks
    return {
        "service": service,
        "from": load.start_s,
        "to": load.start_s + load.span_s + load.unknown_s,
        "load": {
            "source": load.source,
            "requests": len(load.trace),
            "estimated": bool(load.estimated),
            "how": load.estimated or "exact",
            "unknownSeconds": load.unknown_s,
        },
        "coldStarts": {"source": starts.source, "measuredSeconds": list(starts.measured_s)},
        "blocks": None if blocks is None else {"number": blocks.number, "seconds": blocks.length_s},
        "currency": found.currency,
        "policies": [
            {
                "name": outcome.name,
                "figures": {key: _values(figure) for key, figure in outcome.figures.items()},
                "difference": {
                    key: {**_values(figure), "settled": figure.settled} for key, figure in outcome.difference.items()
                },
            }
            for outcome in found.outcomes
        ],
    }


def _values(figure: Interval) -> dict[str, float | None]:
    known = figure.value == figure.value
    return {"value": figure.value if known else None, "low": figure.low, "high": figure.high}
