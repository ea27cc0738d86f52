"""The controller in a cluster with many services and all features: `make bench-cluster ARGS="1000"` runs one size.

A real control plane and gateway, two controllers under the shipped account, and a stand-in for Prometheus.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import cluster_measures as measures
from benchmarks.cluster_stage import Stage, stage, start_controllers
from benchmarks.figures import report

SIZES = (10, 100, 1_000, 10_000)
IDLE_S = 60.0
ACTIVE_S = 20.0
QUIET_S = 20.0
"""A failed write is repeated after 15 s."""


async def measure(folder: Path, number: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure everything at one size; give a row for each figure, and one for each stage of a wake-up."""
    begun_s = time.time()

    def progress(what: str) -> None:
        print(f"{number} services, {time.time() - begun_s:4.0f} s: {what}", flush=True)

    progress("making them")
    async with stage(folder, number) as made:
        progress("starting controllers")
        start_s = await start_controllers(made)
        progress(f"all decided on after {start_s:.1f} s; settling")
        await settled(made)
        progress("idle")
        idle = await measures.idle(made, IDLE_S)
        progress(f"{idle}; wake-ups")
        trials = await measures.wake_ups(made)
        stages = measures.summary(trials)
        progress(f"{stages[-1]}; steps")
        step, step_p95, step_most = measures.quantiles(await measures.metric_steps(made))
        progress(f"{step:.2f}, {step_most:.2f}; active and unchanged")
        writes = await measures.active_writes(made, ACTIVE_S)
        progress(f"{writes}; all at once")
        last_s, stuck = await measures.burst(made)
        progress(f"{last_s:.2f}, {stuck} stuck")
    whole = stages[-1]
    rows = [
        ("first held request to write seen, median, ms", whole["median, ms"], "12"),
        ("first held request to write seen, P95, ms", whole["P95, ms"], "30; 60 at 10,000"),
        ("metric step to write 1 to 5, median, s", step, ""),
        ("metric step to write 1 to 5, P95, s", step_p95, ""),
        ("metric step to write 1 to 5, most, s", step_most, "tick + 0.05 = 2.05"),
        ("Prometheus queries/s of each controller", idle.queries_per_s, "0.5"),
        ("CPU s per minute, idle", idle.cpu_s_per_minute, "1.0 at 1,000"),
        ("CPU ms per tick, idle", idle.cpu_ms_per_tick, "20 at 10,000"),
        ("RSS, MB", idle.rss_mb, "100; 150 at 10,000"),
        ("most RSS since the start, MB", idle.peak_rss_mb, ""),
        ("API writes in that time, idle", idle.writes, "0"),
        (f"API writes in {ACTIVE_S:.0f} s, {measures.ACTIVE} active, unchanged", writes, "0"),
        (f"last of up to {measures.BURST} woken at once written, s", last_s, "10"),
        ("of these never written", stuck, "0"),
        ("start to first decision on all, s", start_s, "5 at 1,000"),
    ]
    figures = [{"services": number, "figure": name, "value": value, "aim": aim} for name, value, aim in rows]
    return figures, [{"services": number, **each} for each in stages]


async def settled(made: Stage) -> None:
    """Wait until the status of every policy was written once."""
    async with asyncio.timeout(600):
        while True:
            since_s = time.time()
            await asyncio.sleep(QUIET_S)
            if not await asyncio.to_thread(made.written, since_s):
                return


def main() -> None:
    """Measure and report the given sizes."""
    figures: list[dict[str, Any]] = []
    stages: list[dict[str, Any]] = []
    for number in [int(argument.replace(",", "")) for argument in sys.argv[1:]] or SIZES:
        with tempfile.TemporaryDirectory(prefix="bench-cluster-", ignore_cleanup_errors=True) as folder:
            more, parts = asyncio.run(measure(Path(folder), number))
        figures += more
        stages += parts
    report("cluster", figures)
    report("cluster_stages", stages)


if __name__ == "__main__":
    main()
