"""Pools of GPUs: in which of them the replicas of one service run.

The pools are in order of preference. The rules, in their order:

1. Replicas go to the first pool that has room. A pool has room up to its maximum.
2. If replicas of a pool have no place for `spill_after_s`, or at once if Kubernetes refuses to create them, the pool
   closes: it keeps what is placed, and the others take the rest.
3. A closed pool opens after a pause. The first pause lasts `spill_after_s`; each failure doubles it, up to
   `LONGEST_PAUSE_S`.
4. A pool that has opened is on trial for as long as its pause was. Meanwhile it gets replicas only by rule 6, or if no
   other pool has room. If more replicas than it kept are ready, or the trial is over and none lacks a place, the pool
   is open as if it had never failed.
5. If the number falls, replicas that are not ready go first, then idle ones, then busy ones. Of each, those go first
   that rule 6 would move, and then those of the least wanted pool. An idle replica of a good pool goes before a busy
   one of a bad pool, because nothing is cut then.
6. Replicas move to a better pool one at a time: one more is asked for there, and when it is ready, an idle one leaves
   the worse pool. Until then the sum is one above the total. A move begins if every replica has a place, and nothing
   else has changed the pools for `spill_after_s`; it is announced one call before, for those who limit the sum.
7. If no pool has room, what is left waits in the first pool that is not at its maximum.
8. A pool's minimum is a reserve. While the total is at most the sum of all reserves, the reserves are wanted, in the
   same order. Above it, the pools are wanted by rule 1, so that the reserve serves until rule 6 has moved it.

The sum of the pools is the total, or less if their maxima are less, or one more during a move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import NamedTuple

from algorithms.observation import PoolState
from algorithms.state import VERSION, check
from algorithms.types import State

LONGEST_PAUSE_S = 1800.0
"""The longest pause, and how long a move waits for its replica."""


_NO_MAXIMUM = 2**63


class Pool(NamedTuple):
    """What the rules know of one pool."""

    name: str
    min_replicas: int = 0
    max_replicas: int | None = None
    """None: no maximum."""


class Placed(NamedTuple):
    """Where the replicas of one service are asked for."""

    asked: Mapping[str, int]
    """By pool."""
    why: str
    """Empty if all are in the first pool and nothing is to be said."""


_Split = dict[str, int]
"""Replicas by pool, in order of preference."""


@dataclass(slots=True)
class _Trouble:
    """What is remembered of one pool. A pool without trouble is open."""

    unplaced_since_s: float | None = None
    """Since when replicas have had no place."""
    kept: int = 0
    """What was placed when the pool closed."""
    pause_s: float = 0.0
    """Its last pause; 0 if it has not failed."""
    opens_s: float = 0.0
    """When the pause ends."""
    why: str = ""
    """Why it closed."""

    def closed(self, now_s: float) -> bool:
        return bool(self.pause_s) and now_s < self.opens_s

    def on_trial(self, now_s: float) -> bool:
        return bool(self.pause_s) and self.opens_s <= now_s

    def close(self, kept: int, first_pause_s: float, now_s: float, why: str) -> None:
        self.pause_s = min(max(2 * self.pause_s, first_pause_s), max(LONGEST_PAUSE_S, first_pause_s))
        self.kept, self.opens_s, self.why, self.unplaced_since_s = kept, now_s + self.pause_s, why, None


class _Move(NamedTuple):
    """One replica that was asked for in a better pool while the worse one keeps its own."""

    pool: str
    total: int
    since_s: float


class Placement:
    """Places the replicas of one service in its pools; deterministic in the sequence of calls."""

    def __init__(self, pools: Sequence[Pool], *, spill_after_s: float) -> None:
        """Know the pools, in order of preference, and how long a replica may wait for a place."""
        self._pools = {pool.name: pool for pool in pools}
        self._spill_after_s = spill_after_s
        self._reserve = sum(pool.min_replicas for pool in pools)
        self._troubles = {pool.name: _Trouble() for pool in pools}
        self._move: _Move | None = None
        self._changed_s: float | None = None
        """When something other than a move last changed the pools."""
        self.is_move_due = False
        """Whether the last call left a move under way, or one that the next call begins."""

    def spare(self, states: Sequence[PoolState]) -> int:
        """Give how many of the replicas asked for are above the total, because one moves."""
        known = sum(state.asked for state in states if state.name in self._pools)
        return 1 if self._move is not None and known == self._move.total + 1 else 0

    def next_change_s(self, now_s: float) -> float:
        """Give the next time at which a pause or a trial ends; infinite if there is none."""
        failed = [trouble for trouble in self._troubles.values() if trouble.pause_s]
        ends = [end_s for each in failed for end_s in (each.opens_s, each.opens_s + each.pause_s)]
        return min((end_s for end_s in ends if end_s > now_s), default=inf)

    def place(self, total: int, states: Sequence[PoolState], now_s: float, *, may_exceed: bool = True) -> Placed:
        """Give the replicas of each pool.

        Args:
            total: the replicas of the service.
            states: what was seen of each pool; one that was not seen has none.
            now_s: the time, which never steps back.
            may_exceed: whether there may be one replica more than `total` during a move.
        """
        seen = {state.name: state for state in states}
        states = [seen.get(name, PoolState(name, 0)) for name in self._pools]
        for state in states:
            self._judge(state, now_s)
        asked = {state.name: min(state.asked, self._room(state.name, now_s)) for state in states}
        if not (may_exceed and self._is_moving(asked, total)):
            self._move = None
        before = dict(asked)
        self._grow(asked, total, now_s)
        _shrink(asked, total + (self._move is not None), states, self._wanted(total, now_s))
        was_due, self.is_move_due = self.is_move_due, False
        if self._changed_s is None or any(asked[state.name] != state.asked for state in states):
            self._changed_s = now_s
        elif asked == before:
            wanted = self._wanted(total, now_s)
            if self._move is not None:
                self._end_move(self._move, asked, wanted, states, now_s)
            elif (better := self._move_due(asked, wanted, states, now_s)) is not None:
                self._begin_move(asked, better, total, now_s, now=was_due and may_exceed)
        return Placed(asked, self._why(asked, states, now_s))

    def export(self) -> State:
        """Give what is remembered of each pool, and the move under way."""
        return {
            "version": VERSION,
            "pools": {name: asdict(trouble) for name, trouble in self._troubles.items()},
            "move": None if self._move is None else list(self._move),
            "changed_s": self._changed_s,
            "is_move_due": self.is_move_due,
        }

    def restore(self, state: State) -> None:
        """Continue from an exported state; pools that are not in it are open, and others in it are not known any more.

        Raises:
            ValueError: the state is of another version.
        """
        check(state, "Placement")
        for name, values in state["pools"].items():
            if name in self._pools:
                self._troubles[name] = _Trouble(**values)
        move = state["move"]
        self._move = _Move(*move) if move is not None and move[0] in self._pools else None
        self._changed_s, self.is_move_due = state["changed_s"], state["is_move_due"]

    def _judge(self, state: PoolState, now_s: float) -> None:
        """Close a pool whose replicas have no place (rule 2), and forget old trouble (rules 3 and 4)."""
        trouble = self._troubles[state.name]
        proven = trouble.pause_s and state.ready > trouble.kept
        if proven or (trouble.on_trial(now_s) and now_s >= trouble.opens_s + trouble.pause_s and not state.unplaced):
            trouble = self._troubles[state.name] = _Trouble()
        waiting = max(state.asked - trouble.kept, 0) if trouble.closed(now_s) else 0
        if state.unplaced <= waiting:
            trouble.unplaced_since_s = None
            return
        if trouble.unplaced_since_s is None:
            trouble.unplaced_since_s = now_s
        if state.refused or now_s - trouble.unplaced_since_s >= self._spill_after_s:
            trouble.close(max(state.asked - state.unplaced, state.ready), self._spill_after_s, now_s, state.why)

    def _most(self, name: str) -> int:
        most = self._pools[name].max_replicas
        return _NO_MAXIMUM if most is None else most

    def _room(self, name: str, now_s: float) -> int:
        """Give how many replicas a pool may have now."""
        trouble = self._troubles[name]
        return min(self._most(name), trouble.kept) if trouble.closed(now_s) else self._most(name)

    def _proven(self, name: str) -> int:
        """Give how many replicas a pool may have if it is not tried."""
        trouble = self._troubles[name]
        return min(self._most(name), trouble.kept) if trouble.pause_s else self._most(name)

    def _wanted(self, total: int, now_s: float) -> _Split:
        """Split a total as rules 1 and 8 want it; pools on trial count as open."""
        rooms = {name: self._room(name, now_s) for name in self._pools}
        reserves = {name: min(self._pools[name].min_replicas, room) for name, room in rooms.items()}
        return _filled(total, *([reserves] if total <= self._reserve else []), rooms)

    def _grow(self, asked: _Split, total: int, now_s: float) -> None:
        """Ask for more replicas until there are `total`: rule 1, then 4, then 7."""
        proven = {name: self._proven(name) for name in self._pools}
        rooms = {name: self._room(name, now_s) for name in self._pools}
        most = {name: self._most(name) for name in self._pools}
        reserves = {name: min(self._pools[name].min_replicas, room) for name, room in proven.items()}
        for limits in ([reserves] if total <= self._reserve else []) + [proven, rooms, most]:
            for name, limit in limits.items():
                asked[name] += max(min(limit - asked[name], total - sum(asked.values())), 0)

    def _is_moving(self, asked: _Split, total: int) -> bool:
        return self._move is not None and self._move.total == total and sum(asked.values()) == total + 1

    def _move_due(self, asked: _Split, wanted: _Split, states: Sequence[PoolState], now_s: float) -> str | None:
        """Name the pool in which one more replica is wanted, if a move may begin."""
        calm_s = now_s - (now_s if self._changed_s is None else self._changed_s)
        if calm_s < self._spill_after_s or any(state.unplaced for state in states):
            return None
        return next((name for name in asked if asked[name] < wanted[name]), None)

    def _begin_move(self, asked: _Split, better: str, total: int, now_s: float, *, now: bool) -> None:
        """Ask for one more replica in a better pool; if that may not be now, say that it is due."""
        self.is_move_due = True
        if now:
            asked[better] += 1
            self._move = _Move(better, total, now_s)

    def _end_move(self, move: _Move, asked: _Split, wanted: _Split, states: Sequence[PoolState], now_s: float) -> None:
        moving = next(state for state in states if state.name == move.pool)
        if moving.ready >= moving.asked:
            leaving = [s.name for s in states if asked[s.name] > max(wanted[s.name], s.busy)]
            if leaving:
                # The move is over when the replica has left: until then it may still get a request, and stay.
                asked[leaving[-1]] -= 1
                return
        elif now_s - move.since_s >= LONGEST_PAUSE_S:
            kept = asked[moving.name] - 1
            why = f"a replica was not ready after {LONGEST_PAUSE_S:g} s"
            self._troubles[moving.name].close(kept, self._spill_after_s, now_s, why)
            asked[moving.name], self._move = kept, None
            return
        self.is_move_due = True

    def _why(self, asked: _Split, states: Sequence[PoolState], now_s: float) -> str:
        used = [name for name, number in asked.items() if number]
        troubles = [text for state in states if (text := self._trouble_of(state, asked, now_s))]
        if self._move is not None:
            troubles.append(f"one more starts in {self._move.pool} before another pool gives one up")
        if not troubles and used == used[:1] and asked[next(iter(asked))] == sum(asked.values()):
            return ""
        return "; ".join([", ".join(f"{asked[name]} in {name}" for name in used) or "none", *troubles])

    def _trouble_of(self, state: PoolState, asked: _Split, now_s: float) -> str:
        trouble = self._troubles[state.name]
        if trouble.closed(now_s):
            return f"{state.name} has no room for more until {_clock(trouble.opens_s)} at least: {trouble.why}"
        if trouble.unplaced_since_s is not None:
            since = _clock(trouble.unplaced_since_s)
            return f"{state.unplaced} of {state.asked} in {state.name} have had no place since {since}: {state.why}"
        if trouble.on_trial(now_s):
            return f"{state.name} is on trial"
        most = self._most(state.name)
        return f"{state.name} has its maximum of {most}" if asked[state.name] == most else ""


def _filled(total: int, *limits: Mapping[str, int]) -> _Split:
    """Fill pools in their order up to the first limits, then up to the next ones."""
    split = dict.fromkeys(limits[-1], 0)
    for each in limits:
        for name, limit in each.items():
            split[name] += max(min(limit - split[name], total - sum(split.values())), 0)
    return split


def _shrink(asked: _Split, total: int, states: Sequence[PoolState], wanted: Mapping[str, int]) -> None:
    """Ask for fewer replicas until there are `total` (rule 5)."""
    least_wanted_first = list(reversed(states))
    for remaining in (lambda s: s.ready, lambda s: s.busy, lambda _: 0):
        for floor in (wanted, dict.fromkeys(asked, 0)):
            for state in least_wanted_first:
                extra = asked[state.name] - max(remaining(state), floor[state.name])
                asked[state.name] -= max(min(extra, sum(asked.values()) - total), 0)


def _clock(at_s: float) -> str:
    """Write the time of day in UTC."""
    minutes, seconds = divmod(int(at_s % 86_400), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
