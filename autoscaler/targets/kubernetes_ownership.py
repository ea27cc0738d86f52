"""Who wrote `spec.replicas`: decided by value, because managedFields name nobody after the number was zero. No I/O.

Rules:
1. The number that is there when we start, or while another replica of the controller leads, is taken over as it is.
2. Afterwards every number is ours or another writer's. Versions older than our own last write are ignored. A write
   without a response may have been carried out: its number counts as ours until a newer version is seen.
3. After another writer's number we hold until nobody else has written for a while, and continue from the number that is
   there then. The hold yields to load: if there are fewer replicas than requests in flight, they are raised at once.
   Applying a manifest with `replicas: 1` is not meant to starve waiting requests.
"""

from autoscaler.kubernetes.objects import Scale, is_ours
from autoscaler.ports import Override

RULE = "foreignWriter"
_NONE: frozenset[int] = frozenset()
"""Shared: each empty set would take 216 bytes."""


class Ownership:
    """What we know about the number of one object.

    Args:
        hold_s: how long nobody else must write before scaling goes on after another writer.
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
        """Replicas asked for; None while unknown."""
        self.version = ""
        """The last resource version that was read."""
        self.writer = ""
        """The other writer's name, if known."""

    def seen(self, scale: Scale, now_s: float, *, leading: bool) -> bool:
        """Take in a scale that was read; True if another writer has changed it."""
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
        """Give the override that holds the number, while it lasts."""
        if now_s >= self._foreign_until_s:
            return None
        why = (
            f"{self.writer or 'unknown'} has written {self._foreign}; holding until it is quiet for {self._hold_s:g} s"
        )
        return Override(RULE, self._foreign_until_s, why, yields_to_load=True)

    def begin_write(self, replicas: int) -> None:
        """Note that we are about to write: the watch may deliver the number before the response arrives."""
        self._writing = replicas

    def wrote(self, scale: Scale) -> None:
        """Take in the response to our own write."""
        if int(scale.version) >= self._version:
            self._take(scale)

    def end_write(self, *, answered: bool = True) -> None:
        """Note that our write has ended; one without an answer may have been carried out."""
        if self._writing is not None and not answered:
            self._unanswered |= {self._writing}
        self._writing = None

    def _take(self, scale: Scale) -> None:
        if int(scale.version) > self._version:
            # A write names the version it was made for, so it cannot overwrite anything newer.
            self._unanswered = _NONE
        self._version, self.version, self.asked = int(scale.version), scale.version, scale.replicas
