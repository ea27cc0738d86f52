"""What leaves a `Peer`: messages, grants for clients that wait, and calls of the store."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from autoscaler.gateway.dispatch.types import Grant, Refusal
from autoscaler.gateway.peers.roster import Roster

Message = dict[str, Any]


class ReadRoster(NamedTuple):
    """Read the roster from the store."""


class WriteRoster(NamedTuple):
    """Write the roster, if the store has that of the expected epoch; 0 means none."""

    roster: Roster
    expected_epoch: int


class Delivery(NamedTuple):
    """What becomes of own clients' requests that waited."""

    grants: list[Grant]
    refused: list[tuple[Hashable, Refusal]]


class Outbox:
    """Collects what leaves in one turn of the event loop.

    Attributes:
        messages: lines by peer, in order.
        deliveries: for own clients, by service.
        store: at most one call.
        dial: the members with whom to keep a connection, by name with their `host:port`.
        wake: called when something is put in.
    """

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.store: list[ReadRoster | WriteRoster] = []
        self.dial: Mapping[str, str] = {}
        self.wake: Callable[[], None] = _nothing

    def send(self, peer: str, message: Message) -> None:
        """Tell a peer something."""
        self.messages.setdefault(peer, []).append(message)
        self.wake()

    def deliver(self, service: str, grants: list[Grant], refused: tuple[tuple[Hashable, Refusal], ...] = ()) -> None:
        """Pass on what became of own clients' requests."""
        if grants or refused:
            delivery = self.deliveries.setdefault(service, Delivery([], []))
            delivery.grants.extend(grants)
            delivery.refused.extend(refused)
            self.wake()

    def call_store(self, call: ReadRoster | WriteRoster) -> None:
        """Call the store."""
        self.store.append(call)
        self.wake()

    def take(self) -> tuple[dict[str, list[Message]], dict[str, Delivery], list[ReadRoster | WriteRoster]]:
        """Empty it, and return what was in it."""
        taken = self.messages, self.deliveries, self.store
        self.messages, self.deliveries, self.store = {}, {}, []
        return taken


def _nothing() -> None:
    """Wake nobody."""
