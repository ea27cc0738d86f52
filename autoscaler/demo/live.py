"""The demo on this machine: the reference load against the real programs, and its result."""

import asyncio
import json
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from autoscaler.demo.load import Load, run, run_hey
from autoscaler.demo.load_result import Result
from autoscaler.demo.plan import Plan
from autoscaler.demo.report import Moment, RunResult
from autoscaler.demo.stage import Stage, beside, staged
from autoscaler.demo.timeline import Witness
from autoscaler.runtime import programs

PROGRESS_EVERY_S = 1.0
PATIENCE = 5.0
"""How many times the longest way to zero is waited for before the run is called stuck."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo is run, besides its plan."""

    folder: Path
    """For logs, decisions and Prometheus' data; those of the run before are removed."""
    port: int = 0
    """Of the gateway; 0 takes a free one."""
    keep: bool = False
    """Leave it running after the load, until Ctrl-C."""


async def live(plan: Plan, options: Options, say: Say, tell: Callable[[RunResult], None]) -> None:
    """Run the load from zero and back, and tell what came of it in the plan's own time, before anything is kept.

    Raises:
        OSError: a port is in use.
        PrometheusError: there is one, and it does not start.
        LoadError: the load could not be made.
    """
    async with staged(plan, options.folder, options.port) as stage:
        say(f"Counts come from {stage.counts}")
        say(f"Gateway {stage.address}, decisions {stage.status}/status and {options.folder}/decisions.jsonl\n")
        async with beside(_progress(plan, stage.witness, say)):
            load, client = await _load(plan, stage.address)
            if not await _back_at_zero(plan, stage.witness):
                say("The replicas did not go back to zero in time.")
        witness = stage.witness
        overlaps, unreported = accounts(options.folder / "replicas", witness.served)
        result = RunResult(
            source=f"live; counts from {stage.counts}; load from {client}",
            load=load,
            requests=tuple(witness.requests),
            timeline=tuple(witness.timeline),
            decisions=tuple(witness.decisions),
            cold_starts_s=witness.cold_starts_s,
            gpu_s=witness.gpu_s,
            idle_s=witness.idle_s,
            overlaps=overlaps,
            unreported=unreported,
        ).scaled(plan.speed)
        tell(result)
        if options.keep:
            await _kept(plan, stage, say)


async def _load(plan: Plan, address: str) -> tuple[Result, str]:
    """Send the reference load, with hey where there is one."""
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


async def _back_at_zero(plan: Plan, witness: Witness) -> bool:
    """Wait until nothing runs and nothing is asked for; False if that takes much longer than the policy says."""
    spec = plan.policy.spec
    window_s = spec.algorithm.concurrency.stable_window if spec.algorithm.concurrency else 0.0
    longest_s = window_s + spec.scale_down.delay + spec.scale_down.to_zero_delay + 10 * plan.tick_s
    try:
        async with asyncio.timeout(PATIENCE * longest_s):
            await witness.at_zero()
    except TimeoutError:
        return False
    return True


async def _progress(plan: Plan, witness: Witness, say: Say) -> None:
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        say(_line(witness.elapsed_s * plan.speed, witness.last))


def _line(elapsed_s: float, moment: Moment) -> str:
    inflight = moment.running + moment.queued
    return (
        f"{elapsed_s:6.1f} s   in flight {inflight:3}   queued {moment.queued:3}   "
        f"desired {moment.asked:3}   ready {moment.ready:3}"
    )


async def _kept(plan: Plan, stage: Stage, say: Say) -> None:
    host = plan.policy.spec.traffic.hosts[0] if plan.policy.spec.traffic else ""
    say(f"\nStill running, until Ctrl-C. Try:\n  curl -H 'Host: {host}' {stage.address}/sdapi/v1/progress")
    say(f"  curl {stage.status}/status\n")
    async with beside(_progress(plan, stage.witness, say)):
        await asyncio.Event().wait()


def accounts(replicas: Path, served: Container[str]) -> tuple[int, tuple[str, ...]]:
    """Add up the overlaps that replicas which served reported at their end, and name those that left no report."""
    overlaps, unreported = 0, []
    for log in sorted(log for log in replicas.glob("*/*.log") if log.stem in served):
        try:
            report = json.loads(log.read_text().strip().rpartition("\n")[2])
            overlaps += sum(int(account["overlaps"]) for account in report.values())
        except (ValueError, LookupError, TypeError, AttributeError):
            unreported.append(log.stem)
    return overlaps, tuple(unreported)
