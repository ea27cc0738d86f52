"""A history as tables and figures for notebooks: pandas, Arrow, Parquet, matplotlib.

The libraries are loaded when they are first needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoscaler.records import explained
from simulations.figures import states, waits
from simulations.history import History
from simulations.told import run_result

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa  # type: ignore[import-untyped]
    from matplotlib.figure import Figure


def request_columns(history: History) -> dict[str, Any]:
    """Give one row for each request, as columns."""
    requests = history.requests
    started = np.flatnonzero(requests.replica >= 0)
    split = waits(history, started)
    cold, load = np.full(len(requests), np.nan), np.full(len(requests), np.nan)
    cold[started], load[started] = split.cold_start, split.load
    columns = {name: getattr(requests, name) for name in requests.__slots__}
    return columns | {"wait_cold_start_s": cold, "wait_load_s": load}


def replica_columns(history: History) -> dict[str, Any]:
    """Give one row for each replica, as columns."""
    columns = {name: getattr(history.replicas, name) for name in history.replicas.__slots__}
    return columns | {f"{state}_replica_s": seconds for state, seconds in states(history).items()}


def decision_rows(history: History) -> list[dict[str, Any]]:
    """Give one row for each decision, ticks and wake-ups alike."""
    return [
        record.look._asdict() | {"desired": record.decision.desired, "why": explained(record)}
        for record in history.decisions
    ]


def requests_table(history: History) -> "pd.DataFrame":
    """Give the requests as a pandas table."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(request_columns(history))


def replicas_table(history: History) -> "pd.DataFrame":
    """Give the replicas as a pandas table."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(replica_columns(history))


def decisions_table(history: History) -> "pd.DataFrame":
    """Give the decisions as a pandas table: count, ready and desired over time."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(decision_rows(history))


def timeline_table(history: History) -> "pd.DataFrame":
    """Give asked, ready, running and queued after every change, as a pandas table."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame([moment._asdict() for moment in run_result(history).timeline])


def requests_arrow(history: History) -> "pa.Table":
    """Give the requests as an Arrow table."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.table(request_columns(history))


def write_requests(history: History, path: Path) -> None:
    """Write the requests as Parquet, or as CSV where the file's name ends so."""
    if path.suffix == ".csv":
        requests_table(history).to_csv(path, index=False)
        return
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # noqa: PLC0415

    pq.write_table(requests_arrow(history), path)


def figure(history: History) -> "Figure":
    """Draw requests and replicas over time."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    drawn = Figure(figsize=(9, 5), layout="constrained")
    upper, lower = drawn.subplots(2, 1, sharex=True)
    timeline = run_result(history).timeline
    times = [moment.t_s for moment in timeline]
    for axes, names in ((upper, ("running", "queued")), (lower, ("asked", "ready"))):
        for name in names:
            axes.step(times, [getattr(moment, name) for moment in timeline], where="post", label=name)
        axes.legend(loc="upper right")
    upper.set_ylabel("requests")
    lower.set_ylabel("replicas")
    lower.set_xlabel("seconds since the first request")
    return drawn
