"""Keeps the figures of runs in a Parquet file, so that a sweep that was interrupted goes on where it was.

A row is one run: `variant` tells which, `replication` its number, `settings` what was changed as JSON, and each figure
has a column of its own. A figure that a run does not have is null.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simulations.results.figures import Figures
from simulations.search.space import Settings

VARIANT, REPLICATION, SETTINGS = "variant", "replication", "settings"
_HEAD = (VARIANT, REPLICATION, SETTINGS)
Key = tuple[str, int]
"""A variant's digest and the number of a replication."""


class KeptRuns:
    """The figures of runs by variant and replication, in a file or only in memory."""

    def __init__(self, file: Path | None = None) -> None:
        """Read the file if it exists.

        Raises:
            ValueError: the file is there and was not written by a sweep.
        """
        self._file = file
        self._rows: dict[Key, dict[str, Any]] = {}
        if file is not None and file.exists():
            self._rows = {(row[VARIANT], row[REPLICATION]): row for row in _read(file)}

    def __contains__(self, key: Key) -> bool:
        """Tell whether a run is known."""
        return key in self._rows

    def __getitem__(self, key: Key) -> Figures:
        """Give the figures of a run."""
        row = self._rows[key]
        return {name: value for name, value in row.items() if name not in _HEAD and value is not None}

    def add(self, key: Key, settings: Settings, figures: Figures) -> None:
        """Add a run; `write` puts it into the file."""
        self._rows[key] = {VARIANT: key[0], REPLICATION: key[1], SETTINGS: json.dumps(settings), **figures}

    def write(self) -> None:
        """Write all runs to the file, whole or not at all."""
        if self._file is None or not self._rows:
            return
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        columns = dict.fromkeys(name for row in self._rows.values() for name in row)
        table = pa.table({name: [row.get(name) for row in self._rows.values()] for name in columns})
        beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        parquet.write_table(table, beside)
        beside.replace(self._file)


def _read(file: Path) -> Iterable[dict[str, Any]]:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{file}: cannot be read: {error}") from error
    missing = [name for name in _HEAD if name not in table.column_names]
    if missing:
        raise ValueError(f"{file}: was not written by a sweep: it has no column {', '.join(missing)}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
