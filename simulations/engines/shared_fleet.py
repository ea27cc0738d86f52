"""Several services on one fleet: a reference engine for each, on one clock, with shared GPUs and budgets.

Rules:
1. The next event of all services comes first; at the same time the rules of the reference engine order them, and then
   the order of the services.
2. A freed GPU goes to the service that freed it, if it waits for one, and else to the first that waits.
3. A service that a budget allows another number is decided on again at once, as the live controller does.
"""

from collections.abc import Iterable, Mapping
from math import inf

from autoscaler.ports import ServiceName
from simulations.engines.reference import ReferenceEngine
from simulations.model.history import History


class SharedFleet:
    """One run of several services; `run` may be called once.

    Args:
        engines: the engine of each service.
        in_use: how many GPUs of each pool are in use, shared by all engines.
        woken: gets the services to decide on again; it is emptied here.
    """

    def __init__(
        self, engines: Mapping[ServiceName, ReferenceEngine], in_use: list[int], woken: dict[ServiceName, None]
    ) -> None:
        self._engines = engines
        self._in_use = in_use
        self._woken = woken

    def run(self) -> dict[ServiceName, History]:
        """Run to the end, which is the same for all. After Ctrl-C the histories end there, and are partial."""
        partial = False
        for engine in self._engines.values():
            engine.begin()
        try:
            while (soonest := min(self._engines.values(), key=ReferenceEngine.next_event)).next_event()[0] < inf:
                self._advance(soonest)
        except KeyboardInterrupt:
            partial = True
        end_s = max(engine.end_s(partial=partial) for engine in self._engines.values())
        return {name: engine.history(end_s, partial=partial) for name, engine in self._engines.items()}

    def _advance(self, engine: ReferenceEngine) -> None:
        now_s, before = engine.next_event()[0], sum(self._in_use)
        engine.advance()
        while self._woken:
            self._engines[self._woken.popitem()[0]].wake(now_s)
        if sum(self._in_use) < before:
            self._start_pending(self._engines.values(), now_s)

    @staticmethod
    def _start_pending(engines: Iterable[ReferenceEngine], now_s: float) -> None:
        for engine in engines:
            engine.start_pending(now_s)
