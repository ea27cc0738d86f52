"""The demo on this machine: the reference load against the real programs, and its result."""

import asyncio
import json
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from autoscaler.demo.load import Load, run, run_hey
from autoscaler.demo.load_result import LoadResult
from autoscaler.demo.plan import Plan
from autoscaler.demo.report import Moment, RunResult
from autoscaler.demo.stage import Stage, beside, staged
from autoscaler.demo.timeline import RunRecorder
from autoscaler.page.address import PageAddress
from autoscaler.runtime import programs

PROGRESS_EVERY_S = 1.0
PATIENCE = 5.0
"""How many times the longest expected scale-down to zero may take before the run fails."""

Print = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run that are not part of its plan."""

    folder: Path
    """For logs, decisions and Prometheus' data; those of the last run are removed."""
    port: int = 0
    """The gateway's port; 0 takes a free one."""
    keep: bool = False
    """Leave it running after the load, until Ctrl-C."""
    page: PageAddress | None = None
    """Where the page listens; None is no page."""


async def live(plan: Plan, options: Options, print_line: Print, on_result: Callable[[RunResult], None]) -> None:
    """Run the load from zero and back, and give its result in the plan's own time.

    Raises:
        OSError: a port is in use.
        PrometheusError: Prometheus is installed and does not start.
        LoadError: the load could not be sent.
    """
    async with staged(plan, options.folder, options.port, options.page) as stage:
        print_line(f"Counts come from {stage.counts}")
        if stage.page:
            print_line(f"Page {stage.page}/services/{plan.policy.service}")
        print_line(f"Gateway {stage.address}, decisions {stage.status}/status and {options.folder}/decisions.jsonl\n")
        async with beside(_progress(plan, stage.recorder, print_line)):
            load, client = await _load(plan, stage.address)
            if not await _back_at_zero(plan, stage.recorder):
                print_line("The replicas did not go back to zero in time.")
        recorder = stage.recorder
        overlaps, unreported = accounts(options.folder / "replicas", recorder.served)
        result = RunResult(
            source=f"live; counts from {stage.counts}; load from {client}",
            load=load,
            requests=tuple(recorder.requests),
            timeline=tuple(recorder.timeline),
            decisions=tuple(recorder.decisions),
            cold_starts_s=recorder.cold_starts_s,
            gpu_s=recorder.gpu_s,
            idle_s=recorder.idle_s,
            overlaps=overlaps,
            unreported=unreported,
        ).scaled(plan.speed)
        on_result(result)
        if options.keep:
            await _kept(plan, stage, print_line)


async def _load(plan: Plan, address: str) -> tuple[LoadResult, str]:
    """Send the reference load, with hey if it is installed."""
    load = Load(
        url=f"{address}/sdapi/v1/txt2img",
        requests=plan.requests,
        workers=plan.workers,
        timeout_s=plan.timeout_s,
        host=plan.policy.spec.traffic.hosts[0] if plan.policy.spec.traffic else "",
    )
    hey = programs.find("hey")
    if hey is None:
        return await run(load), "our own client (no hey found; `make programs` installs one)"
    return await run_hey(hey, load), f"hey ({hey})"


async def _back_at_zero(plan: Plan, recorder: RunRecorder) -> bool:
    """Wait until no replica runs or is asked for; False if that takes much longer than the policy says."""
    spec = plan.policy.spec
    window_s = spec.algorithm.concurrency.stable_window if spec.algorithm.concurrency else 0.0
    longest_s = window_s + spec.scale_down.delay + spec.scale_down.to_zero_delay + 10 * plan.tick_s
    try:
        async with asyncio.timeout(PATIENCE * longest_s):
            await recorder.at_zero()
    except TimeoutError:
        return False
    return True


async def _progress(plan: Plan, recorder: RunRecorder, print_line: Print) -> None:
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        print_line(_line(recorder.elapsed_s * plan.speed, recorder.last))


def _line(elapsed_s: float, moment: Moment) -> str:
    inflight = moment.running + moment.queued
    return (
        f"{elapsed_s:6.1f} s   in flight {inflight:3}   queued {moment.queued:3}   "
        f"desired {moment.asked:3}   ready {moment.ready:3}"
    )


async def _kept(plan: Plan, stage: Stage, print_line: Print) -> None:
    host = plan.policy.spec.traffic.hosts[0] if plan.policy.spec.traffic else ""
    print_line(f"\nStill running, until Ctrl-C. Try:\n  curl -H 'Host: {host}' {stage.address}/sdapi/v1/progress")
    print_line(f"  curl {stage.status}/status\n")
    async with beside(_progress(plan, stage.recorder, print_line)):
        await asyncio.Event().wait()


def accounts(replicas: Path, served: Container[str]) -> tuple[int, tuple[str, ...]]:
    """Add up the overlaps in the final reports of replicas that served, and name those without a report."""
    overlaps, unreported = 0, []
    for log in sorted(log for log in replicas.glob("*/*.log") if log.stem in served):
        try:
            report = json.loads(log.read_text().strip().rpartition("\n")[2])
            overlaps += sum(int(account["overlaps"]) for account in report.values())
        except (ValueError, LookupError, TypeError, AttributeError):
            unreported.append(log.stem)
    return overlaps, tuple(unreported)
