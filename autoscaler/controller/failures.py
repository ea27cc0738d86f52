"""Failures of single services: each is logged once, counted, and kept while it lasts.

Rules:
1. A failure stays with its service: the code of each part catches the error and reports it here.
2. The log has one line with the traceback for each different error of a part, and one when the part works again.
3. Each failure is counted. Nothing is kept of a service that is gone.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Callable

from autoscaler.ports import ServiceName
from autoscaler.runtime.errors import described

CANDIDATE, DECIDER, OBSERVATION = "candidate", "decider", "observation"
"""Parts of a service that other modules name: its candidates, its decider, and the observation of its replicas."""
_MEANWHILE = {CANDIDATE: "nothing else of it changes"}
"""What happens to a service while a part fails, where it does not hold: nobody follows a candidate."""
_log = logging.getLogger(__name__)


class Failures:
    """Collects what fails and what works again.

    Args:
        on_change: called with a service, its part and the problem, which is empty when the part works again.
    """

    def __init__(self, on_change: Callable[[ServiceName, str, str], None] = lambda _service, _part, _why: None) -> None:
        self._on_change = on_change
        self._lasting: dict[tuple[ServiceName, str], tuple[frozenset[object], int]] = {}
        """The parts that fail now, with their different errors and the number of failures in a row."""
        self.counts: Counter[tuple[ServiceName, str]] = Counter()
        """How often each part of each service has failed."""

    def failed(self, service: ServiceName, part: str, error: BaseException) -> int:
        """Report that a part failed; give the number of failures in a row."""
        key, signature = (service, part), _signature(error)
        logged, in_a_row = self._lasting.get(key, (frozenset[object](), 0))
        self._lasting[key] = logged | {signature}, in_a_row + 1
        self.counts[key] += 1
        if signature not in logged:
            why = described(error)
            meanwhile = _MEANWHILE.get(part, "it holds and the others go on")
            _log.error("%s: its %s fails; %s: %s", service, part, meanwhile, why, exc_info=error)
            self._on_change(service, part, why)
        return in_a_row + 1

    def works(self, service: ServiceName, part: str) -> None:
        """Report that a part works."""
        if self._lasting and self._lasting.pop((service, part), None) is not None:
            _log.warning("%s: its %s works again", service, part)
            self._on_change(service, part, "")

    def is_failing(self, service: ServiceName, part: str) -> bool:
        """Tell whether a part failed the last time."""
        return (service, part) in self._lasting

    def forget(self, service: ServiceName) -> None:
        """Forget a service that is gone."""
        for kept in (self._lasting, self.counts):
            for key in [key for key in kept if key[0] == service]:
                del kept[key]


def _signature(error: BaseException) -> object:
    """Give what distinguishes errors: the kind and the line that raised it, without the text."""
    frames = traceback.extract_tb(error.__traceback__)
    return type(error), (frames[-1].filename, frames[-1].lineno) if frames else None
