"""Protocols that look right and are not: each is the shipped code with one rule changed.

`VARIANTS` has for each what is changed and where it is explored. A broken promise must be found in all of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from peer_states import Scope

from autoscaler.gateway.peers.book import Book, Ref
from autoscaler.gateway.peers.membership import Membership
from autoscaler.gateway.peers.owned_service import Known
from autoscaler.gateway.peers.peer import Peer
from autoscaler.gateway.peers.shared_service import SharedService

NOTHING = Known({}, {})


@dataclass(frozen=True)
class Variant:
    """One change."""

    sentence: str
    scope: Scope
    changes: tuple[tuple[type, str, Callable], ...] = ()

    @contextmanager
    def shipped(self) -> Iterator[None]:
        """Let the code be so for a while."""
        if not self.changes:
            yield
            return
        (kind, name, change), *rest = self.changes
        change.__name__ = name  # so that it can be pickled as the method that it replaces
        with patch.object(kind, name, change), Variant(self.sentence, self.scope, tuple(rest)).shipped():
            yield


def hand_nothing_over(peer: Peer) -> None:
    new_epoch(peer)
    peer._awaited = set()
    if peer.is_member and not peer.has_settled:
        peer._settle()


def keep_grants(share: SharedService, name: str, now_s: float) -> None:
    if share._owned.whole:
        lost_link(share, name, now_s)


def write_out_who_is_silent(membership: Membership, name: str, now_s: float) -> bool:
    return membership._is_silent(name, now_s)


def forget_who_is_let_in(share: SharedService, refs) -> None:
    share._deliver(share._owned.release(refs, share._seconds_until_s), share._seconds_until_s)


def entries_of_a_name(book: Book, holder: str, life: str) -> list[Ref]:
    return [ref for ref in book.pods if ref.holder == holder]


def permit_from_the_store_only(membership: Membership) -> float:
    return membership._read_ok_s + membership._times.permit_s if membership.is_member else 0.0


def go_at_once(peer: Peer) -> None:
    peer._membership.finished = not any(share.has_clients for share in peer.shares.values())


new_epoch, lost_link = Peer._new_epoch, SharedService.lost_link
NO_HOLDING = (SharedService, "_unknown", lambda *_: NOTHING)

VARIANTS = (
    Variant(
        "the owner by hash gives at once, and nothing is handed over",
        Scope("1", later=("b",), ticks=2),
        ((Peer, "_new_epoch", hand_nothing_over), (Peer, "_known_of", lambda *_: NOTHING)),
    ),
    Variant(
        "a grant outlives its connection",
        Scope("2", faults=("break",), budget=1, ticks=1),
        ((SharedService, "lost_link", keep_grants),),
    ),
    Variant(
        "the permit is not looked at when a request starts",
        Scope("3", faults=("pause",), budget=1, ticks=8),
        ((Peer, "has_permit", lambda _: True),),
    ),
    Variant(
        "slots are held for less than a request may take",
        Scope("5", faults=("crash",), budget=1, ticks=8, grace=0.0),
    ),
    Variant(
        "without a deputy, slots that only a lost owner knew are free",
        Scope("6", faults=("crash",), budget=1, ticks=4),
        (NO_HOLDING,),
    ),
    Variant(
        "who is first at the store puts the others out, whoever it hears, and what it does not know is free",
        Scope("8", gateways=("a", "b", "c"), faults=("cut",), budget=2, ticks=4),
        ((Membership, "_may_write_out", write_out_who_is_silent), NO_HOLDING),
    ),
    Variant(
        "who is let in again has no slots until it reports",
        Scope("9", faults=("pause",), budget=1, ticks=5, service_time=70.0, grace=70.0),
        ((SharedService, "came_back", forget_who_is_let_in),),
    ),
    Variant(
        "a book that nobody knows is empty",
        Scope("10", faults=("crash", "restart"), budget=2, ticks=4),
        ((Peer, "_last_book", lambda *_: NOTHING),),
    ),
    Variant(
        "only the store gives permits",
        Scope("11", faults=("away",), budget=1, ticks=4, store_returns=False),
        ((Membership, "permit_until_s", permit_from_the_store_only),),
    ),
    Variant(
        "an owner goes before another's book is whole, and slots that only it knew are free",
        Scope(
            "12", gateways=("a", "b", "c"), requests=("a", "c"), leavers=("b",), faults=("crash",), budget=1, ticks=6
        ),
        ((Peer, "_note_leaving", go_at_once), NO_HOLDING),
    ),
    Variant(
        "what a gateway reports replaces what its earlier life ran",
        Scope("13", faults=("crash", "restart"), budget=2, ticks=6),
        ((Book, "of", entries_of_a_name),),
    ),
)
