"""Who is a member, who is heard, and whether this gateway may start requests now.

Rules:
1. The roster changes only by a compare-and-set in the store, made by a member. A new gateway asks a member to let it
   in; it writes itself in only if there is no member, or if all are known dead.
2. A member acknowledges beats of its own epoch only. The permit to start requests lasts `permit_s` from the sending of
   a beat that a majority has acknowledged (the sender counts; of two, both), or from the beginning of a read of the
   store that shows this gateway as a member of its own epoch.
3. A member writes out another that is silent, if it hears n - majority + 1 of the n members, if as many of the epoch
   before have seen the present one (in both, it counts itself and who is known dead), and if no member that it hears
   says that it hears the silent one. Members that do not hear each other own nothing, or one of two: see `cuts`.
4. A member that leaves owns nothing first. It writes itself out when nothing of its clients is left and the books of
   the services that it owned are whole elsewhere. A client that comes meanwhile gets its slot in the next epoch.

`now_s` is a time of a clock that goes on while the process is stopped.
"""

import math
from collections.abc import Callable, Mapping

from autoscaler.gateway.peers.cuts import Cuts
from autoscaler.gateway.peers.messages import Ack, Beat
from autoscaler.gateway.peers.outbox import Outbox, ReadRoster, WriteRoster
from autoscaler.gateway.peers.roster import Member, Roster, majority
from autoscaler.gateway.peers.times import Times

_OFTEN = 3


class _Link:
    """What is known of a gateway that is connected."""

    __slots__ = ("acked_s", "heard_s", "hears", "life")

    def __init__(self, life: str, now_s: float) -> None:
        self.life = life
        self.heard_s = now_s
        self.hears: frozenset[str] = frozenset()
        self.acked_s = -math.inf
        """When the newest beat was sent that it acknowledged in the present epoch."""


class Membership:
    """One gateway's view.

    Args:
        name: its name, which no other gateway has at the same time.
        me: its life and its `host:port`.
        times: the durations.
        out: takes the messages and the calls of the store.
        adopted: called after each change of the roster.
    """

    def __init__(
        self,
        name: str,
        me: Member,
        times: Times,
        *,
        out: Outbox,
        adopted: Callable[[], None],
    ) -> None:
        self.name = name
        self.life = me.life
        self.roster: Roster | None = None
        self.leaving = False
        self.finished = False
        """Whether nothing is left that a leaver has to wait for."""
        self._goodbye = 0
        """The epoch in which it last asked the store to write its goodbye; it starts nothing in that one."""
        self._address = me.peer
        self._times = times
        self._out = out
        self._adopted = adopted
        self._links: dict[str, _Link] = {}
        self._refused: set[str] = set()
        self._heard: dict[str, float] = {}
        """When each member was heard, also one that is not connected."""
        self._seen: dict[tuple[str, str], int] = {}
        """The newest epoch that each process has said it is in."""
        self._dead: set[tuple[str, str]] = set()
        self._joins: dict[str, Member] = {}
        self._beats: dict[int, float] = {}
        """When beats of the present epoch were sent."""
        self._beat = self._asked = 0
        self._next_beat_s = -math.inf
        self._last_hears: frozenset[str] = frozenset()
        self._read_ok_s = -math.inf
        self._next_read_s = -math.inf
        self._calling: ReadRoster | WriteRoster | None = None
        self._must_read, self._has_read = True, False
        self._adopted_s = -math.inf
        self._cuts = Cuts(name, times)
        self._outs: list[float] = []
        self.out_since_s: float | None = None
        """Since when it is no member."""

    # What is so.

    @property
    def is_member(self) -> bool:
        """Whether this process is a member, as far as it knows."""
        return self.roster is not None and self.roster.has(self.name, self.life)

    @property
    def epoch(self) -> int:
        """The epoch of the roster; 0 before there is one."""
        return 0 if self.roster is None else self.roster.epoch

    @property
    def may_go(self) -> bool:
        """Whether a leaver that has nothing left is no member any more."""
        return self.leaving and self.finished and not self.is_member

    @property
    def owns_by_right(self) -> bool:
        """Whether it is a member that may own services."""
        return self.is_member and self._members[self.name].own

    @property
    def _members(self) -> Mapping[str, Member]:
        return {} if self.roster is None else self.roster.members

    @property
    def others(self) -> list[str]:
        """The other members' names."""
        return [name for name in self._members if name != self.name]

    @property
    def owners(self) -> list[str]:
        """The other members that may own services; all others if none may."""
        return [name for name in self.others if self._members[name].own] or self.others

    def is_linked(self, name: str) -> bool:
        """Tell whether a member is connected, in the life that the roster says."""
        link, member = self._links.get(name), self._members.get(name)
        return link is not None and member is not None and link.life == member.life

    def is_dead(self, name: str, life: str) -> bool:
        """Tell whether a process is known to have ended."""
        link = self._links.get(name)
        replaced = link is not None and link.life != life
        return (name, life) in self._dead or replaced or (name == self.name and life != self.life)

    def permit_until_s(self) -> float:
        """Return until when requests may be started; -inf if this process is no member, or may just have left."""
        if not self.is_member or self.epoch == self._goodbye:
            return -math.inf
        others = self.others
        needed = (len(others) + 1) // 2
        if not needed:
            return math.inf
        acked = sorted((self._acked_s(name) for name in others), reverse=True)
        return max(acked[needed - 1], self._read_ok_s) + self._times.permit_s

    def _acked_s(self, name: str) -> float:
        return self._links[name].acked_s if self.is_linked(name) else -math.inf

    def hears(self, now_s: float) -> frozenset[str]:
        """Return the other members that were heard lately."""
        fresh_s = now_s - self._times.silent_s
        return frozenset(each for each in self.others if self.is_linked(each) and self._links[each].heard_s > fresh_s)

    # Events.

    def connected(self, name: str, life: str, now_s: float) -> None:
        """Note a connection."""
        self._links[name] = _Link(life, now_s)
        self._heard[name] = now_s
        self._refused.discard(name)
        if self.roster is not None:
            self._out.send(name, _news(self.roster))

    def disconnected(self, name: str, *, refused: bool) -> None:
        """Note that a connection broke, or that the process is gone because its port refuses connections."""
        self._links.pop(name, None)
        if refused:
            self._refused.add(name)

    def beat(self, name: str, message: Beat, now_s: float) -> None:
        """Take a beat; acknowledge it in the same epoch, else tell the newer roster."""
        link = self._heard_from(name, now_s)
        link.hears = frozenset(message["hears"])
        self._seen[name, link.life] = message["epoch"]
        if self.roster is None or message["epoch"] > self.epoch:
            return
        if message["epoch"] < self.epoch:
            self._out.send(name, _news(self.roster))
        elif self.is_member and self.roster.has(name, link.life):
            self._out.send(name, {"t": "ack", "n": message["n"], "epoch": self.epoch})

    def ack(self, name: str, message: Ack, now_s: float) -> None:
        """Take an acknowledgement."""
        link = self._heard_from(name, now_s)
        self._seen[name, link.life] = max(message["epoch"], self._seen.get((name, link.life), 0))
        if message["epoch"] == self.epoch and message["n"] in self._beats:
            link.acked_s = max(link.acked_s, self._beats[message["n"]])

    def asks_in(self, name: str, address: str, now_s: float, *, own: bool) -> None:
        """Note that a gateway asks to be let in."""
        link = self._heard_from(name, now_s)
        self._joins[name] = Member(address, link.life, own)

    def news(self, roster: Roster, now_s: float) -> None:
        """Take a roster from a peer."""
        self._adopt(roster, now_s)

    def known_dead(self, name: str, life: str) -> None:
        """Note that a process has ended for certain."""
        self._dead.add((name, life))

    def _heard_from(self, name: str, now_s: float) -> _Link:
        self._heard[name] = now_s
        link = self._links[name]
        link.heard_s = now_s
        return link

    # The store.

    def store_read(self, roster: Roster | None, began_s: float, now_s: float) -> None:
        """Take the result of a read that began then."""
        self._calling = None
        self._has_read, self._must_read = True, False
        if roster is not None:
            self._adopt(roster, now_s)
            self._proved(roster, began_s)

    def store_written(self, began_s: float, now_s: float, *, ok: bool) -> None:
        """Take the result of a write; False means that somebody was first."""
        call, self._calling = self._calling, None
        if not ok or not isinstance(call, WriteRoster):
            self._must_read, self._next_read_s = True, -math.inf
            return
        self._adopt(call.roster, now_s)
        self._proved(call.roster, began_s)

    def store_failed(self) -> None:
        """Note that the store did not answer; a write may have been done."""
        self._calling = None
        self._must_read = True

    def _proved(self, roster: Roster, began_s: float) -> None:
        if roster.epoch == self.epoch and self.is_member:
            self._read_ok_s = max(self._read_ok_s, began_s)

    # Time.

    def tick(self, now_s: float) -> None:
        """Do what is due; call it at least every `beat_s`, and after each event."""
        hears = self.hears(now_s)
        heard = {name: self._links[name].hears for name in hears}
        self._cuts.note(self.others if self.is_member else [], heard, now_s)
        if now_s >= self._next_beat_s or hears != self._last_hears:
            self._last_hears = hears
            self._send_beats(hears, now_s)
        if self._calling is None:
            call = self._next_call(now_s)
            if call is not None:
                self._calling = call
                self._out.call_store(call)

    def _send_beats(self, hears: frozenset[str], now_s: float) -> None:
        self._next_beat_s = now_s + self._times.beat_s
        self._beat += 1
        self._beats[self._beat] = now_s
        self._beats.pop(self._beat - 64, None)
        for name in self._links:
            self._out.send(name, {"t": "beat", "n": self._beat, "epoch": self.epoch, "hears": sorted(hears)})
        if not self.is_member and self._has_read:
            self._ask_in(now_s)

    def _ask_in(self, now_s: float) -> None:
        """Ask one member after the other."""
        able = [name for name in self.others if self.is_linked(name)]
        if able and not (self.leaving and self.finished):
            self._asked += 1
            join = {"t": "join", "peer": self._address, "own": self._may_own(now_s)}
            self._out.send(able[self._asked % len(able)], join)

    def _adopt(self, roster: Roster, now_s: float) -> None:
        if roster.epoch <= self.epoch:
            return
        before, was_member = self.roster, self.is_member
        self.roster = roster
        self._seen[self.name, self.life] = roster.epoch
        self._beats.clear()
        self._read_ok_s = -math.inf
        for link in self._links.values():
            link.acked_s = -math.inf
        stay = {name for name, each in roster.members.items() if before is not None and before.has(name, each.life)}
        self._heard = {name: self._heard.get(name, now_s) if name in stay else now_s for name in roster.members}
        self._joins = {name: each for name, each in self._joins.items() if not roster.has(name, each.life)}
        self._note_out(now_s, was_member=was_member)
        self._out.dial = {name: each.peer for name, each in roster.members.items() if name != self.name}
        for name in self._links:
            self._out.send(name, _news(roster))
        self._next_beat_s = self._adopted_s = now_s
        self._adopted()

    def _note_out(self, now_s: float, *, was_member: bool) -> None:
        if self.is_member:
            self.out_since_s = None
        elif was_member and not self.leaving:
            self._outs = [each for each in self._outs if each > now_s - self._times.often_out_s] + [now_s]
            self.out_since_s = now_s
        elif self.out_since_s is None:
            self.out_since_s = now_s

    # What should be changed.

    def _next_call(self, now_s: float) -> ReadRoster | WriteRoster | None:
        if self._must_read or not self._has_read:
            return self._read(now_s)
        if not self.is_member:
            return self._enter(now_s)
        changed = self._changed(now_s)
        if changed is not None:
            return WriteRoster(changed, self.epoch)
        low = self.permit_until_s() < now_s + self._times.low_permit_s
        return self._read(now_s) if low and now_s >= self._adopted_s + self._times.read_s else None

    def _read(self, now_s: float) -> ReadRoster | None:
        if now_s < self._next_read_s:
            return None
        self._next_read_s = now_s + self._times.read_s
        return ReadRoster()

    def _enter(self, now_s: float) -> ReadRoster | WriteRoster | None:
        if self.leaving and self.finished:
            return None
        me = Member(self._address, self.life, self._may_own(now_s))
        if self.roster is None:
            return WriteRoster(Roster.first(self.name, me), 0)
        if all(self.is_dead(name, member.life) for name, member in self.roster.members.items()):
            return WriteRoster(self.roster.alone(self.name, me), self.epoch)
        return self._read(now_s)

    def _changed(self, now_s: float) -> Roster | None:
        """Return the roster that should be next, None if it should stay."""
        roster = self.roster
        if roster is None:
            return None
        if self.leaving and self.finished and not (self.owns_by_right and self.others):
            self._goodbye = self.epoch
            return roster.without(self.name, left=True)
        if self.owns_by_right != self._may_own(now_s) or self.epoch == self._goodbye:
            return roster.owning(self.name, own=self._may_own(now_s))
        for name, member in self._joins.items():
            if self._links.get(name) is not None and self._links[name].life == member.life:
                return roster.joined(name, member)
        for name in self.others:
            if self._may_write_out(name, now_s):
                return roster.without(name)
        return None

    def _may_own(self, now_s: float) -> bool:
        recent = [each for each in self._outs if each > now_s - self._times.often_out_s]
        return not self.leaving and len(recent) < _OFTEN and not self._cuts.gives_way(now_s)

    def _is_silent(self, name: str, now_s: float) -> bool:
        if self.is_linked(name):
            return self._links[name].heard_s <= now_s - self._times.silent_s
        return name in self._refused or self._heard.get(name, now_s) <= now_s - self._times.silent_s

    def _may_write_out(self, name: str, now_s: float) -> bool:
        if not self._is_silent(name, now_s):
            return False
        hears, size = self.hears(now_s), len(self._members)
        dead = sum(self.is_dead(name, member.life) for name, member in self._members.items())
        if len(hears) + 1 + dead < size - majority(size) + 1:
            return False
        return self._is_installed() and not any(name in self._links[each].hears for each in hears)

    @property
    def _before(self) -> Mapping[str, Member]:
        return self.roster.before[-1].members if self.roster is not None and self.roster.before else {}

    def _is_installed(self) -> bool:
        """Tell whether enough members of the epoch before know the present one; the dead need not know it."""
        lives = {(name, member.life) for name, member in self._before.items()}
        unaware = [each for each in lives if self._seen.get(each, 0) < self.epoch and not self.is_dead(*each)]
        return len(unaware) < majority(len(lives))

    @property
    def suspects(self) -> set[tuple[str, str]]:
        """Processes that are members, or were in the epoch before, and may have ended: by name and life."""
        members = (*self._members.items(), *self._before.items())
        absent = {(name, each.life) for name, each in members if name not in self._links and name != self.name}
        return {each for each in absent if not self.is_dead(*each)}

    def cut_off_since_s(self, now_s: float) -> float | None:
        """Return since when clients that wait here may wait in vain: it is no member, or cannot reach an owner."""
        if self.out_since_s is not None:
            return self.out_since_s
        lasting = self._cuts.lasting(now_s).items() if self._cuts.gives_way(now_s) else ()
        return min((since for name, since in lasting if name in self.owners), default=None)


def _news(roster: Roster) -> dict[str, object]:
    return {"t": "roster", "roster": roster.as_json()}
