"""Traces: requests as they came, in a file that is replayed by the workload `trace`.

A file has one row for each request, in order of arrival, with the columns `arrival_s` (seconds since the trace began)
and, where it is known, `service_s` (seconds that a replica worked on it); an empty or missing value is unknown, and
other columns are passed over. So what `autoscaler simulate --records` writes can be replayed as it is. The name's end
says which format: `.csv`, `.jsonl`, `.parquet`.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler.documents import DocumentError
from simulations.setup import Floats

ARRIVAL, SERVICE = "arrival_s", "service_s"
ENDINGS = (".csv", ".jsonl", ".parquet")

Row = tuple[int, Mapping[str, Any]]
"""Where it stands in its file, and its columns."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival, a column each."""

    arrival_s: Floats
    """Since the trace began."""
    service_s: Floats | None = None
    """NaN where it is not known; None where it is known of none."""

    def __len__(self) -> int:
        return len(self.arrival_s)

    def thinned(self, keep: float, rng: np.random.Generator) -> "Trace":
        """Keep each request with a probability; independent thinning keeps the shape of the load, not its height."""
        kept = rng.random(len(self)) < keep
        return Trace(self.arrival_s[kept], None if self.service_s is None else self.service_s[kept])


def read_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        DocumentError: what is wrong with it, with file, line, column, value and what is legal.
    """
    if path.suffix not in ENDINGS:
        raise DocumentError([f"{path}: is no trace: its name must end in {', '.join(ENDINGS)}"])
    try:
        rows = list(_READERS[path.suffix](path))
    except OSError as error:
        raise DocumentError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise DocumentError([f"{path}: must be UTF-8: {error.reason} at byte {error.start}"]) from error
    return _trace(path, rows)


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


def _csv(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if ARRIVAL not in (reader.fieldnames or ()):
            raise DocumentError([f"{path}:1: must name its columns, {ARRIVAL} among them"])
        for row in reader:
            yield reader.line_num, row


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DocumentError([f"{path}:{number}: must be a JSON object: {error}"]) from error
        if not isinstance(row, dict):
            raise DocumentError([f"{path}:{number}: must be a JSON object"])
        yield number, row


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415  # heavy
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        found = pq.ParquetFile(path)
        names = [name for name in (ARRIVAL, SERVICE) if name in found.schema_arrow.names]
        table = found.read(columns=names)
    except pa.ArrowInvalid as error:
        raise DocumentError([f"{path}: is no Parquet file: {error}"]) from error
    yield from enumerate(table.to_pylist(), 1)


_READERS = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}


def _trace(path: Path, rows: Iterable[Row]) -> Trace:
    lines, arrivals, services = [], [], []
    for line, row in rows:
        lines.append(line)
        arrivals.append(_number(path, line, ARRIVAL, row.get(ARRIVAL)))
        services.append(_number(path, line, SERVICE, row.get(SERVICE)))
    arrival_s, service_s = np.array(arrivals, dtype=float), np.array(services, dtype=float)
    unknown = np.flatnonzero(np.isnan(arrival_s))
    if not len(arrival_s) or len(unknown):
        where = f"{path}:{lines[unknown[0]]}" if len(unknown) else str(path)
        raise DocumentError([f"{where}: {ARRIVAL}: is missing; each request must have one"])
    back = np.flatnonzero(np.diff(arrival_s) < 0)
    if len(back):
        raise DocumentError([f"{path}:{lines[back[0] + 1]}: {ARRIVAL}: must not be before that of the row above"])
    return Trace(arrival_s, None if np.isnan(service_s).all() else service_s)


def _number(path: Path, line: int, column: str, written: object) -> float:
    if written is None or written == "":
        return nan
    try:
        value = float(written)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = nan
    if isinstance(written, bool) or not 0 <= value < float("inf"):
        raise DocumentError([f"{path}:{line}: {column}: {written!r}: must be seconds, 0 or more"])
    return value
