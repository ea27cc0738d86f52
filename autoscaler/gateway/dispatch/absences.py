"""Pods that get no requests for a while: because they refused a connection, or failed too often in a row."""

from collections.abc import Callable

from autoscaler.gateway.dispatch.backend import Backend
from autoscaler.gateway.dispatch.backends import Backends
from autoscaler.gateway.dispatch.slots import Slots
from autoscaler.gateway.dispatch.types import Grant
from autoscaler.gateway.dispatch.waiting import Waiting


class Absences:
    """Sets pods aside and takes them back.

    Args:
        pods: the pods of the service.
        waiting: its requests that wait.
        slots: its slots.
        set_timer: is given when a pod returns.

    Attributes:
        ejections_total: how often a pod was ejected for its failures.
    """

    def __init__(
        self, pods: Backends, waiting: Waiting, slots: Slots, set_timer: Callable[[float, Backend], None]
    ) -> None:
        self.ejections_total = 0
        self._pods = pods
        self._waiting = waiting
        self._slots = slots
        self._set_timer = set_timer

    def answered(self, backend: Backend, now_s: float, *, well: bool) -> list[Grant]:
        """Note how a pod answered; one that fails too often in a row is ejected, unless too many are already."""
        if well:
            return self._recover(backend)
        rules = self._pods.limits.ejection
        if not backend.health.failed(rules) or not backend.ready:
            return []
        if not self._pods.may_eject:
            backend.health.on_trial = False
            return self._slots.refill(backend)
        self.ejections_total += 1
        self.set_aside(backend, now_s + backend.health.eject(rules), ejected=True)
        return self._slots.settle()

    def _recover(self, backend: Backend) -> list[Grant]:
        was_on_trial = backend.health.on_trial
        backend.health.recovered()
        return self._slots.refill(backend) if was_on_trial else []

    def set_aside(self, backend: Backend, until_s: float, *, ejected: bool) -> None:
        """Send a pod nothing until then."""
        backend.put_aside(until_s, ejected=ejected)
        self._set_timer(until_s, backend)
        self.release(backend)

    def release(self, backend: Backend) -> None:
        """Let the requests that wait for a pod that gets nothing new go to any pod."""
        if backend.draining:
            backend.put_aside(None, ejected=False)
        self._pods.refresh(backend)
        self._waiting.release(backend)
        self._pods.readmit_ejected_if_none_is_ready()

    def readmit(self, backend: Backend, now_s: float) -> list[Grant]:
        """Send a pod requests again if its time has come; one that was ejected is on trial first."""
        if backend.aside_until_s is None or backend.aside_until_s > now_s:
            return []
        backend.health.on_trial = backend.ejected
        return self.take_back(backend)

    def take_back(self, backend: Backend) -> list[Grant]:
        """Send a pod requests again."""
        backend.put_aside(None, ejected=False)
        return self._slots.refill(backend)
