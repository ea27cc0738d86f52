"""The gateway's count as JSON lines: the whole state first, then each change, and at least one line a second.

A line is `{"gateway": uid, "started": t, "at": t, "services": {"ns/name": {...}}}`. `at` is the moment of its integrals
by a clock of the gateway that never steps: two lines give the exact mean between them, however long they take. A
service has

* `queued` and `running`: counted requests that wait and that pods serve;
* `seconds_total`: the integral of their sum over time, from the gateway's start;
* `pods`: running counted requests by pod, those that drain included;
* `passing`: uncounted requests that may wake a pod and are held or open, `holding_pass` those of them that are held;
* `passed_total`: how many of them ever came.

Only the first line has every service; later ones have those that changed. The first change after a pause is told at
once, and those within 20 ms of a line share the next one. A silent second brings a line with every service again, as
the integral grows while the counts stand still.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

from autoscaler.gateway.core import Core

COALESCE_S = 0.02
LONGEST_SILENCE_S = 1.0

States = dict[str, dict[str, Any]]
"""What a line says, by service."""


def states(gateway: Core, now_s: float) -> States:
    """Give what a line says of each service at a time of the gateway's event loop."""
    return {
        name: {
            "queued": gate.dispatcher.queued,
            "running": gate.dispatcher.running,
            "seconds_total": gate.dispatcher.seconds_total(now_s),
            "pods": {pod: gate.dispatcher.running_on(pod) for pod in gate.dispatcher.backends},
            "passing": gate.dispatcher.passing,
            "holding_pass": gate.dispatcher.holding_pass,
            "passed_total": gate.dispatcher.passed_total,
        }
        for name, gate in gateway.gates.items()
    }


async def lines(gateway: Core) -> AsyncGenerator[bytes, None]:
    """Give the lines of one reader, for ever; the first change after a pause is told at once."""
    changed = asyncio.Event()
    gateway.watchers.add(changed)
    told: States = {}
    try:
        while True:
            now_s = gateway.loop_time()
            before, told = told, states(gateway, now_s)
            whole = not changed.is_set()
            changed.clear()
            news = {name: state for name, state in told.items() if whole or _differs(state, before.get(name))}
            yield _line(gateway, now_s, news)
            await asyncio.sleep(COALESCE_S)
            await _change(changed)
    finally:
        gateway.watchers.discard(changed)


async def _change(changed: asyncio.Event) -> None:
    """Wait for a change, but not for longer than a reader may be left in silence."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_SILENCE_S - COALESCE_S):
            await changed.wait()


def _differs(state: dict[str, Any], before: dict[str, Any] | None) -> bool:
    return before is None or any(state[key] != before[key] for key in state if key != "seconds_total")


def _line(gateway: Core, now_s: float, services: States) -> bytes:
    line = {"gateway": gateway.uid, "started": gateway.started_s, "at": now_s, "services": services}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
