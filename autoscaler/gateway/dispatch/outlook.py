"""What can be known of the grants to come: who waits in which order, and which slots are in use since when.

The order is exact for requests that may go to any pod, also with classes and clients that take turns. Requests that
wait for one pod stand among them by their arrival.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from autoscaler.gateway.dispatch.backend import COUNT, Backend, Request
from autoscaler.gateway.dispatch.backends import Backends
from autoscaler.gateway.dispatch.waiting import Waiting


class WaitingRequest(NamedTuple):
    """A counted request that waits."""

    request: Hashable
    number: int
    """Its place in the order of arrival."""
    home: str | None
    """The pod that it waits for; None if it may go to any."""
    spill_s: float
    """From when it may go to any pod."""


class UsedSlot(NamedTuple):
    """A counted request that a pod runs."""

    number: int
    since_s: float | None
    """None if another gateway granted it, at a time that nobody knows here."""


class ReadyPod(NamedTuple):
    """A pod that is sent requests."""

    name: str
    slots: int
    """0 is no limit."""
    used: tuple[UsedSlot, ...]
    other_jobs: int
    """Slots that are taken by jobs beyond its requests."""


class Outlook(NamedTuple):
    """One service at one moment."""

    waiting: tuple[WaitingRequest, ...]
    """In the order of turns."""
    passing: tuple[Hashable, ...]
    """Pass requests that wait because no pod is ready: the first that becomes ready gets them."""
    pods: tuple[ReadyPod, ...]
    concurrency: int
    """Slots of a pod that becomes ready; 0 is no limit."""
    held_s: tuple[float, ...]
    """For how long the last requests held their slots."""

    def renamed(self, name: Callable[[Hashable], Hashable]) -> "Outlook":
        """Return the same with other names of requests."""
        waiting = tuple(each._replace(request=name(each.request)) for each in self.waiting)
        return self._replace(waiting=waiting, passing=tuple(map(name, self.passing)))


def outlook(requests: Iterable[Request], pods: Backends, waiting: Waiting, held_s: Iterable[float]) -> Outlook:
    """Return the outlook of a dispatcher with this state."""
    used: dict[Backend, list[UsedSlot]] = {pod: [] for pod in pods if pod.ready}
    at_home: list[tuple[Request, str]] = []
    passing: list[Hashable] = []
    for each in requests:
        if each.backend in used and each.kind is COUNT:
            used[each.backend].append(UsedSlot(each.number, each.granted_s))
        elif each.queue is not None and each.kind is not COUNT and not used:
            passing.append(each.id)
    for pod in (each for each in used if each.held[COUNT].count):
        at_home += ((request, pod.name) for request in pod.held[COUNT].members())
    return Outlook(
        _in_turn(waiting.in_turn(), at_home),
        tuple(passing),
        tuple(_ready(pod, tuple(slots), pods.slots_of(pod)) for pod, slots in used.items()),
        pods.limits.concurrency,
        tuple(held_s),
    )


def _ready(pod: Backend, used: tuple[UsedSlot, ...], slots: int) -> ReadyPod:
    return ReadyPod(pod.name, slots, used, pod.taken - len(used))


def _in_turn(for_any: Sequence[Request], at_home: Sequence[tuple[Request, str]]) -> tuple[WaitingRequest, ...]:
    """Put requests that wait for one pod behind as many others as arrived before them."""
    found = [WaitingRequest(each.id, each.number, None, each.spill_s) for each in for_any]
    arrived = sorted(each.number for each in for_any)
    ranked = [((float(place), each.number), each) for place, each in enumerate(found, start=1)]
    for each, pod in at_home:
        place = bisect_left(arrived, each.number) + 0.5
        ranked.append(((place, each.number), WaitingRequest(each.id, each.number, pod, each.spill_s)))
    return tuple(each for _, each in sorted(ranked)) if at_home else tuple(found)
