"""Who wrote `spec.replicas`: decided by value, because managedFields name nobody after the number was zero. No I/O.

Rules:
1. The number that is there when we start, or while another replica of the controller leads, is taken over as it is.
2. Afterwards every number is ours or another writer's. Versions older than our own last write are ignored. A write
   without a response may have been carried out: its number counts as ours until a newer version is seen.
3. After another writer's number we hold until nobody else has written for a while, and continue from the number that is
   there then. The hold yields to load: if there are fewer replicas than the requests in flight need, they are raised at
   once. Applying a manifest with `replicas: 1` is not meant to starve waiting requests.
4. If one writer has written the same number three times within five minutes, each time over one of ours, the number is
   contested: two programs that correct each other would start and stop pods for ever. Until that writer is quiet we
   raise the number at most once a minute.
"""

from collections import deque

from autoscaler.kubernetes.objects import Scale, is_ours
from autoscaler.ports import Override

RULE = "foreignWriter"
CONTESTED = "replicasContested"
_REVERTS, _WITHIN_S = 3, 300.0
_BETWEEN_WRITES_S = 60.0
"""The shortest time between two of our writes to a number that is contested."""
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
        "_may_write_s",
        "_reverts",
        "_unanswered",
        "_version",
        "_writing",
        "_wrote_last",
        "asked",
        "version",
        "writer",
    )

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._version = -1
        self._writing: int | None = None
        self._wrote_last = False
        """Whether the last number was ours."""
        self._unanswered = _NONE
        self._foreign: int | None = None
        """The number that another writer wrote last."""
        self._foreign_until_s = self._may_write_s = float("-inf")
        self._reverts: deque[tuple[float, str, int]] | None = None
        """When which other writer has written what over a number of ours, the last ones; most objects have none."""
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
        self._note_revert(now_s)
        return True

    def _note_revert(self, now_s: float) -> None:
        """Remember that a number of ours was replaced; a second number of the same writer after it is none of ours."""
        if self._wrote_last:
            self._reverts = self._reverts or deque(maxlen=_REVERTS)
            self._reverts.append((now_s, self.writer, self.asked or 0))
        self._wrote_last = False

    @property
    def contested(self) -> bool:
        """Whether one writer replaces our numbers again and again (rule 4), as long as the number is held."""
        if self._reverts is None or len(self._reverts) < _REVERTS:
            return False
        times_s, *same = zip(*self._reverts, strict=True)
        return times_s[-1] - times_s[0] <= _WITHIN_S and all(len(set(each)) == 1 for each in same)

    def hold(self, now_s: float) -> Override | None:
        """Give the override that holds the number, while it lasts."""
        if now_s >= self._foreign_until_s:
            return None
        writer = self.writer or "unknown"
        why = f"{writer} has written {self._foreign}; holding until it is quiet for {self._hold_s:g} s"
        if not self.contested:
            return Override(RULE, self._foreign_until_s, why, yields_to_load=True)
        often = f"{_REVERTS} times within {_WITHIN_S / 60:g} minutes"
        why = f"{writer} has written {self._foreign} over our number, {often}"
        return Override(CONTESTED, self._foreign_until_s, why, yields_to_load=now_s >= self._may_write_s)

    def begin_write(self, replicas: int, now_s: float) -> None:
        """Note that we are about to write: the watch may deliver the number before the response arrives."""
        self._writing = replicas
        self._may_write_s = now_s + _BETWEEN_WRITES_S

    def wrote(self, scale: Scale) -> None:
        """Take in the response to our own write."""
        self._wrote_last = True
        if int(scale.version) >= self._version:
            self._take(scale)

    def end_write(self, *, answered: bool = True) -> None:
        """Note that our write has ended; one without an answer may have been carried out."""
        if self._writing is not None and not answered:
            self._unanswered |= {self._writing}
            self._wrote_last = True
        self._writing = None

    def _take(self, scale: Scale) -> None:
        if int(scale.version) > self._version:
            # A write names the version it was made for, so it cannot overwrite anything newer.
            self._unanswered = _NONE
        self._version, self.version, self.asked = int(scale.version), scale.version, scale.replicas
