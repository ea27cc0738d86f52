"""The values that flow through a decision: a `Look` goes in, a `Wish` is formed, a `Decision` comes out.

They are NamedTuples because one of each is made per service and tick: as immutable as a frozen dataclass, and a third of
its cost.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

State = Mapping[str, Any]
"""What a policy has learned, as JSON-ready values with a `version`; `restore` takes what `export` gave."""


class Look(NamedTuple):
    """What one look at one service showed.

    `inflight` is the mean number of requests queued or running over `(since_s, now_s]`; None is unknown, which is never
    zero. `problem` says why the count is unknown, or known in part only; it is empty for a good count.
    """

    now_s: float
    since_s: float
    inflight: float | None
    replicas: int
    """Replicas asked for (`spec.replicas`), not those that run."""
    ready: int
    """Replicas that can serve now."""
    passing: float = 0.0
    """Uncounted requests that need a replica to be there: held ones, and those passed through since the last look."""
    problem: str = ""


class Reason(NamedTuple):
    """One rule that changed the number on its way from the wish to the decision."""

    rule: str
    before: int
    after: int
    why: str


class Wish(NamedTuple):
    """What an algorithm would do; `replicas` None is no opinion: hold what there is."""

    replicas: int | None
    why: str


class Decision(NamedTuple):
    """What should be, and how the number came about: the wish, then every rule that changed it, in order."""

    desired: int
    wish: Wish
    reasons: tuple[Reason, ...]


class Algorithm(Protocol):
    """Forms a wish from looks that come in order of time; its state is a function of those looks alone."""

    def wish(self, look: Look) -> Wish:
        """Take the look in and say how many replicas it asks for."""
        ...

    def export(self) -> State:
        """Give everything that the next wish depends on."""
        ...

    def restore(self, state: State) -> None:
        """Continue from an exported state.

        Raises:
            ValueError: the state's version is not one that this code wrote.
        """
        ...


class Stabiliser(Protocol):
    """One named rule between wish and decision: it returns the number it was given, or another one with its reason."""

    name: str

    def __call__(self, look: Look, wish: int) -> int:
        """Give the number of replicas that the rule allows."""
        ...

    def why(self) -> str:
        """Say, after a call that changed the number, what changed it."""
        ...

    def export(self) -> State:
        """Give everything that the next call depends on."""
        ...

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        ...
