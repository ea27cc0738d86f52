"""The gateway's counts as lines of JSON: first the whole state, then each change, at least one line a second.

A line is `{"gateway": uid, "started": t, "at": t, "services": {"ns/name": {...}}}`. `at` is the time of its integrals,
by a clock of the gateway that never steps, so that two lines give the exact mean between them. A service has

* `queued` and `running`: counted requests that wait and that pods run, with the jobs that pods report;
* `seconds_total`: the integral of their sum over time, from the gateway's start;
* `pods`: running counted requests by pod, also of pods that drain;
* `draining`: the pods of which the gateway has seen the mark that they are to be removed, and to which it sends nothing
  new. A pod stays in the list until it is deleted, or until the mark is removed;
* `passing`: Pass requests that may wake a pod and are held or open, `holding_pass` those of them that are held;
* `passed_total`: how many of them ever arrived;
* `arrived_total`, `finished_total` and `served_seconds_total`: counted requests that ever arrived, those that a pod
  finished, and how long pods took for these;
* `hinted`: requests that are announced to this gateway, count now and have not arrived, and `hinted_until`, when the
  last of them ends, on the clock of `at`; only if the service takes hints;
* `held`: slots of gateways that were lost, by pod, in which something may still run; only at the owner, and if any.

If several gateways serve the same pods, a line also has the gateway's `name`, the `epoch` of the newest roster in which
it knows who uses which slot of its services, and the names of its `members`. All counts are of the gateway's own
clients, and at the owner of a service of the jobs that pods report beyond requests. So a sum over the members of the
highest epoch counts each request once.

Only the first line has every service; later lines have those that changed. The first change after a pause is sent at
once, and changes within 20 ms after a line share the next one. The exception is the first held request of a service
without a pod, which is sent at once because a pod has to be started. After a second without a change a line has the
services with requests in flight, because their integral grows. Idle services are left out, so that ten thousand of them
cost nothing.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from autoscaler.gateway.announced import ServiceHints
from autoscaler.gateway.counts import Counts
from autoscaler.gateway.peers.shared_dispatcher import SharedDispatcher
from autoscaler.gateway.pods.service_pods import ServiceDispatcher
from autoscaler.gateway.router import Router
from autoscaler.wake_up import NO_DEMAND, Demand, starts_holding

COALESCE_S = 0.02
LONGEST_SILENCE_S = 1.0

State = dict[str, Any]
"""The state of one service in a line."""


def state(
    dispatcher: ServiceDispatcher,
    marked: Iterable[str],
    counted: Counts,
    now_s: float,
    hints: ServiceHints | None = None,
) -> State:
    """Return the state of a service, with its marked pods, at a time of the gateway's event loop."""
    counts: State = {
        "queued": dispatcher.queued,
        "running": dispatcher.running,
        "seconds_total": dispatcher.seconds_total(now_s),
        "pods": {pod: dispatcher.running_on(pod) for pod in dispatcher.backends},
        "draining": sorted(marked),
        "passing": dispatcher.passing,
        "holding_pass": dispatcher.holding_pass,
        "passed_total": dispatcher.passed_total,
        "arrived_total": counted.arrived,
        "finished_total": sum(counted.service_s.counts),
        "served_seconds_total": counted.service_s.total,
    }
    if hints is not None:
        counts["hinted"], counts["hinted_until"] = announced = hints.at(now_s)
        if not announced.requests:
            counts["hinted_until"] = 0.0
    if isinstance(dispatcher, SharedDispatcher) and (held := dispatcher.held):
        counts["held"] = dict(held)
    return counts


class _Changes:
    """Services that have changed since a reader's last line; a change can be urgent."""

    def __init__(self, is_urgent: Callable[[str], bool]) -> None:
        self._is_urgent = is_urgent
        self._names: set[str] = set()
        self._any, self._urgent = asyncio.Event(), asyncio.Event()

    def add(self, name: str) -> None:
        self._names.add(name)
        self._any.set()
        if not self._urgent.is_set() and self._is_urgent(name):
            self._urgent.set()

    def take(self) -> set[str]:
        names, self._names = self._names, set()
        self._any.clear()
        self._urgent.clear()
        return names

    async def gather(self, seconds: float) -> None:
        """Collect changes for some seconds, or until an urgent one."""
        await _wait(self._urgent, seconds)

    async def wait(self, seconds: float) -> None:
        """Wait for a change, at most for some seconds."""
        await _wait(self._any, seconds)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def lines(gateway: Router) -> AsyncGenerator[bytes, None]:
    """Yield the lines for one reader; the first change after a pause is sent at once."""
    sent: dict[str, State] = {}
    growing: set[str] = set()
    names = changed = set(gateway.proxies)

    def is_urgent(name: str) -> bool:
        proxy = gateway.proxies.get(name)
        if proxy is None:
            return False
        dispatcher, last = proxy.dispatcher, sent.get(name)
        before = NO_DEMAND if last is None else _demand(last)
        return starts_holding(before, _demand_at(dispatcher)) and not dispatcher.ready

    changes = _Changes(is_urgent)
    gateway.watchers.add(changes.add)
    try:
        while True:
            now_s = gateway.loop_time()
            found = {
                name: state(proxy.dispatcher, proxy.pods.marked, proxy.counts, now_s, proxy.hints)
                for name in names
                if (proxy := gateway.proxies.get(name))
            }
            changes_to_send = {name: each for name, each in found.items() if _must_be_sent(each, sent.get(name))}
            sent.update(changes_to_send)
            growing = growing - names | {name for name, each in found.items() if _grows(each)}
            yield _line(gateway, now_s, changes_to_send)
            pause_s = COALESCE_S if changed else 0.0
            await changes.gather(pause_s)
            await changes.wait(LONGEST_SILENCE_S - pause_s)
            changed = changes.take()
            names = changed or set(growing)
    finally:
        gateway.watchers.discard(changes.add)


def _demand_at(dispatcher: ServiceDispatcher) -> Demand:
    return Demand(dispatcher.queued, dispatcher.queued + dispatcher.running, dispatcher.holding_pass)


def _demand(sent: State) -> Demand:
    return Demand(sent["queued"], sent["queued"] + sent["running"], sent["holding_pass"])


def _grows(state: State) -> bool:
    return bool(state["queued"] or state["running"])


def _must_be_sent(state: State, before: State | None) -> bool:
    return before is None or _grows(state) or _without_time(state) != _without_time(before)


def _without_time(state: State) -> State:
    return {key: value for key, value in state.items() if key != "seconds_total"}


def _group(gateway: Router) -> dict[str, Any]:
    """Return what a line says of the gateways that serve together."""
    if gateway.peers is None:
        return {}
    epoch, members = gateway.peers.counted
    return {"name": gateway.peers.peer.name, "epoch": epoch, "members": members}


def _line(gateway: Router, now_s: float, services: dict[str, State]) -> bytes:
    line = {"gateway": gateway.uid, "started": gateway.started_s, "at": now_s, **_group(gateway), "services": services}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
