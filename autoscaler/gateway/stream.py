"""The gateway's count as JSON lines: the whole state first, then each change, and at least one line a second.

A line is `{"gateway": uid, "started": t, "services": {"ns/name": {...}}}`. A service has

* `queued` and `running`: counted requests that wait and that pods serve;
* `seconds_total`: the integral of their sum over time, from the gateway's start;
* `pods`: running counted requests by pod, those that drain included;
* `passing`: uncounted requests that may wake a pod and are held or open, `holding_pass` those of them that are held;
* `passed_total`: how many of them ever came.

Only the first line has every service; later ones have those that changed. Changes within 20 ms share a line. A silent
second brings a line with every service again, as the integral grows while the counts stand still.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from autoscaler.gateway.core import Core

COALESCE_S = 0.02
LONGEST_SILENCE_S = 1.0


def states(gateway: Core) -> dict[str, dict[str, Any]]:
    """Give what a line says of each service."""
    now_s = gateway.loop_time()
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
    """Give the lines of one reader, for ever."""
    changed = asyncio.Event()
    gateway.watchers.add(changed)
    try:
        told = states(gateway)
        yield _line(gateway, told)
        while True:
            try:
                async with asyncio.timeout(LONGEST_SILENCE_S):
                    await changed.wait()
            except TimeoutError:
                told = states(gateway)
                yield _line(gateway, told)
                continue
            await asyncio.sleep(COALESCE_S)
            changed.clear()
            before, told = told, states(gateway)
            yield _line(gateway, {name: state for name, state in told.items() if _differs(state, before.get(name))})
    finally:
        gateway.watchers.discard(changed)


def _differs(state: dict[str, Any], before: dict[str, Any] | None) -> bool:
    return before is None or any(state[key] != before[key] for key in state if key != "seconds_total")


def _line(gateway: Core, services: dict[str, dict[str, Any]]) -> bytes:
    line = {"gateway": gateway.uid, "started": gateway.started_s, "services": services}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
