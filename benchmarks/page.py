"""What the page costs: memory of an hour's history, CPU time for a decision, and what viewers get."""

import asyncio
import gc
import gzip
import math
import random
import time
from collections.abc import Iterable
from typing import Any

from algorithms.observation import Observation
from autoscaler.app.local import services
from autoscaler.controller.step import Service, step
from autoscaler.page.board import Board
from autoscaler.page.events import compact
from autoscaler.page.live import Facts, Live
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Fleet, Record, Replica
from autoscaler.runtime.memory import resident_bytes
from autoscaler.testing import policy
from benchmarks.figures import report

TICK_S = 2.0
HOUR_S = 3600.0
START_S = 1.7e9
CASES = ((1_000, 0.03), (10_000, 0.003))
"""Services, and the share of them that have requests all the time. The others are at zero, and ticks skip them."""


class World:
    """Services whose requests come and go at random; those that are idle are decided on once."""

    def __init__(self, size: int, busy: float) -> None:
        policies = {each.service: each for each in (policy(f"service-{number:05}") for number in range(size))}
        self.policies: dict[str, ScalingPolicy] = policies
        self.busy = dict(list(services(policies.values()).items())[: math.ceil(size * busy)])
        self.idle = {name: each for name, each in services(policies.values()).items() if name not in self.busy}
        self.counts = dict.fromkeys(self.busy, 3)
        self.now_s = START_S
        self.live = Live(lambda: self.now_s)
        self.board = Board(self.live, Facts(policies.keys, policies.get))
        self._rng = random.Random(1)  # noqa: S311 - the same load each time

    def records(self, decided: dict[str, Service]) -> list[Record]:
        """Decide once on some services."""
        seen = {}
        for name in decided:
            count = self.counts.get(name, 0)
            if name in self.busy and self._rng.random() < 0.3:  # noqa: PLR2004 - requests take some ticks
                count = self.counts[name] = max(0, min(count + self._rng.choice((-1, 1)), 8))
            fleet = Fleet(5, _PODS) if name in self.busy else Fleet(0, ())
            running = min(count, len(fleet.replicas))
            seen[name] = (
                Observation(
                    self.now_s,
                    self.now_s - TICK_S,
                    count,
                    fleet.asked,
                    fleet.ready,
                    count,
                    queued=count - running,
                    running=running,
                    starting=0,
                ),
                fleet,
            )
        self.live.observed(seen)
        return [
            Record(each.service, each.observation, each.decision, None, "unchanged") for each in step(decided, seen)
        ]

    def keep(self, records: Iterable[Record]) -> float:
        """Let the page keep decisions, and give the CPU time that it took."""
        begun = time.process_time()
        for record in records:
            self.live(record)
        return time.process_time() - begun

    def hour(self) -> tuple[float, int]:
        """Run an hour, and give the CPU time of the page and how many decisions it was given."""
        spent_s, number = self.keep(self.records(self.idle)), len(self.idle)
        for _ in range(int(HOUR_S / TICK_S)):
            self.now_s += TICK_S
            records = self.records(self.busy)
            spent_s += self.keep(records)
            number += len(records)
        return spent_s, number


_PODS = tuple(Replica(f"service-7c9d8b6f5d-{number}", ready=True, running=0, age_s=60.0) for number in range(5))


async def viewed(world: World) -> dict[str, Any]:
    """Look at the fleet and at one service, and follow a minute of the fleet's events."""
    began_s, begun = world.now_s, time.process_time()
    fleet = compact(await world.board.fleet()).encode()
    fleet_s = time.process_time() - begun
    begun = time.process_time()
    service = compact(await world.board.service(next(iter(world.policies))) or {}).encode()
    service_s = time.process_time() - begun
    sent, spent_s, since_s = 0, 0.0, world.now_s
    for _ in range(30):
        world.now_s += TICK_S
        world.keep(world.records(world.busy))
        begun = time.process_time()
        event = await world.board.fleet_after(since_s)
        sent, since_s, spent_s = sent + len(event.text()), event.now_s, spent_s + time.process_time() - begun
    size = len(world.policies)
    return {
        "fleet, B a service": round(len(fleet) / size),
        "gzip, B a service": round(len(gzip.compress(fleet, 6)) / size, 1),
        "fleet, ms": fleet_s * 1e3,
        "service, KB": len(service) / 1e3,
        "service, ms": service_s * 1e3,
        "events, KB/s": sent / (world.now_s - began_s) / 1e3,
        "an event, ms": spent_s / 30 * 1e3,
    }


def main() -> None:
    """Measure all and report."""
    rows = []
    for size, busy in CASES:
        gc.collect()
        world = World(size, busy)
        before = resident_bytes()
        spent_s, decisions = world.hour()
        gc.collect()
        kept = resident_bytes() - before
        rows.append(
            {
                "services": size,
                "busy": len(world.busy),
                "kept, MB": kept / 1e6,
                "a decision, us": spent_s / decisions * 1e6,
                **asyncio.run(viewed(world)),
            }
        )
        del world
    report("page", rows)


if __name__ == "__main__":
    main()
