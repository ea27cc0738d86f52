"""The controller's metrics: the numbers of each service's last decision, and counts of writes and failures.

A number that is not in a decision record comes in through an argument of `text`, which `autoscaler.commands.run` calls.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from operator import attrgetter

from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.prometheus_text import family, labels

_GAUGES: tuple[tuple[str, str, Callable[[Record], int]], ...] = (
    ("inflight_desired_replicas", "Desired replicas, of the last decision", attrgetter("decision.desired")),
    ("inflight_replicas", "Replicas asked for", attrgetter("observation.replicas")),
    ("inflight_ready_replicas", "Pods that can serve", attrgetter("observation.ready")),
    (
        "inflight_count_unknown",
        "1 while the count of requests in flight is unknown",
        lambda record: int(record.observation.inflight is None),
    ),
)


class ControllerMetrics:
    """A recorder that keeps the numbers of `/metrics`."""

    def __init__(self) -> None:
        self._records: dict[ServiceName, Record] = {}
        self._writes: dict[tuple[ServiceName, str], int] = {}

    def __call__(self, record: Record) -> None:
        """Keep the record."""
        self._records[record.service] = record
        failed = record.outcome is not None and record.outcome.error
        if failed or record.written is not None:
            key = record.service, "error" if failed else "ok"
            self._writes[key] = self._writes.get(key, 0) + 1

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._records.pop(service, None)
        self._writes = {key: number for key, number in self._writes.items() if key[0] != service}

    def text(
        self,
        services: Container[ServiceName],
        *,
        leads: bool,
        failures: Mapping[str, int],
        of_services: Mapping[tuple[ServiceName, str], int] | None = None,
    ) -> Iterator[bytes]:
        """Give all metrics as they are now, in pieces of Prometheus' text format.

        A record that arrives between two pieces is shown by the next scrape.

        Args:
            services: the services that exist; others are dropped.
            leads: whether this controller writes.
            failures: how many records each recorder has missed.
            of_services: how often each part of each service has failed.
        """
        self._records = {name: record for name, record in self._records.items() if name in services}
        self._writes = {key: number for key, number in self._writes.items() if key[0] in services}
        return _text(self._records.copy(), self._writes.copy(), dict(failures), dict(of_services or {}), leads=leads)


def _text(
    records: Mapping[ServiceName, Record],
    writes: Mapping[tuple[ServiceName, str], int],
    failures: Mapping[str, int],
    of_services: Mapping[tuple[ServiceName, str], int],
    *,
    leads: bool,
) -> Iterator[bytes]:
    yield from family("inflight_controller_leader", "gauge", "1 while this controller writes", [("", int(leads))])
    services = [f"{{{_labels(service)}}}" for service in records]
    for name, meaning, number in _GAUGES:
        yield from family(name, "gauge", meaning, zip(services, map(number, records.values()), strict=True))
    yield from family(
        "inflight_controller_writes_total",
        "counter",
        "Replica counts that were written, or could not be",
        ((f'{{{_labels(service)},result="{result}"}}', number) for (service, result), number in writes.items()),
    )
    yield from family(
        "inflight_controller_recorder_failures_total",
        "counter",
        "Decision records that a recorder could not take",
        ((f"{{{labels(recorder=recorder)}}}", number) for recorder, number in failures.items()),
    )
    yield from family(
        "inflight_controller_service_failures_total",
        "counter",
        "Errors in the work for one service",
        ((f"{{{_labels(service)},{labels(part=part)}}}", number) for (service, part), number in of_services.items()),
    )


def _labels(service: ServiceName) -> str:
    namespace, _, name = service.partition("/")
    return labels(namespace=namespace, service=name)
