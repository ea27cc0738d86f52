"""Reads columns of numbers from a file: CSV with a header, JSON lines, or Parquet, chosen by the file's suffix.

The libraries are imported when a file is read.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulations.model.run_inputs import Floats

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]


def read_columns(path: Path, needed: Sequence[str], known: Sequence[str] = ()) -> dict[str, Floats]:
    """Read columns by name, as arrays of one length. A missing value is NaN; other columns are ignored.

    Args:
        path: the file; its suffix is .csv, .jsonl or .parquet.
        needed: columns that must exist, without a missing value.
        known: columns that are read if they exist.

    Raises:
        ValueError: the file is invalid or cannot be read; the message says why.
    """
    if path.suffix not in _READERS:
        raise ValueError(f"must be a file that ends in {', '.join(_READERS)}")
    import pyarrow as pa  # noqa: PLC0415

    try:
        table = _READERS[path.suffix](path)
        return _columns(table, needed, known)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"cannot be read: {error}") from error


def _csv(path: Path) -> "pa.Table":
    from pyarrow import csv  # noqa: PLC0415

    return csv.read_csv(path)


def _json_lines(path: Path) -> "pa.Table":
    from pyarrow import json  # noqa: PLC0415

    return json.read_json(path)


def _parquet(path: Path) -> "pa.Table":
    from pyarrow import parquet  # noqa: PLC0415

    return parquet.read_table(path)


_READERS: dict[str, Callable[[Path], "pa.Table"]] = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}


def _columns(table: "pa.Table", needed: Sequence[str], known: Sequence[str]) -> dict[str, Floats]:
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise ValueError(f"has no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    if not table.num_rows:
        raise ValueError("has no rows")
    names = [name for name in (*needed, *known) if name in table.column_names]
    columns = {name: _numbers(table, name) for name in names}
    gaps = [name for name in needed if np.any(np.isnan(columns[name]))]
    if gaps:
        row = int(np.flatnonzero(np.isnan(columns[gaps[0]]))[0])
        raise ValueError(f"has no {gaps[0]} in row {row + 1}")
    return columns


def _numbers(table: "pa.Table", name: str) -> Floats:
    import pyarrow as pa  # noqa: PLC0415

    try:
        numbers: Floats = table.column(name).cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"column {name}: {error}") from error
    return numbers
