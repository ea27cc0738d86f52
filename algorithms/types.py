"""What an algorithm and a safety rule implement, and the values of a decision: an `Observation` in, a `Decision` out.

`algorithms.observation` has what goes in. All are NamedTuples, because one of each is made per service and tick: as
immutable as a frozen dataclass, and a third of its cost.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from algorithms.observation import Observation

State = Mapping[str, Any]
"""State as JSON-ready values with a `version`; `restore` takes the result of `export`."""


class Reason(NamedTuple):
    """One rule that changed the number on its way from the recommendation to the decision."""

    rule: str
    before: int
    after: int
    why: str


class Average(NamedTuple):
    """Requests in flight as a recommendation used them."""

    name: str
    """`stable` and `panic` are the windows, `latest` is the count now."""
    value: float
    over_s: float
    """The length of the window; 0 for the count now."""
    known_s: float
    """How much of the window has data."""


class Recommendation(NamedTuple):
    """What an algorithm asks for; None means that the number is held."""

    replicas: int | None
    why: str
    averages: tuple[Average, ...] = ()
    """The numbers behind it, the one that decided first; none if it rests on no count."""
    per_replica: float | None = None
    """Requests in flight that a replica should have; None if the algorithm has no such number."""
    panic: bool = False
    """Whether the panic window may raise the number, and nothing lowers it."""


class Decision(NamedTuple):
    """The desired replicas, with the recommendation and every rule that changed it, in order."""

    desired: int
    recommendation: Recommendation
    reasons: tuple[Reason, ...]
    unchanged: tuple[str, ...] = ()
    """The names of the rules that were applied and changed nothing, in their order."""


class Stateful(Protocol):
    """An object with state that another process can continue with."""

    def export(self) -> State:
        """Give the whole state."""
        ...

    def restore(self, state: State) -> None:
        """Continue from an exported state.

        Raises:
            ValueError: the state has an unknown version.
        """
        ...


class Algorithm(Stateful, Protocol):
    """Recommends replicas; its state depends only on its observations, which come in order of time."""

    def recommend(self, observation: Observation) -> Recommendation:
        """Give the recommendation for one observation."""
        ...


class SafetyRule(Stateful, Protocol):
    """One named rule between recommendation and decision."""

    rule: str
    """Its name in the reasons of a decision."""

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Give the number itself, or the one that the rule allows instead."""
        ...

    def why(self, observation: Observation) -> str:
        """Say why the last call changed the number."""
        ...
