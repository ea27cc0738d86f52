"""Where the roster is kept: one place for all gateways, changed only by a compare-and-set."""

from typing import Protocol

from autoscaler.gateway.peers.roster import Roster

_ATTEMPTS = 5


class RosterUnavailableError(Exception):
    """The store cannot be used now, or what it did is not known; the message says why and what to do."""


class RosterStore(Protocol):
    """What every store keeps to; `tests/contracts` has the suite. Each call ends within seconds."""

    async def read(self) -> Roster | None:
        """Give the roster as it is at some moment of the call; None if there is none.

        Raises:
            RosterUnavailableError: it cannot be read.
        """

    async def write(self, roster: Roster, expected: int) -> bool:
        """Replace the roster of the epoch `expected`; 0 means that there is none.

        Returns:
            False if the roster has another epoch, so that nothing was written.

        Raises:
            RosterUnavailableError: it was not written, or it is not known whether it was: read it.
        """

    async def is_dead(self, name: str, life: str) -> bool:
        """Tell whether the process of this life is known to have ended; False if that is not known.

        Raises:
            RosterUnavailableError: nothing can be found out.
        """


async def forget(store: RosterStore, name: str) -> Roster:
    """Write a gateway out of the roster, because an operator says that it is dead; return the roster without it.

    The slots that it may have used are held as those of any lost gateway.

    Raises:
        ValueError: it is no member; the message names those that are.
        RosterUnavailableError: the roster was not written, or changes all the time.
    """
    for _ in range(_ATTEMPTS):
        roster = await store.read()
        members = roster.members if roster else {}
        if roster is None or name not in members:
            raise ValueError(f"{name} is no member; the members are {', '.join(sorted(members)) or 'nobody'}")
        without = roster.without(name)
        if await store.write(without, roster.epoch):
            return without
    raise RosterUnavailableError("other gateways change the roster all the time; try again")
