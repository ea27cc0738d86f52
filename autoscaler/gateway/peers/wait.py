"""What an owner knows of a request that needs a grant."""

from typing import NamedTuple

from autoscaler.gateway.dispatch.types import ANY_TURN, SlotUse, Turn


class Wait(NamedTuple):
    """The arguments of `Dispatcher.arrive`."""

    arrived_s: float
    kind: SlotUse = SlotUse.COUNT
    pinned: str | None = None
    max_per_pod: int = 0
    wakes: bool = True
    turn: Turn = ANY_TURN
