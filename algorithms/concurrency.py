"""The default algorithm: Knative's windows and panic, fed by totals that come at any time.

The safety that it adds stands elsewhere, each rule by itself: good time in `feeder`, the others in `stabilisers`.
Without them the wish is Knative's decision on the same seconds.
"""

from algorithms.feeder import head
from algorithms.kpa import KpaCore, KpaOptions
from algorithms.state import VERSION, check
from algorithms.types import Look, State, Wish

_IDLE = Wish(0, "nothing is in flight and nothing runs")
_NO_DATA = Wish(None, "the stable window has no data")


class Concurrency:
    """Wishes for what keeps the requests in flight per replica at the target."""

    def __init__(self, options: KpaOptions) -> None:
        self._options = options
        self._core: KpaCore | None = None

    def wish(self, look: Look) -> Wish:
        """Put the look into the windows and decide on them.

        As in Knative a service without replicas reports nothing: its idle seconds are not in the windows, so that the
        first requests after them are not averaged away.
        """
        if not look.replicas and not head(look):
            return _IDLE
        core = self._core = self._core or KpaCore(self._options, look.now_s, look.ready)
        core.feed(look)
        stable, panic = core.averages(look.now_s)
        decision = core.decider.decide(look.now_s, look.ready, stable, panic)
        if not decision.valid:
            return _NO_DATA
        mode = ", in panic" if core.decider.panicking else ""
        return Wish(decision.desired, f"stable {stable:g}, panic {panic:g} in flight{mode}")

    def export(self) -> State:
        """Give windows, panic and delay; None before the first look."""
        return {"version": VERSION, "core": self._core and self._core.export()}

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        check(state, "Concurrency")
        self._core = None
        if state["core"] is not None:
            self._core = KpaCore(self._options, 0.0, 0)
            self._core.restore(state["core"])
