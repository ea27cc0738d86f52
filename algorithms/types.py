"""The values that flow through a decision: `Observation` in, `Recommendation` formed, `Decision` out.

They are NamedTuples because one of each is made per service and tick: as immutable as a frozen dataclass, and a third
of its cost.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

State = Mapping[str, Any]
"""What has been learned, as JSON-ready values with a `version`; `restore` takes what `export` gave."""


class Observation(NamedTuple):
    """What one look at one service showed.

    Time is in seconds on a clock that never steps; looks of one service come in its order. A count that is not known is
    None, which is never zero.
    """

    now_s: float
    since_s: float
    """When the look before it was taken: this one covers `(since_s, now_s]`."""
    inflight: float | None
    """Mean number of requests queued or running over the time covered."""
    replicas: int
    """Replicas asked for (`spec.replicas`), not those that run."""
    ready: int
    """Replicas that can serve now."""
    latest: float = 0.0
    """The newest count heard, which may be far above the mean when a burst has just begun; 0 if there is none."""
    passing: int = 0
    """Uncounted requests since the last look, held ones included, that need some replica to be there."""
    problem: str = ""
    """Why the count is unknown, or is only a part, which may raise and never lower; empty for a good one."""


class Reason(NamedTuple):
    """One rule that changed the number on its way from the wish to the decision."""

    rule: str
    before: int
    after: int
    why: str


class Recommendation(NamedTuple):
    """What an algorithm asks for; `replicas` None is no opinion: hold what there is."""

    replicas: int | None
    why: str


class Decision(NamedTuple):
    """What should be, and how the number came about: the wish, then every rule that changed it, in order."""

    desired: int
    recommendation: Recommendation
    reasons: tuple[Reason, ...]


class Stateful(Protocol):
    """Something whose next answer depends on what it was asked before, and that can be carried to another process."""

    def export(self) -> State:
        """Give everything that the next answer depends on."""
        ...

    def restore(self, state: State) -> None:
        """Continue from an exported state.

        Raises:
            ValueError: this code did not write a state of that version.
        """
        ...


class Algorithm(Stateful, Protocol):
    """Forms a wish from looks that come in order of time; its state is a function of those looks alone."""

    def recommend(self, observation: Observation) -> Recommendation:
        """Take the look in and say how many replicas it asks for."""
        ...


class Stabiliser(Stateful, Protocol):
    """One named rule between wish and decision."""

    rule: str
    """The name under which it stands in a decision's reasons."""

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Give the number it was given, or the one that the rule allows instead."""
        ...

    def why(self, observation: Observation) -> str:
        """Say, right after a call that changed the number, what changed it."""
        ...
