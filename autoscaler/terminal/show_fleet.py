"""Writes the fleet as a table, by rich. Needs the extra `terminal`."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autoscaler.explain.states import State
from autoscaler.explain.wording import clock, duration
from autoscaler.terminal.values import Fleet, FleetRow, plain, zone_of

_STYLES = {
    State.RUNNING: "green",
    State.WAKING: "magenta",
    State.SCALING_UP: "magenta",
    State.AT_MAX: "yellow",
    State.NO_STOCK: "yellow",
    State.FOREIGN: "yellow",
    State.REFUSED: "red",
    State.UNKNOWN: "reverse",
    State.NOT_LIVE: "reverse",
}
_UNKNOWN = "?"


def fleet_table(fleet: Fleet, *, lost_s: float | None = None, problem: str = "") -> RenderableType:
    """Write all services, in the order of the page.

    Args:
        fleet: the last answer.
        lost_s: for how long there was no other; None while there is.
        problem: why.
    """
    head = [Text(plain(fleet.sentence.first), style="bold"), Text(plain(fleet.sentence.second))]
    when = clock(fleet.now, fleet.now, zone_of(fleet))
    live = Text(f"{when} {plain(fleet.zone)}", style="dim")
    if lost_s is not None:
        live = Text(f"{State.NOT_LIVE}: last answer {duration(lost_s)} ago ({when}). {plain(problem)}", style="reverse")
    return Group(*head, live, _table(fleet.services, grey=lost_s is not None))


def _table(rows: list[FleetRow], *, grey: bool) -> Table:
    table = Table(box=None, pad_edge=False, expand=False, style="dim" if grey else "", header_style="bold")
    table.add_column("SERVICE", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    for name in ("READY/ASKED", "QUEUED", "RUNNING", "OLDEST", "P95"):
        table.add_column(name, justify="right", no_wrap=True)
    if any(row.cost is not None for row in rows):
        table.add_column("COST TODAY", justify="right", no_wrap=True)
    table.add_column("WHY", ratio=1)
    for row in rows:
        table.add_row(*_cells(row, with_cost=len(table.columns) > 8))  # noqa: PLR2004 - those above
    return table


def _cells(row: FleetRow, *, with_cost: bool) -> list[Text]:
    style = next((style for state, style in _STYLES.items() if state == row.state), "")
    mark = "! " if row.attention else ""
    cells = [
        Text(plain(row.name), style="bold" if row.attention else ""),
        Text(f"{mark}{plain(row.state)}", style=style),
        Text(f"{_number(row.ready)}/{_number(row.asked)}"),
        Text(_number(row.queued)),
        Text(_number(row.running)),
        Text(_wait(row.oldest_wait)),
        Text("" if row.p95 is None else f"{row.p95:.3g} s"),
    ]
    if with_cost:
        cells.append(Text("" if row.cost is None else f"{row.cost:.2f} {plain(row.currency or '')}".strip()))
    return [*cells, Text(plain(row.short))]


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:g}"


def _wait(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    return duration(seconds) if seconds else "none"
