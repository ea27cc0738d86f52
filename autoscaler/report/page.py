"""A report as one HTML page, which needs nothing else: no network, no file beside it.

The page's policy allows the two scripts and the style that stand in it, by their hashes, and nothing else. Every table
and the values of every chart are HTML, so the page can be read without scripts; uPlot draws the charts.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from autoscaler.explain.wording import duration
from autoscaler.page.html import Figure
from autoscaler.page.lean import lean, lean_style
from autoscaler.report.markup import data, text
from autoscaler.report.parts import Chart, Code, Part, Section, Series, Table, Text, checked

PAGE_ASSETS = Path(__file__).parents[1] / "page" / "assets"
"""The style of the page of the fleet, and uPlot, if `make web` has got it."""
ASSETS = Path(__file__).parent / "assets"
NO_CHARTS = "There are no charts: this installation lacks uPlot, which make web gets. The tables have their values."
MOST_ROWS = 60
"""Rows of a chart's values as a table."""
_EXACT_S = 60
"""Shorter times have decimals."""


def report_page(
    title: str,
    sections: Sequence[Section],
    *,
    answer: str = "",
    second: str = "",
    figures: Sequence[Figure] = (),
    origin: Mapping[str, str] | None = None,
) -> str:
    """Write a report as a page. The same input gives the same text.

    Args:
        title: what the report is of.
        sections: its parts, in order.
        answer: the result in one sentence, which stands before everything else; without it the title does.
        second: what a reader should know next.
        figures: a row of figures: each a label, a value, and what stands behind it.
        origin: what the report was made from, by name; it stands at the end.

    Raises:
        ValueError: the sections do not hold together: see `checked`.
    """
    charts = [part for section in checked(sections) for part in section.parts if isinstance(part, Chart)]
    body = (
        f"<div class=answer><p class=of>{text(title)}</p><h1>{text(answer or title)}</h1>"
        f"{f'<p id=second>{text(second)}</p>' if second else ''}</div>{_figures(figures)}{_contents(sections)}"
        f"{'' if has_charts() or not charts else f'<p class=none>{NO_CHARTS}</p>'}"
        "<noscript><p class=none>Charts need JavaScript. Their values stand here as tables.</p></noscript>"
        f"{''.join(_section(number, section) for number, section in enumerate(sections))}{_origin(origin or {})}"
    )
    return _document(title, body, charts)


def has_charts() -> bool:
    """Say whether uPlot is there, which draws the charts."""
    return (PAGE_ASSETS / "vendor" / "uPlot.iife.min.js").is_file()


def _document(title: str, body: str, charts: Sequence[Chart]) -> str:
    style, scripts = _style(), _scripts() if charts else ()
    allowed = " ".join(map(_hash, scripts)) or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    drawn = f'<script type="application/json" id=charts>{data([_data(chart) for chart in charts])}</script>'
    return (
        '<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark"><meta name=referrer content=no-referrer>'
        '<link rel=icon href="data:,">'
        f"<title>{text(title)} · Inflight</title><style>{style}</style></head><body class=report>"
        "<a class=skip href=#main>Skip to the content</a><div class=edge><header class=top><b>Inflight</b>"
        f"<span>Report</span></header></div><main id=main tabindex=-1>{body}</main>"
        f"{drawn if charts else ''}{''.join(f'<script>{script}</script>' for script in scripts)}</body></html>\n"
    )


@cache
def _style() -> str:
    drawing = (PAGE_ASSETS / "vendor" / "uPlot.min.css").read_text("utf-8") if has_charts() else ""
    ours = (PAGE_ASSETS / "style.css", ASSETS / "report.css")
    return drawing + "".join(lean_style(each.read_text("utf-8")) for each in ours)


@cache
def _scripts() -> tuple[str, ...]:
    if not has_charts():
        return ()
    drawing = (PAGE_ASSETS / "vendor" / "uPlot.iife.min.js").read_text("utf-8")
    return drawing, lean((ASSETS / "report.js").read_text("utf-8"))


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


# What stands there without a script.


def _figures(figures: Sequence[Figure]) -> str:
    items = "".join(
        f"<div><dt>{text(label)}</dt><dd><b>{text(value)}</b> <span>{text(note)}</span></dd></div>"
        for label, value, note in figures
    )
    return f"<dl id=figures>{items}</dl>" if items else ""


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(f"<li><a href=#part{n}>{text(section.title)}</a></li>" for n, section in enumerate(sections))
    return f'<nav aria-label="Contents"><ul class=contents>{links}</ul></nav>' if len(sections) > 1 else ""


def _section(number: int, section: Section) -> str:
    parts = "".join(map(_part, section.parts))
    return f"<section class=part id=part{number}><h2>{text(section.title)}</h2>{parts}</section>"


def _part(part: Part) -> str:
    if isinstance(part, Text):
        return f"<p class=words>{text(part.text)}</p>"
    if isinstance(part, Code):
        title = text(part.title)
        code = f'<pre class=code tabindex=0 role=group aria-label="{title}">{text(part.text)}</pre>'
        return f"<details><summary>{title}</summary>{code}</details>"
    return _table(part) if isinstance(part, Table) else _chart(part)


def _table(table: Table) -> str:
    title, note = text(table.title), f"<p class=note>{text(table.note)}</p>" if table.note else ""
    rows = _scrolled(table.title, _rows(table.head, table.rows, table.left)) + note
    if table.folded:
        return f"<details><summary>{title}</summary>{rows}</details>"
    return f"{f'<h3>{title}</h3>' if title else ''}{rows}"


def _scrolled(title: str, table: str) -> str:
    return f'<div class=wide tabindex=0 role=group aria-label="{text(title or "Table")}">{table}</div>'


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    kinds = ["" if number in left else " class=n" for number in range(len(head))]
    heads = "".join(
        f"<th scope=col{kind}>{text(name)}</th>" if name else "<td></td>"
        for kind, name in zip(kinds, head, strict=True)
    )
    written = "".join(
        f"<tr><th scope=row>{text(first)}</th>"
        f"{''.join(f'<td{kind}>{text(cell)}</td>' for kind, cell in zip(kinds[1:], cells, strict=True))}</tr>"
        for first, *cells in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{written}</tbody></table>"


def _chart(chart: Chart) -> str:
    title, unit = text(chart.title), f"<span class=unit>{text(chart.unit)}</span>" if chart.unit else ""
    rows, all_rows = values(chart)
    note = f"<p class=note>{text(chart.note)}</p>" if chart.note else ""
    left = f"<p class=note>{len(rows):,} of {all_rows:,} rows are shown.</p>" if len(rows) < all_rows else ""
    head = [chart.x_label or ("Time" if chart.x_unit == "s" else "Value"), *(each.name for each in chart.series)]
    head = [*(["Name"] if chart.names else []), *head]
    table = _scrolled(f"{chart.title} as a table", _rows(head, rows, (0,)))
    return (
        f"<section class=chart><div class=title><h3>{title}</h3>{unit}<div class=keys></div></div>"
        f"<div class=plot></div><p class=sr role=status></p>{note}"
        f"<details class=as-table open><summary>As a table</summary>{table}{left}</details></section>"
    )


def values(chart: Chart) -> tuple[list[list[str]], int]:
    """Give the values of a chart as rows of a table, and how many rows there are at which a value changes.

    At most `MOST_ROWS` of them are given, evenly, with the first and the last. Points have a row each.
    """
    rows, last = list[list[str]](), list[str]()
    for number, x in enumerate(chart.x):
        cells = [_number(series.values[number]) for series in chart.series]
        if cells != last or any(series.draw == "points" for series in chart.series):
            rows.append([*chart.names[number : number + 1], _at(chart, x), *cells])
            last = cells
    places = dict.fromkeys(round(n * (len(rows) - 1) / (MOST_ROWS - 1)) for n in range(min(MOST_ROWS, len(rows))))
    return (rows if len(rows) <= MOST_ROWS else [rows[place] for place in places]), len(rows)


def _at(chart: Chart, x: float) -> str:
    if chart.x_unit != "s":
        return _number(x)
    return f"{_number(x)} s" if x <= _EXACT_S else duration(x)


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if abs(value) >= 1 or not value else f"{value:.3g}"


def _origin(origin: Mapping[str, str]) -> str:
    if not origin:
        return ""
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in origin.items())
    return f"<section class=part id=origin><h2>Where this comes from</h2><dl class=origin>{items}</dl></section>"


# What the script draws.


def _data(chart: Chart) -> dict[str, Any]:
    return {
        "title": chart.title,
        "x": [_short(x) for x in chart.x],
        "xLabel": chart.x_label,
        "xUnit": chart.x_unit,
        "unit": chart.unit,
        "axis": chart.axis,
        "names": list(chart.names),
        "says": " ".join(_described(chart)),
        "series": [each._asdict() | {"values": [_short(value) for value in each.values]} for each in chart.series],
    }


def _described(chart: Chart) -> Iterator[str]:
    """Say what a screen reader says of a chart."""
    for series in chart.series:
        known = [value for value in series.values if value is not None]
        if known:
            yield f"{series.name}: {_number(min(known))} to {_number(max(known))}{_ends(series)}."


def _ends(series: Series) -> str:
    last = series.values[-1]
    return f", at last {_number(last)}" if series.draw != "points" and last is not None else ""


def _short(value: float | None) -> float | None:
    """Write six digits: more cannot be seen."""
    if value is None:
        return None
    return int(value) if value == int(value) else float(f"{value:.6g}")
