"""Pause and manual override: annotations of a policy that end by themselves.

    inflight.dev/paused-until: "2026-11-23T18:00:00Z"      hold what there is
    inflight.dev/replicas: "5"                             have so many, whatever is wished for
    inflight.dev/replicas-until: "2026-11-23T18:00:00Z"    until then

GitOps does not take annotations back that it did not set, and an expiry does not forget itself.
"""

from collections.abc import Mapping
from datetime import datetime

from autoscaler.policy import GROUP
from autoscaler.ports import StandingOrder

PAUSED_UNTIL = f"{GROUP}/paused-until"
REPLICAS = f"{GROUP}/replicas"
REPLICAS_UNTIL = f"{GROUP}/replicas-until"
_MOST = 10_000


def standing_orders(annotations: Mapping[str, str]) -> tuple[StandingOrder, ...]:
    """Read the orders that annotations give; the manual override wins.

    Raises:
        ValueError: one of ours cannot be read; the message names it, its value and what is legal.
    """
    orders: list[StandingOrder] = []
    if PAUSED_UNTIL in annotations:
        until = annotations[PAUSED_UNTIL]
        orders.append(StandingOrder("paused", _unix_s(PAUSED_UNTIL, until), f"paused until {until}"))
    if REPLICAS in annotations or REPLICAS_UNTIL in annotations:
        orders.append(_override(annotations))
    return tuple(orders)


def _override(annotations: Mapping[str, str]) -> StandingOrder:
    for key, other in ((REPLICAS, REPLICAS_UNTIL), (REPLICAS_UNTIL, REPLICAS)):
        if key not in annotations:
            raise ValueError(f"metadata.annotations.{key}: is required beside {other}")
    until = annotations[REPLICAS_UNTIL]
    replicas = _number(REPLICAS, annotations[REPLICAS])
    until_s = _unix_s(REPLICAS_UNTIL, until)
    return StandingOrder("override", until_s, f"{replicas} asked for by hand until {until}", replicas)


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= _MOST):
        raise ValueError(f"metadata.annotations.{key}: {text!r}: must be a whole number of 0 to {_MOST}")
    return int(text)


def _unix_s(key: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"metadata.annotations.{key}: {text!r}: must be a time such as 2026-11-23T18:00:00Z")
    return moment.timestamp()
