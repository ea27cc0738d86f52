"""Whose number `spec.replicas` is: told by value, for managedFields name nobody after a visit to zero. No I/O.

Rules:
1. What is there when we begin, or while another of our replicas leads, is taken over as it is.
2. Afterwards every number is ours or another writer's; what is older than our own last write says nothing. A write that
   got no answer may have been carried out: its number is ours until something newer is seen.
3. After another writer's number we hold until nobody else has written for a while, and go on from what is there then.
   The hold yields to load: fewer replicas than there are requests in flight are raised at once, as somebody who applies
   a manifest with `replicas: 1` in it does not mean to starve who is waiting.
"""

from autoscaler.kubernetes.objects import Scale, is_ours
from autoscaler.ports import Override

RULE = "foreignWriter"
_NONE: frozenset[int] = frozenset()
"""One for all: each empty set would take 216 bytes."""


class Ownership:
    """What we know of the number of one object.

    Args:
        hold_s: how long it must be quiet after another writer.
    """

    __slots__ = (
        "_foreign",
        "_foreign_until_s",
        "_hold_s",
        "_unanswered",
        "_version",
        "_writing",
        "asked",
        "version",
        "writer",
    )

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._version = -1
        self._writing: int | None = None
        self._unanswered = _NONE
        self._foreign: int | None = None
        """The number that another writer wrote last."""
        self._foreign_until_s = float("-inf")
        self.asked: int | None = None
        """Replicas asked for; None before it is known."""
        self.version = ""
        """The resource version read last."""
        self.writer = ""
        """Who else wrote, as far as known."""

    def seen(self, scale: Scale, now_s: float, *, leading: bool) -> bool:
        """Take in what was read; True if another writer has just shown."""
        if int(scale.version) < self._version:
            return False
        before, ours = self.asked, {self.asked, self._writing, *self._unanswered}
        self._take(scale)
        if not leading or before is None or scale.replicas in ours or is_ours(scale.writer):
            return False
        self._foreign, self._foreign_until_s = scale.replicas, now_s + self._hold_s
        self.writer = scale.writer
        return True

    def hold(self, now_s: float) -> Override | None:
        """Give the order to hold, while it lasts."""
        if now_s >= self._foreign_until_s:
            return None
        why = (
            f"{self.writer or 'unknown'} has written {self._foreign}; holding until it is quiet for {self._hold_s:g} s"
        )
        return Override(RULE, self._foreign_until_s, why, yields_to_load=True)

    def writes(self, replicas: int) -> None:
        """Note that we are about to write: its event may come before its answer."""
        self._writing = replicas

    def wrote(self, scale: Scale) -> None:
        """Take in the answer to our own write."""
        if int(scale.version) >= self._version:
            self._take(scale)

    def rests(self, *, answered: bool = True) -> None:
        """Note that no write is under way any more; one without an answer may have been carried out."""
        if self._writing is not None and not answered:
            self._unanswered |= {self._writing}
        self._writing = None

    def _take(self, scale: Scale) -> None:
        if int(scale.version) > self._version:
            # A write names the version it was made for, so it meets nothing newer.
            self._unanswered = _NONE
        self._version, self.version, self.asked = int(scale.version), scale.version, scale.replicas
