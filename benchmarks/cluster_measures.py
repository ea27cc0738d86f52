"""The measurements in a cluster, one function each. Each ends as it began, with all services at zero."""

import asyncio
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.cluster_stage import CONTROLLERS, NAMESPACE, TICK_S, Stage, unix_s

WAKE_UPS = 50
STEPS = 50
STEPS_AT_ONCE = 17
"""Few enough that their pods have room."""
ACTIVE = 5
BURST = 1000
_RNG = random.Random(7)  # noqa: S311 - spreads trials over a tick
_STAGES = ("held to line", "line to observation", "observation to PATCH", "PATCH to watch")


class Idle(NamedTuple):
    """The cost of one controller while nothing changes."""

    cpu_s_per_minute: float
    cpu_ms_per_tick: float
    rss_mb: float
    peak_rss_mb: float
    queries_per_s: float
    writes: int


async def idle(stage: Stage, seconds: float) -> Idle:
    """Measure with all services at zero; give the controller that costs more of the two."""
    begun_s, asked = time.time(), dict(stage.prometheus.asked)
    used = {name: stage.processes[name].cpu_s() for name in CONTROLLERS}
    await asyncio.sleep(seconds)
    spent_s = max(stage.processes[name].cpu_s() - used[name] for name in CONTROLLERS)
    queries = max(stage.prometheus.asked[name] - asked.get(name, 0) for name in CONTROLLERS)
    return Idle(
        spent_s * 60 / seconds,
        spent_s * 1000 / (seconds / TICK_S),
        max(stage.processes[name].rss_mb() for name in CONTROLLERS),
        max(stage.processes[name].rss_mb("VmHWM") for name in CONTROLLERS),
        queries / seconds,
        len(await asyncio.to_thread(stage.written, begun_s)),
    )


async def active_writes(stage: Stage, seconds: float) -> int:
    """Count the writes to the API server for active services that do not change."""
    names = stage.names[1 : 2 * ACTIVE : 2]
    held = [(await stage.hold(name))[1] for name in names]
    await stage.until(1, names)
    # Wait until cold starts and status updates are over.
    await asyncio.sleep(25)
    begun_s = time.time()
    await asyncio.sleep(seconds)
    writes = await asyncio.to_thread(stage.written, begun_s)
    for writer in held:
        writer.close()
    await stage.until(0, names)
    return len(writes)


async def wake_ups(stage: Stage) -> list[dict[str, float]]:
    """Send one request at a time to services at zero; give the milliseconds of each stage, for each trial."""
    begun: list[tuple[str, float]] = []
    room = [name for index, name in enumerate(stage.names) if index % 2] or list(stage.names)
    while len(begun) < WAKE_UPS:
        names = room[: WAKE_UPS - len(begun)] if len(room) < WAKE_UPS else _RNG.sample(room, WAKE_UPS - len(begun))
        held = []
        for name in names:
            sent_s, writer = await stage.hold(name)
            held.append(writer)
            begun.append((name, sent_s))
            if not await stage.until(1, [name]):
                raise TimeoutError(f"{name} was not scaled up")
            await asyncio.sleep(_RNG.uniform(0.05, 0.25))
        for writer in held:
            writer.close()
        if not await stage.until(0, names, deadline_s=120):
            raise TimeoutError("services did not go back to zero")
        await stage.rest()
    return await asyncio.to_thread(_by_stage, stage, begun)


def _by_stage(stage: Stage, begun: Sequence[tuple[str, float]]) -> list[dict[str, float]]:
    observations = [moment for name in CONTROLLERS for moment in stage.moments(name) if "service" in moment]
    patches = _patches(stage, begun[0][1])
    found = []
    for name, sent_s in begun:
        coalesce_s = _first(stage.lines[name], sent_s)
        observation_s = _first([m["observed_s"] for m in observations if m["service"] == f"{NAMESPACE}/{name}"], sent_s)
        patch_s = _first(patches.get(name, ()), sent_s)
        seen_s = _first([at_s for at_s, number in stage.replicas[name] if number], sent_s)
        times_s = (sent_s, coalesce_s, observation_s, patch_s, seen_s)
        parts = {part: (b - a) * 1000 for part, a, b in zip(_STAGES, times_s[:-1], times_s[1:], strict=True)}
        found.append({**parts, "whole": (seen_s - sent_s) * 1000})
    return found


def _patches(stage: Stage, since_s: float) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = {}
    for event in stage.written(since_s):
        if event["objectRef"].get("subresource") == "scale":
            found.setdefault(event["objectRef"]["name"], []).append(unix_s(event["requestReceivedTimestamp"]))
    return found


def _first(times_s: Sequence[float], since_s: float) -> float:
    return min((each for each in times_s if each >= since_s), default=float("nan"))


async def metric_steps(stage: Stage) -> list[float]:
    """Raise counts in Prometheus from 1 to 5 at different moments of a tick; give the seconds until 5 is written."""
    names = [name for index, name in enumerate(stage.names) if index % 2 == 0][:STEPS_AT_ONCE]
    took_s: list[float] = []
    while len(took_s) < STEPS:
        for name in names:
            stage.prometheus.set(f"{NAMESPACE}/{name}", 1)
        await stage.until(1, names)
        await asyncio.sleep(TICK_S)
        took_s += await asyncio.gather(*(_step(stage, name) for name in names))
        for name in names:
            stage.prometheus.set(f"{NAMESPACE}/{name}", 0)
        await stage.until(0, names)
    return took_s


async def _step(stage: Stage, name: str) -> float:
    await asyncio.sleep(_RNG.uniform(0, 2 * TICK_S))
    begun_s = time.time()
    stage.prometheus.set(f"{NAMESPACE}/{name}", 5)
    if not await stage.until(5, [name]):
        raise TimeoutError(f"{name} was not scaled to 5")
    return _first([at_s for at_s, number in stage.replicas[name] if number == 5], begun_s) - begun_s  # noqa: PLR2004


async def burst(stage: Stage) -> tuple[float, int]:
    """Wake several services together; give the seconds until the last was written, and how many never were."""
    names = stage.names[:BURST]
    begun_s = time.time()
    held = await asyncio.gather(*(stage.hold(name) for name in names))
    await stage.until(1, names)
    written = [_first([at_s for at_s, number in stage.replicas[name] if number], begun_s) for name in names]
    for _, writer in held:
        writer.close()
    done = [at_s for at_s in written if at_s == at_s]  # noqa: PLR0124 - not a number is one that was not written
    return max(done, default=begun_s) - begun_s, len(names) - len(done)


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Give the median, P95 and the maximum."""
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[94], max(values)


def summary(trials: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Give a row for each stage."""
    rows = []
    for part in (*_STAGES, "whole"):
        median, p95, most = quantiles([trial[part] for trial in trials])
        rows.append({"stage": part, "median, ms": median, "P95, ms": p95, "most, ms": most})
    return rows
