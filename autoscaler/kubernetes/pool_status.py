"""Pools in a policy's status: what each has, since when it has no room, and the events when that changes. No I/O.

Rules:
1. A pool is exhausted from when replicas that are asked of it have no place. If less wanted pools take these replicas,
   it stays exhausted until it has more ready replicas than had a place then, until it needs fewer, or until the less
   wanted pools have none.
2. Times come from the status, so that a restart of the controller does not change them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from algorithms.observation import PoolState
from autoscaler.kubernetes.events import Event
from autoscaler.kubernetes.timestamps import timestamp, unix_s

Json = Mapping[str, Any]

EXHAUSTED = "PoolExhausted"
_NO_ROOM = "NoRoom"
_DAY_S = 86_400.0


class PoolReport:
    """The pools of one service.

    Args:
        before: the pools in the status that the policy has.
    """

    def __init__(self, before: Sequence[Json] = ()) -> None:
        self._states: tuple[PoolState, ...] = ()
        self._since_s = {each["name"]: unix_s(each["exhaustedSince"]) for each in before if each.get("exhaustedSince")}
        """Since when each exhausted pool has had no room."""
        self._kept: dict[str, int] = {}
        """How many replicas of each exhausted pool had a place."""
        self._reasons: dict[str, str] = {}
        self._now_s = 0.0

    def take(self, states: Sequence[PoolState], now_s: float) -> list[Event]:
        """Take in what was seen of the pools, in order of preference; gives what is worth an event."""
        before, was = self._states, set(self._since_s)
        self._states, self._now_s = tuple(states), now_s
        exhausted = set(self._exhausted())
        self._since_s = {name: self._since_s.get(name, now_s) for name in exhausted}
        self._kept = {
            each.name: each.asked - each.unplaced if each.unplaced else self._kept.get(each.name, each.asked)
            for each in states
            if each.name in exhausted
        }
        self._reasons |= {each.name: _reason(each.why) for each in states if each.unplaced}
        self._reasons = {name: self._reasons.get(name, _NO_ROOM) for name in exhausted}
        return [
            *(Event(EXHAUSTED, self._line(each), warning=True) for each in states if each.name in exhausted - was),
            *self._spills(before),
            *(Event("PoolRecovered", f"pool {name} has room again") for name in sorted(was - exhausted)),
        ]

    @property
    def pools(self) -> list[dict[str, Any]]:
        """The pools as the status has them."""
        return [
            {
                "name": each.name,
                "desired": each.asked,
                "ready": each.ready,
                "unplaced": each.unplaced,
                **({"exhaustedSince": timestamp(self._since_s[each.name])} if each.name in self._since_s else {}),
            }
            for each in self._states
        ]

    @property
    def is_exhausted(self) -> bool:
        """Whether some pool is exhausted."""
        return bool(self._since_s)

    @property
    def lacks(self) -> bool:
        """Whether replicas have no place now."""
        return any(each.unplaced for each in self._states)

    @property
    def reason(self) -> str:
        """Why pools are exhausted, in one word."""
        return next((self._reasons[each.name] for each in self._states if each.name in self._since_s), "PoolsHaveRoom")

    @property
    def message(self) -> str:
        """Which pools are exhausted, in one line; if none is, where the replicas run."""
        lines = [self._line(each) for each in self._states if each.name in self._since_s]
        return "; ".join(lines) or _split(self._states) or "no replicas"

    def _exhausted(self) -> Iterator[str]:
        """Give the pools to which rule 1 applies."""
        spilled = False
        for each in reversed(self._states):
            kept = self._kept.get(each.name, each.asked)
            if each.unplaced or (each.name in self._since_s and spilled and each.ready <= kept <= each.asked):
                yield each.name
            spilled = spilled or each.asked > each.unplaced

    def _line(self, pool: PoolState) -> str:
        since = _clock(self._since_s[pool.name], self._now_s)
        if pool.unplaced:
            return f"asked for {pool.asked}, {pool.unplaced} cannot be placed since {since}, pool {pool.name}"
        return f"no room for more than {pool.asked} since {since}, pool {pool.name}; {_split(self._after(pool))}"

    def _after(self, pool: PoolState) -> Sequence[PoolState]:
        return self._states[self._states.index(pool) + 1 :]

    def _spills(self, before: Sequence[PoolState]) -> Iterator[Event]:
        asked = {each.name: each.asked for each in before}
        for pool in self._states:
            if pool.name in self._since_s:
                for other in self._after(pool):
                    if other.asked > asked.get(other.name, other.asked) and other.name not in self._since_s:
                        yield Event("PoolSpilled", f"{other.asked} in pool {other.name}: pool {pool.name} has no room")
                return


def _split(states: Sequence[PoolState]) -> str:
    return ", ".join(f"{each.asked} in {each.name}" for each in states if each.asked)


def _reason(why: str) -> str:
    word = why.partition(":")[0]
    return word if re.fullmatch("[A-Z][A-Za-z]*", word) else _NO_ROOM


def _clock(at_s: float, now_s: float) -> str:
    text = timestamp(at_s)
    return f"{text[11:16]} UTC" if now_s - at_s < _DAY_S else f"{text[:10]} {text[11:16]} UTC"
