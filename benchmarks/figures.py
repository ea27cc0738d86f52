"""How benchmarks measure and report: CPU time of this process, medians of several runs, and the machine."""

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS = 5


def cpu_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """Give the median CPU time of several runs, after one that is not counted. Garbage is collected between runs."""
    work()
    times = []
    for _ in range(runs):
        gc.collect()
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def machine() -> str:
    """Name the machine and the version of Python."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def report(name: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table and write them, with the machine, to `build/bench/NAME.json`."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    widths = [max(len(column), *(len(_cell(row.get(column, ""))) for row in rows)) for column in columns]
    print(f"\n{name} ({machine()})")
    for cells in (columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)):
        print("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)))
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
