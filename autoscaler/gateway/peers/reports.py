"""What members report to each other on a new epoch or connection, in parts."""

from collections.abc import Iterator, Mapping, Sequence

from autoscaler.gateway.peers.book import Hold, Ref
from autoscaler.gateway.peers.messages import Report, ServiceReport
from autoscaler.gateway.peers.outbox import Message
from autoscaler.gateway.peers.owned_service import Known

NOTHING = Known({}, {})
"""The book of a service of which no slot is in use."""
_SERVICES_IN_A_PART = 200


class Reports:
    """The reports of the present epoch."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, ServiceReport]] = {}
        """Reports that are not complete."""
        self._settled: dict[str, frozenset[int]] = {}
        self._books: dict[tuple[str, str], Known] = {}

    def take(self, name: str, message: Report, now_s: float) -> Mapping[str, ServiceReport] | None:
        """Take a part, and return the whole report when it is complete."""
        if message["first"]:
            self._parts[name] = {}
        if name not in self._parts:
            return None
        self._parts[name].update(message["services"])
        if not message["last"]:
            return None
        services = self._parts.pop(name)
        self._settled[name] = frozenset(message["settled"])
        self._books.update({(name, service): _book_of(each, now_s) for service, each in services.items()})
        return services

    def settled_by(self, name: str) -> frozenset[int]:
        """Return the epochs that a member has settled."""
        return self._settled.get(name, frozenset())

    def book(self, name: str, service: str) -> Known:
        """Return the book that a member has as a former owner."""
        return self._books.get((name, service), NOTHING)

    def drop_part(self, name: str) -> None:
        """Forget a report that will not be completed."""
        self._parts.pop(name, None)

    def clear(self) -> None:
        """Forget all: a new epoch has begun."""
        self._parts.clear()
        self._settled.clear()
        self._books.clear()


def in_parts(services: Mapping[str, Message], epoch: int, settled: Sequence[int]) -> Iterator[Message]:
    """Cut a report into messages; an empty one is one message."""
    names = list(services)
    starts = range(0, max(1, len(names)), _SERVICES_IN_A_PART)
    for start in starts:
        part = {name: services[name] for name in names[start : start + _SERVICES_IN_A_PART]}
        is_last = start == starts[-1]
        yield {
            "t": "report",
            "epoch": epoch,
            "first": start == 0,
            "last": is_last,
            "settled": list(settled),
            "services": part,
        }


def _book_of(report: ServiceReport, now_s: float) -> Known:
    pods: dict[Ref, str] = {}
    holds: dict[Ref, Hold] = {}
    for pod, holder, life, number, left_s in report["book"]:
        ref = Ref(holder, life, number)
        pods[ref] = pod
        if left_s is not None:
            holds[ref] = Hold(now_s + left_s, now_s + left_s)
    return Known(pods, holds)
