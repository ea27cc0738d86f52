"""The book of a service: which slots may be in use, and by whom.

It may have an entry too many, never one too few. An entry leaves it when its holder says so, by an end or by a report
without it, or when a lost holder's slot is released.
"""

from typing import NamedTuple


class Ref(NamedTuple):
    """A request, named by the gateway that has its client; a slot whose user nobody knows has no holder."""

    holder: str
    life: str
    number: int


class Hold(NamedTuple):
    """How long a slot of a lost gateway is kept."""

    until_s: float
    """Its release."""
    idle_counts_from_s: float
    """From when on evidence that its pod runs nothing releases it; before, the lost gateway may still start one."""


class Book:
    """The entries of one service.

    Attributes:
        pods: the pod of each slot that may be in use.
        holds: those of them that are kept for lost gateways.
    """

    def __init__(self) -> None:
        self.pods: dict[Ref, str] = {}
        self.holds: dict[Ref, Hold] = {}

    def __contains__(self, ref: Ref) -> bool:
        return ref in self.pods

    def put(self, ref: Ref, pod: str, hold: Hold | None = None) -> None:
        """Note that a slot may be in use."""
        self.pods[ref] = pod
        if hold is not None:
            self.holds[ref] = hold

    def remove(self, ref: Ref) -> None:
        """Note that a slot is free, if it is in the book."""
        self.pods.pop(ref, None)
        self.holds.pop(ref, None)

    def on(self, pod: str) -> list[Ref]:
        """Return the entries of a pod."""
        return [ref for ref, each in self.pods.items() if each == pod]

    def of(self, holder: str, life: str) -> list[Ref]:
        """Return the entries of a process."""
        return [ref for ref in self.pods if ref.holder == holder and ref.life == life]

    def held(self) -> dict[str, int]:
        """Return how many slots of each pod are kept for lost gateways."""
        counts: dict[str, int] = {}
        for ref in self.holds:
            counts[self.pods[ref]] = counts.get(self.pods[ref], 0) + 1
        return counts

    def due(self, now_s: float) -> list[Ref]:
        """Return the slots that are to be released."""
        return [ref for ref, hold in self.holds.items() if hold.until_s <= now_s]

    def idle(self, pod: str, now_s: float) -> list[Ref]:
        """Return the kept slots of a pod that are released if it runs nothing now."""
        return [ref for ref, each in self.holds.items() if self.pods[ref] == pod and each.idle_counts_from_s <= now_s]

    @property
    def next_release_s(self) -> float | None:
        """When the next slot is to be released; None if never."""
        return min((hold.until_s for hold in self.holds.values()), default=None) if self.holds else None
