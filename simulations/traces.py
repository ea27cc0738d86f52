"""Traces: requests as they came, in a file that is replayed by the workload `trace`.

A file has one row for each request, in order of arrival, with the columns `arrival_s` (seconds since the trace began)
and, where it is known, `service_s` (seconds that a replica worked on it); an empty or missing value is unknown, and
other columns are passed over. So what `autoscaler simulate --records` writes can be replayed as it is. The name's end
says which format: `.csv`, `.jsonl`, `.parquet`.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from autoscaler.documents import DocumentError
from simulations.setup import Floats

ARRIVAL, SERVICE = "arrival_s", "service_s"
ENDINGS = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival, a column each."""

    arrival_s: Floats
    """Since the trace began."""
    service_s: Floats | None = None
    """NaN where it is not known; None where it is known of none."""

    def __len__(self) -> int:
        return len(self.arrival_s)


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace in the format that the file's name says.

    Raises:
        DocumentError: its name says none.
    """
    columns = {ARRIVAL: trace.arrival_s} | ({} if trace.service_s is None else {SERVICE: trace.service_s})
    write_columns(columns, path)


def write_columns(columns: Mapping[str, Floats], path: Path) -> None:
    """Write named columns of one length; NaN is written as nothing.

    Raises:
        DocumentError: the file's name says no format.
    """
    if path.suffix not in ENDINGS:
        raise DocumentError([f"{path}: its name must end in {', '.join(ENDINGS)}"])
    rows = list(zip(*(_plain(column) for column in columns.values()), strict=True))
    if path.suffix == ".parquet":
        _write_parquet(columns, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(dict(zip(columns, row, strict=True)))}\n" for row in rows))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([tuple(columns), *rows])


def _plain(column: Floats) -> list[float | None]:
    """Round to what a clock can tell, which keeps text short."""
    return [round(value, 6) if isfinite(value) else None for value in column.tolist()]


def _write_parquet(columns: Mapping[str, Floats], path: Path) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # noqa: PLC0415

    pq.write_table(pa.table({name: _plain(column) for name, column in columns.items()}), path)
