"""The gateway's state for Prometheus, read from the dispatchers at the moment of the scrape.

Every series of a service exists from its start, at 0, so that a query never meets a gap.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from autoscaler.gateway.core import Core
from autoscaler.gateway.counts import Histogram
from autoscaler.gateway.service import ServiceGate

_LABELS = ("namespace", "service")
Read = Callable[[ServiceGate], float]


def registry(gateway: Core) -> CollectorRegistry:
    """Build a registry of one gateway's metrics, and nothing else."""
    built = CollectorRegistry()
    built.register(GatewayCollector(gateway))
    return built


class GatewayCollector:
    """Reads the gateway when asked."""

    def __init__(self, gateway: Core) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """Give every metric with one series for each service."""
        loop_s = self._gateway.loop_time
        yield self._by(
            GaugeMetricFamily("inflight_requests", "Counted requests in the gateway.", labels=[*_LABELS, "state"]),
            {"queued": lambda gate: gate.dispatcher.queued, "running": lambda gate: gate.dispatcher.running},
        )
        yield self._one(
            CounterMetricFamily(
                "inflight_seconds", "Counted requests in the gateway, integrated over time.", labels=_LABELS
            ),
            lambda gate: gate.dispatcher.seconds_total(loop_s()),
        )
        yield self._one(
            CounterMetricFamily("gateway_arrived_requests", "Counted requests that came.", labels=_LABELS),
            lambda gate: gate.counts.arrived,
        )
        yield self._one(
            GaugeMetricFamily("gateway_passing_requests", "Uncounted requests held or open.", labels=_LABELS),
            lambda gate: gate.dispatcher.passing,
        )
        yield self._one(
            CounterMetricFamily("gateway_passed_requests", "Uncounted requests that came.", labels=_LABELS),
            lambda gate: gate.dispatcher.passed_total,
        )
        yield self._one(
            GaugeMetricFamily("gateway_oldest_wait_seconds", "How long the first in line has waited.", labels=_LABELS),
            lambda gate: gate.dispatcher.oldest_wait_s(loop_s()),
        )
        yield from self._of_the_past()
        yield self._pods()

    def _of_the_past(self) -> Iterator[Metric]:
        endings = CounterMetricFamily("gateway_requests", "Requests by how they ended.", labels=[*_LABELS, "reason"])
        waits = HistogramMetricFamily("gateway_wait_seconds", "From arrival to grant.", labels=_LABELS)
        services = HistogramMetricFamily(
            "gateway_service_seconds", "From grant to the pod's last byte.", labels=_LABELS
        )
        for labels, gate in self._gates():
            for ending, count in gate.counts.endings.items():
                endings.add_metric([*labels, ending.value], count)
            _add(waits, labels, gate.counts.wait_s)
            _add(services, labels, gate.counts.service_s)
        yield from (endings, waits, services)
        yield self._one(
            CounterMetricFamily("gateway_retries", "Requests that a pod refused and that went on.", labels=_LABELS),
            lambda gate: gate.counts.retries,
        )
        yield self._one(
            CounterMetricFamily(
                "gateway_abandoned_late", "Requests that reached a pod after their client had gone.", labels=_LABELS
            ),
            lambda gate: gate.counts.abandoned_late,
        )
        yield self._one(
            GaugeMetricFamily("gateway_websocket_open", "Upgraded connections.", labels=_LABELS),
            lambda gate: gate.counts.tunnels,
        )
        start = GaugeMetricFamily("gateway_start_time_seconds", "When the gateway started, as Unix time.")
        start.add_metric([], self._gateway.started_s)
        yield start

    def _pods(self) -> Metric:
        family = GaugeMetricFamily(
            "gateway_pod_running_requests", "Counted requests that a pod serves.", labels=[*_LABELS, "pod"]
        )
        for labels, gate in self._gates():
            for pod in gate.dispatcher.backends:
                family.add_metric([*labels, pod], gate.dispatcher.running_on(pod))
        return family

    def _gates(self) -> Iterable[tuple[list[str], ServiceGate]]:
        for gate in self._gateway.gates.values():
            yield [gate.config.namespace, gate.config.service], gate

    def _one(self, family: Any, read: Read) -> Metric:
        for labels, gate in self._gates():
            family.add_metric(labels, read(gate))
        return family  # type: ignore[no-any-return]

    def _by(self, family: Any, reads: dict[str, Read]) -> Metric:
        for labels, gate in self._gates():
            for value, read in reads.items():
                family.add_metric([*labels, value], read(gate))
        return family  # type: ignore[no-any-return]


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    family.add_metric(labels, buckets=histogram.cumulative(), sum_value=histogram.total)
