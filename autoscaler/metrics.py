"""What the controller says of itself to Prometheus, in its own names: numbers of each service's last decision."""

from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from autoscaler.ports import Record, ServiceName

_LABELS = ("namespace", "service")


class ControllerMetrics:
    """A recorder that keeps what `/metrics` shows."""

    def __init__(self) -> None:
        self._records: dict[ServiceName, Record] = {}
        self._writes: dict[tuple[ServiceName, str], int] = {}

    def __call__(self, record: Record) -> None:
        """Keep it."""
        self._records[record.service] = record
        if record.outcome is not None:
            key = record.service, "error" if record.outcome.error else "ok"
            self._writes[key] = self._writes.get(key, 0) + 1

    def snapshot(
        self, services: Container[ServiceName], *, leads: bool, failures: Mapping[str, int]
    ) -> Callable[[], bytes]:
        """Give what writes all of it as it is now, of those services that there still are, in Prometheus' text format.

        Writing takes a quarter of a second for ten thousand services: it can be done in another thread.

        Args:
            services: those that there are.
            leads: whether this controller writes.
            failures: how many records each recorder could not take.
        """
        self._records = {name: record for name, record in self._records.items() if name in services}
        registry = CollectorRegistry()
        registry.register(_Snapshot(self._records.copy(), self._writes.copy(), dict(failures), leads=leads))
        return partial(generate_latest, registry)


class _Snapshot(Collector):
    def __init__(
        self,
        records: Mapping[ServiceName, Record],
        writes: Mapping[tuple[ServiceName, str], int],
        failures: Mapping[str, int],
        *,
        leads: bool,
    ) -> None:
        self._records, self._writes, self._failures, self._leads = records, writes, failures, leads

    def collect(self) -> Iterator[Metric]:
        """Give the families."""
        leader = GaugeMetricFamily("inflight_controller_leader", "1 while this controller writes")
        leader.add_metric((), float(self._leads))
        yield leader
        yield from self._gauges()
        writes = CounterMetricFamily(
            "inflight_controller_writes", "Orders that were given", labels=(*_LABELS, "result")
        )
        for (service, result), number in self._writes.items():
            writes.add_metric((*_labels(service), result), number)
        yield writes
        failures = CounterMetricFamily(
            "inflight_controller_recorder_failures", "Records that a recorder could not take", labels=("recorder",)
        )
        for recorder, number in self._failures.items():
            failures.add_metric((recorder,), number)
        yield failures

    def _gauges(self) -> Iterator[Metric]:
        desired = GaugeMetricFamily("inflight_desired_replicas", "Replicas that should be", labels=_LABELS)
        asked = GaugeMetricFamily("inflight_replicas", "Replicas asked for", labels=_LABELS)
        ready = GaugeMetricFamily("inflight_ready_replicas", "Replicas that can serve", labels=_LABELS)
        unknown = GaugeMetricFamily("inflight_count_unknown", "1 while the count is not known", labels=_LABELS)
        for service, record in self._records.items():
            labels = _labels(service)
            desired.add_metric(labels, record.decision.desired)
            asked.add_metric(labels, record.look.replicas)
            ready.add_metric(labels, record.look.ready)
            unknown.add_metric(labels, float(record.look.inflight is None))
        yield from (desired, asked, ready, unknown)


def _labels(service: ServiceName) -> tuple[str, str]:
    namespace, _, name = service.partition("/")
    return namespace, name
