"""Events on a policy, for `kubectl describe`; their number is limited. No I/O.

Each object may have a burst of events and then one now and then. The same event is not repeated for a while.
"""

from typing import Any, NamedTuple

from autoscaler.kubernetes.timestamps import timestamp

BURST = 10
ONE_EVERY_S = 30.0
SAME_AGAIN_S = 300.0
_LONGEST_NOTE = 1000


class Event(NamedTuple):
    """Something that happened to one object."""

    reason: str
    note: str
    warning: bool = False


class EventLimit:
    """Limits the events of one object."""

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._at_s: float | None = None
        self._sent: dict[Event, float] = {}

    def allows(self, event: Event, now_s: float) -> bool:
        """Tell whether this event may be sent now; if so, it counts as sent."""
        self._sent = {each: at_s for each, at_s in self._sent.items() if now_s - at_s < SAME_AGAIN_S}
        if self._at_s is not None:
            self._tokens = min(BURST, self._tokens + (now_s - self._at_s) / ONE_EVERY_S)
        self._at_s = now_s
        if event in self._sent or self._tokens < 1:
            return False
        self._tokens -= 1
        self._sent[event] = now_s
        return True


def body(event: Event, regarding: dict[str, str], reporter: str, now_s: float) -> dict[str, Any]:
    """Give the object to post."""
    return {
        "metadata": {"generateName": f"{regarding['name']}-", "namespace": regarding["namespace"]},
        "eventTime": timestamp(now_s, micro=True),
        "reportingController": "inflight.dev/controller",
        "reportingInstance": reporter,
        "action": "Scaling",
        "reason": event.reason,
        "note": event.note[:_LONGEST_NOTE],
        "type": "Warning" if event.warning else "Normal",
        "regarding": regarding,
    }
