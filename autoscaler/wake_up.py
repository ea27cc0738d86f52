"""When a service cannot wait for the next tick.

Whoever builds a `Demand` gives all its numbers: the gateway's dispatcher and stream, the controller's aggregate of
these streams, and the simulator's engines. The compiled engine has no Pass requests and gives 0 for them.

Rules:
1. A service needs a wake-up if its queue grew, if its requests in flight rose from zero, or if a first Pass request is
   held, which waits for a pod.
2. The gateway gathers changes for a moment before it sends them. It does not gather the first request that is held
   while no pod is ready: a pod has to be started for it.

3. A service also needs a wake-up if more requests are announced to a gateway than before. Only the gateways' streams
   and the reference engine know of hints, and compare this number themselves.

The gateway, the controller and all engines of the simulator follow these two functions. They are plain comparisons of
numbers, so that the compiled engine can compile them.
"""

from typing import NamedTuple


class Demand(NamedTuple):
    """The part of a service's counts that the rules compare."""

    queued: int
    """Counted requests that wait for a slot."""
    inflight: int
    """Counted requests that wait or run."""
    holding_pass: int
    """Pass requests that wait for a pod."""


NO_DEMAND = Demand(0, 0, 0)


def needs_wake_up(before: Demand, now: Demand) -> bool:
    """Tell whether a service must be decided on before the next tick (rule 1)."""
    return (
        now.queued > before.queued
        or (before.inflight == 0 and now.inflight > 0)
        or (before.holding_pass == 0 and now.holding_pass > 0)
    )


def starts_holding(before: Demand, now: Demand) -> bool:
    """Tell whether the first request is held; if no pod is ready, the gateway sends this without delay (rule 2)."""
    return before.queued + before.holding_pass == 0 and now.queued + now.holding_pass > 0
