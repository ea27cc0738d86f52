"""Which replicas are removed when the number falls, on any target.

Two compiled engines of the simulator repeat rule 1 over arrays: `first_to_remove` in `engines/compiled_kernel` and
`is_removed_before` in `engines/fifo_recursion`. `tests/parity` compares them with this module.

Rules:
1. Replicas that are not ready go first, then idle ones, then busy ones with the fewest requests; the youngest of each.
   A replica that starts has served nobody, an idle one serves nobody now, and the oldest has the warmest caches. Of
   equally old ones, such as pods of one scale-up, the one goes first that has been idle for longest, then by name, the
   shorter first: `x-9` before `x-10`.
2. A request to scale names the replicas to remove. They were chosen a moment ago: names that are gone are skipped, and
   if too few are left, others follow by rule 1.
3. Never more are removed than there are too many.
4. StatefulSets and LeaderWorkerSets number their pods and always remove those with the highest numbers, whatever they
   run.
"""

import re
from collections.abc import Sequence
from typing import Protocol

NUMBERED_KINDS = frozenset({("apps/v1", "StatefulSet"), ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")})
"""The kinds that number their pods (rule 4), by API version and kind."""


class Removable(Protocol):
    """What the rules compare of a replica."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it can serve."""
        ...

    @property
    def running(self) -> int:
        """Counted requests that it serves."""
        ...

    @property
    def age_s(self) -> float:
        """How old it is."""
        ...

    @property
    def unchanged_s(self) -> float | None:
        """For how long it has been idle, or busy, as now; None is unknown."""
        ...


def removal_order(replicas: Sequence[Removable]) -> tuple[str, ...]:
    """Give the names of replicas in the order in which they should be removed (rule 1)."""
    return tuple(replica.name for replica in sorted(replicas, key=_rank))


def _rank(replica: Removable) -> tuple[bool, int, float, float, int, str]:
    idle_s = replica.unchanged_s or 0.0
    return replica.ready, replica.running, replica.age_s, -idle_s, len(replica.name), replica.name


def replicas_to_remove(replicas: Sequence[Removable], staying: int, named: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the names of the replicas to remove so that `staying` are left, first to be removed first.

    Args:
        replicas: those that run or start now.
        staying: how many of them stay.
        named: those that should be removed before all others (rule 2).
    """
    here = {replica.name for replica in replicas}
    first = dict.fromkeys(name for name in named if name in here)
    others = removal_order([replica for replica in replicas if replica.name not in first])
    return (*first, *others)[: max(len(replicas) - staying, 0)]


def ordinal(name: str) -> int:
    """Give the number at the end of a pod's name; -1 if there is none."""
    found = re.search(r"-(\d+)$", name, re.ASCII)
    return -1 if found is None else int(found[1])


def last_ones(replicas: Sequence[Removable], from_ordinal: int) -> tuple[str, ...]:
    """Give the names of the replicas with this number or a higher one, the highest first (rule 4)."""
    numbered = sorted(((ordinal(replica.name), replica.name) for replica in replicas), reverse=True)
    return tuple(name for number, name in numbered if number >= from_ordinal)
