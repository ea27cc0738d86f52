"""The members of an installation's gateways, as one record with an epoch; which member owns a service.

The record changes only by a compare-and-set from epoch e to e + 1. The owner of a service is the first by rendezvous
hashing (Thaler and Ravishankar, 1998), so that a member that comes or goes moves only its own share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from pydantic import TypeAdapter, ValidationError

_REMEMBERED = 16
"""Epochs and goodbyes that a roster remembers."""


@dataclass(frozen=True, slots=True)
class Member:
    """One gateway."""

    peer: str
    """Its `host:port` for peers."""
    life: str
    """Names one process: a gateway that starts again has another."""
    own: bool = True
    """Whether it may own services."""


@dataclass(frozen=True, slots=True)
class Past:
    """The members of an earlier epoch."""

    epoch: int
    members: Mapping[str, Member]


@dataclass(frozen=True, slots=True)
class Roster:
    """The record."""

    epoch: int
    members: Mapping[str, Member]
    before: tuple[Past, ...] = ()
    """The epochs before this one, the newest last."""
    left: tuple[str, ...] = ()
    """Lives that said goodbye: nothing of theirs runs."""

    @classmethod
    def first(cls, name: str, member: Member) -> "Roster":
        """Return the first roster of an installation."""
        return cls(1, {name: member})

    def joined(self, name: str, member: Member) -> "Roster":
        """Return the next roster, with a member that is new or has a new life."""
        return self._next({**self.members, name: member})

    def owning(self, name: str, *, own: bool) -> "Roster":
        """Return the next roster, in which a member may own services or may not."""
        return self._next({**self.members, name: replace(self.members[name], own=own)})

    def without(self, name: str, *, left: bool = False) -> "Roster":
        """Return the next roster, without a member that is lost, or that `left` with nothing running."""
        roster = self._next({other: member for other, member in self.members.items() if other != name})
        goodbyes = (*roster.left, self.members[name].life)[-_REMEMBERED:] if left else roster.left
        return replace(roster, left=goodbyes)

    def alone(self, name: str, member: Member) -> "Roster":
        """Return the next roster, with one member; all others are lost."""
        return self._next({name: member})

    def has(self, name: str, life: str) -> bool:
        """Tell whether a process is a member."""
        member = self.members.get(name)
        return member is not None and member.life == life

    def lost(self) -> frozenset[tuple[str, str]]:
        """Return name and life of each process that was a member, is none, and did not say goodbye."""
        were = ((name, member.life) for past in self.before for name, member in past.members.items())
        return frozenset(each for each in were if not self.has(*each) and each[1] not in self.left)

    def was_out(self, name: str, life: str) -> bool:
        """Tell whether a member was put out in an epoch that is remembered, and let in again."""
        was_in = [name in past.members and past.members[name].life == life for past in self.before]
        return True in was_in and not all(was_in[was_in.index(True) :])

    def owner(self, service: str) -> str | None:
        """Return the owner of a service; None if there is no member."""
        return owner(self.members, service)

    def owned_since(self, service: str, name: str, life: str, epoch: int) -> bool:
        """Tell whether a process has owned a service in each epoch from one on; False if that is too long ago."""
        if not self.has(name, life) or self.owner(service) != name:
            return False
        since = [past.members for past in self.before if past.epoch >= epoch]
        if len(since) != self.epoch - epoch:
            return False
        return all(owner(members, service) == name and members[name].life == life for members in since)

    def _next(self, members: Mapping[str, Member]) -> "Roster":
        before = (*self.before, Past(self.epoch, self.members))[-_REMEMBERED:]
        back = {member.life for member in members.values()}
        return Roster(self.epoch + 1, members, before, tuple(life for life in self.left if life not in back))

    @property
    def remembers_all(self) -> bool:
        """Whether `before` goes back to the first epoch."""
        return (self.before[0].epoch if self.before else self.epoch) == 1

    def as_json(self) -> dict[str, Any]:
        """Return the record for a store or a message."""
        record: dict[str, Any] = _ROSTER.dump_python(self, mode="json")
        return record

    @classmethod
    def from_json(cls, record: object) -> "Roster":
        """Read a record.

        Raises:
            ValueError: it is none; the message says what is wrong.
        """
        try:
            return _ROSTER.validate_python(record)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"not a roster of gateways: {where}: {first['msg']}") from error


_ROSTER = TypeAdapter(Roster)


def owner(members: Mapping[str, Member], service: str) -> str | None:
    """Return who owns a service: the first by hash of those that may own, or of all if none may."""
    able = [name for name, member in members.items() if member.own] or list(members)
    return max(able, key=lambda name: (_weight(name, service), name), default=None)


def majority(members: int) -> int:
    """Return how many of so many members are a majority."""
    return members // 2 + 1


def _weight(name: str, service: str) -> bytes:
    return blake2b(f"{name}\0{service}".encode(), digest_size=8).digest()
