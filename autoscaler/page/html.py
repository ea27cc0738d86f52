"""The first answer of each page: its sentence and its figures stand in the HTML, before any script has run.

The scripts in `assets` then take over the same elements. Without scripts the fleet is a list of services with their
sentences, and a service shows its pods and its decisions with their steps.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

ROWS = 40
"""Services that the first answer lists, so that it stays small in a large fleet."""
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£"}
MINUTE_S, HOUR_S = 60, 3600
WHOLE_FROM_S = 100
"""From here on seconds have no decimals."""

Figure = tuple[str, str, str]
"""A label, a value, and what stands behind it."""


def fleet_page(fleet: Mapping[str, Any]) -> str:
    """Give the page of the fleet as it is now; `fleet` is the object of `/api/v1/fleet`."""
    services: list[Mapping[str, Any]] = fleet["services"]
    rows = "".join(_service_item(row) for row in services[:ROWS])
    more = len(services) - ROWS
    rest = f"<p class=none>And {more} more: <a href=/api/v1/fleet>all of them as JSON</a>.</p>" if more > 0 else ""
    answer = f"<h1 id=first>{escape(fleet['sentence']['first'])}</h1>"
    view = f"<ul id=plain>{rows}</ul>{rest}"
    figures = _fleet_figures(fleet["totals"])
    return _page("fleet", "Fleet", "<span>Fleet</span>", fleet, answer + _second(fleet), figures, view)


def service_page(service: Mapping[str, Any]) -> str:
    """Give the page of a service as it is now; `service` is the object of `/api/v1/services/NS/NAME`."""
    name, figures = escape(service["name"]), service["figures"]
    state = f"<span id=state>{_tag(service, _state_text(service))}</span>"
    answer = f"<p class=of>{name} {state}</p><h1 id=first>{escape(service['sentence']['first'])}</h1>"
    view = _plain_pods(service["pods"]) + _plain_decisions(service)
    return _page(
        "service",
        f"{_replicas(figures['asked'])}: {service['name']}",
        f"<a href=/>Fleet</a> <span>/ {name}</span>",
        service,
        answer + _second(service),
        _service_figures(figures),
        view,
    )


def message_page(title: str, text: str) -> str:
    """Give a page that says why there is nothing to see: no such service, too many viewers."""
    return (
        f"{_head(title)}</head><body><div class=edge><header class=top><b>Inflight</b>"
        f'<nav aria-label="Pages"><a href=/>Fleet</a></nav></header></div><main id=main class=answer>'
        f"<h1>{escape(title)}</h1><p id=second>{escape(text)}</p></main></body></html>\n"
    )


# The frame.


def _page(  # noqa: PLR0917 - the parts of a page, in the order in which they stand there
    view: str, title: str, path: str, data: Mapping[str, Any], answer: str, figures: Iterable[Figure], body: str
) -> str:
    name = escape(data.get("name", ""))
    return (
        f"{_head(title)}<link rel=stylesheet href=/assets/vendor/uPlot.min.css>"
        f"{'<script defer src=/assets/vendor/uPlot.iife.min.js></script>' if view == 'service' else ''}"
        f"<script type=module src=/assets/{view}.js></script></head>"
        f'<body data-name="{name}" data-role="{escape(data["role"])}">'
        f'<a class=skip href="#main">Skip to the content</a><div class=edge><header class=top><b>Inflight</b>'
        f'<nav aria-label="Pages">{path}</nav><span class=read-only>Read-only</span><span id=live></span>'
        f"<span id=clock>{_clock(data['now'], data)} {escape(data['zone'])}</span></header></div>"
        f"<main id=main tabindex=-1><div class=answer>{answer}</div><p id=said class=sr role=status></p>"
        f"<dl id=figures>{''.join(_figure(each) for each in figures)}</dl><div id=view>{body}</div>"
        "<noscript><p class=none>Charts and live numbers need JavaScript. Reload for newer numbers.</p></noscript>"
        "</main></body></html>\n"
    )


def _head(title: str) -> str:
    return (
        '<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, '
        'initial-scale=1"><meta name=color-scheme content="light dark"><link rel=icon href="data:,">'
        f"<title>{escape(title)} · Inflight</title><link rel=stylesheet href=/assets/style.css>"
    )


def _second(data: Mapping[str, Any]) -> str:
    return f"<p id=second>{escape(data['sentence']['second'])}</p>"


def _tag(row: Mapping[str, Any], text: str) -> str:
    attention = " data-attention" if row["attention"] else ""
    return f'<span class=tag data-state="{escape(row["state"])}"{attention}>{escape(text)}</span>'


def _state_text(service: Mapping[str, Any]) -> str:
    asked = service["figures"]["asked"]
    return f"Holding at {asked}" if service["state"] == "Holding" and asked is not None else str(service["state"])


# What stands there without a script.


def _service_item(row: Mapping[str, Any]) -> str:
    name = escape(row["name"])
    return f'<li><a href="/services/{name}">{name}</a> {_tag(row, row["state"])}<p>{escape(row["short"])}</p></li>'


def _plain_pods(pods: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><th scope=row class=code>{escape(pod['name'])}</th><td>{escape(pod['state'])}</td>"
        f"<td>{escape(pod['goes'])}</td></tr>"
        for pod in pods
    )
    head = "<thead><tr><th scope=col>Pod</th><th scope=col>State</th><th scope=col>Goes</th></tr></thead>"
    return f"<h2>Pods</h2><div class=wide><table>{head}<tbody>{rows}</tbody></table></div>" if rows else ""


def _plain_decisions(service: Mapping[str, Any]) -> str:
    def item(row: Mapping[str, Any]) -> str:
        steps = "".join(f"<li>{escape(step['label'])}: {escape(step['text'])}</li>" for step in row["steps"])
        title = f"{_clock(row['to'], service)} {row['before']} → {row['after']}, {row['recommendation']}"
        return f"<details><summary>{escape(title)}</summary><ul>{steps}</ul></details>"

    items = "".join(item(row) for row in service["decisions"][:ROWS])
    return f"<h2>Decisions</h2>{items}" if items else ""


# Figures, as `assets/figures.js` shows them.


def _figure(figure: Figure) -> str:
    label, value, note = (escape(text) for text in figure)
    return f"<div><dt>{label}</dt><dd><b>{value}</b> <span>{note}</span></dd></div>"


def _service_figures(of: Mapping[str, Any]) -> list[Figure]:
    figures = [
        ("Asked", _number(of["asked"]), f"of {_number(of['max'])}" if of["max"] is not None else ""),
        *((label, _number(of[label.lower()]), "") for label in ("Ready", "Starting", "Queued", "Running")),
        ("Oldest wait", *_oldest_wait(of["oldestWait"])),
        ("Response P95", *((_seconds(of["p95"]), "s") if of["p95"] is not None else ("none", ""))),
    ]
    if of["cost"] is not None:
        peak = f"peak kept: {_money(of['peakCost'], of)}" if of["peakCost"] is not None else ""
        figures.append(("Cost today", _money(of["cost"], of), peak))
    return figures


def _fleet_figures(of: Mapping[str, Any]) -> list[Figure]:
    figures = [
        ("Ready", _number(of["ready"]), f"of {_number(of['asked'])} asked" if of["asked"] is not None else ""),
        ("Not ready yet", _number(of["starting"]), "replica" if of["starting"] == 1 else "replicas"),
        ("Queued", _number(of["queued"]), ""),
        ("Running", _number(of["running"]), ""),
        ("Oldest wait", *_oldest_wait(of["oldestWait"])),
    ]
    if of["cost"] is not None:
        figures.append(("Cost today", _money(of["cost"], of), ""))
    if of["peakCost"] is not None:
        figures.append(("Peak kept", _money(of["peakCost"], of), _saved(of["cost"], of["peakCost"])))
    if (quotes := of["quotes"]) and quotes["of"]:
        share = round(100 * quotes["kept"] / quotes["of"])
        figures.append(("Quoted waits kept", f"{share}\u00a0%", f"of {_number(quotes['of'])}, 24 h"))
    return figures


def _replicas(asked: float | None) -> str:
    if asked is None:
        return "Unknown replicas"
    return f"{_number(asked)} replica{'' if asked == 1 else 's'}"


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < WHOLE_FROM_S else f"{value:,.0f}"


def _oldest_wait(wait_s: float | None) -> tuple[str, str]:
    if wait_s is None:
        return "?", ""
    if not wait_s:
        return "none", ""
    whole = int(wait_s)
    if whole < MINUTE_S:
        return str(whole), "s"
    hours, minutes, seconds = whole // HOUR_S, whole // MINUTE_S % 60, whole % MINUTE_S
    return (f"{hours}:{minutes:02}:{seconds:02}", "h") if hours else (f"{minutes}:{seconds:02}", "min")


def _money(value: float, of: Mapping[str, Any]) -> str:
    currency = of["currency"] or ""
    symbol = SYMBOLS.get(currency) or (f"{currency}\u00a0" if currency else "")
    return f"{symbol}{value:,.2f}"


def _saved(cost: float | None, whole: float) -> str:
    return "" if cost is None or not whole or cost >= whole else f"\u2212{round(100 * (1 - cost / whole))}\u00a0%"


def _clock(at_s: float, data: Mapping[str, Any]) -> str:
    return datetime.fromtimestamp(at_s + data["offset"], UTC).strftime("%H:%M:%S")
