"""A history as tables and plots for notebooks: pandas, Arrow, Parquet, matplotlib.

The libraries are imported when they are first needed.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.observation import Observation
from autoscaler.controller.records import explained
from autoscaler.page.history import Sample
from autoscaler.page.tables import series
from simulations.model.history import History
from simulations.model.run_inputs import Floats, Integers
from simulations.results.figures import states, waits
from simulations.results.to_run_result import run_result

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa  # type: ignore[import-untyped]
    from matplotlib.figure import Figure


def request_columns(history: History) -> dict[str, Any]:
    """Give the columns of a table of requests; raises ValueError if there were too many to keep."""
    if history.streaming_figures is not None:
        raise ValueError(
            "the run has too many requests to keep a record of each; shorten the run, or leave out --records"
        )
    requests = history.requests
    started = np.flatnonzero(requests.replica >= 0)
    split = waits(history, started)
    cold, load = np.full(len(requests), np.nan), np.full(len(requests), np.nan)
    cold[started], load[started] = split.cold_start, split.load
    columns = {name: getattr(requests, name) for name in requests.__slots__}
    if history.levels is not None:
        columns["priority_class"] = np.array(history.classes)[history.levels]
    return columns | {"wait_cold_start_s": cold, "wait_load_s": load}


def replica_columns(history: History) -> dict[str, Any]:
    """Give the columns of a table of replicas."""
    columns = {name: getattr(history.replicas, name) for name in history.replicas.__slots__}
    return columns | {f"{state}_replica_s": seconds for state, seconds in states(history).items()}


def decision_columns(history: History) -> dict[str, Any]:
    """Give the columns of a table of decisions, at ticks and wake-ups.

    Beside the observation, `queued` and `running` are the actual requests, which the controller may not know. `starts`
    is how many starts were first seen to be over.
    """
    records = history.decisions
    observations = {name: [getattr(record.observation, name) for record in records] for name in Observation._fields}
    return {
        **observations,
        "starts": list(map(len, observations["starts"])),
        **_actual_counts(history, np.array(observations["now_s"], dtype=float)),
        "desired": [record.decision.desired for record in records],
        "why": [explained(record) for record in records],
    }


def _actual_counts(history: History, times_s: Floats) -> dict[str, Integers]:
    """Count the queued and running requests at some times, after all events at each time."""
    requests = history.requests
    started = ~np.isnan(requests.start_s)
    came, began, ended, gave_up = (
        np.searchsorted(np.sort(column), times_s, side="right")
        for column in (
            requests.arrival_s,
            requests.start_s[started],
            requests.end_s[started],
            requests.end_s[~started],
        )
    )
    return {"queued": came - began - gave_up, "running": began - ended}


def requests_table(history: History) -> "pd.DataFrame":
    """Give the requests as a pandas table."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(request_columns(history))


def replicas_table(history: History) -> "pd.DataFrame":
    """Give the replicas as a pandas table."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(replica_columns(history))


def decisions_table(history: History) -> "pd.DataFrame":
    """Give the decisions as a pandas table."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(decision_columns(history))


def timeline_table(history: History) -> "pd.DataFrame":
    """Give a pandas table of replicas asked for and ready, and requests running and queued, after every change."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame([moment._asdict() for moment in run_result(history).timeline])


def requests_arrow(history: History) -> "pa.Table":
    """Give the requests as an Arrow table."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.table(request_columns(history))


def decisions_arrow(history: History) -> "pa.Table":
    """Give the decisions as an Arrow table."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.table(decision_columns(history))


def write(table: "pa.Table", path: Path) -> None:
    """Write a table as CSV, JSON lines or Parquet, chosen by the file's suffix."""
    if path.suffix == ".csv":
        from pyarrow import csv  # noqa: PLC0415

        csv.write_csv(table, path)
    elif path.suffix == ".jsonl":
        rows = ({name: _without_nan(value) for name, value in row.items()} for row in table.to_pylist())
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    else:
        from pyarrow import parquet  # noqa: PLC0415

        parquet.write_table(table, path)


def _without_nan(value: Any) -> Any:
    """Give None for NaN, which JSON does not have."""
    return None if value != value else value  # noqa: PLR0124


def figure(history: History) -> "Figure":
    """Draw requests and replicas over time, from the table that the page draws from."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    drawn = Figure(figsize=(9, 5), layout="constrained")
    upper, lower = drawn.subplots(2, 1, sharex=True)
    drawn_from = series(
        Sample(each.t_s, each.running, each.queued, None, each.asked, each.ready, None)
        for each in run_result(history).timeline
    )
    for axes, names in ((upper, ("running", "queued")), (lower, ("asked", "ready"))):
        for name, width in zip(names, (3.5, 1.5), strict=True):  # the narrow line is visible on the wide one
            axes.step(drawn_from["time"], drawn_from[name], where="post", label=name, linewidth=width)
        axes.legend(loc="upper right")
    upper.set_ylabel("requests")
    lower.set_ylabel("replicas")
    lower.set_xlabel("seconds since the first request")
    return drawn
