"""The gateway's state for Prometheus, read from the dispatchers as it is written.

Every series of a service exists from its start, at 0, so that a query never meets a gap.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from autoscaler.gateway.counts import Histogram
from autoscaler.gateway.router import Core
from autoscaler.gateway.service import ServiceGate
from autoscaler.runtime.prometheus_text import Sample, family, labels

Read = Callable[[ServiceGate, float], float]
"""Reads a number of a service at a time of the loop's clock."""
Samples = Callable[[str, ServiceGate, float], Iterable[Sample]]
"""Gives the samples of a service, whose labels are given, at such a time."""


class _Metric(NamedTuple):
    name: str
    kind: str
    meaning: str
    samples: Samples


def _one(read: Read) -> Samples:
    return lambda of, gate, now_s: ((f"{{{of}}}", read(gate, now_s)),)


def _by_state(of: str, gate: ServiceGate, _now_s: float) -> Iterable[Sample]:
    yield f'{{{of},state="queued"}}', gate.dispatcher.queued
    yield f'{{{of},state="running"}}', gate.dispatcher.running


def _by_ending(of: str, gate: ServiceGate, _now_s: float) -> Iterable[Sample]:
    return ((f'{{{of},reason="{ending.value}"}}', count) for ending, count in gate.counts.endings.items())


def _by_pod(of: str, gate: ServiceGate, _now_s: float) -> Iterable[Sample]:
    running = gate.dispatcher.running_on
    return ((f"{{{of},{labels(pod=pod)}}}", running(pod)) for pod in gate.dispatcher.backends)


def _histogram(read: Callable[[ServiceGate], Histogram]) -> Samples:
    def samples(of: str, gate: ServiceGate, _now_s: float) -> Iterable[Sample]:
        histogram = read(gate)
        buckets, total = histogram.cumulative(), histogram.total  # together, whatever is written when
        for bound, count in buckets:
            yield f'_bucket{{{of},le="{bound}"}}', count
        yield f"_count{{{of}}}", buckets[-1][1]
        yield f"_sum{{{of}}}", total

    return samples


_METRICS = (
    _Metric("inflight_requests", "gauge", "Counted requests in the gateway.", _by_state),
    _Metric(
        "inflight_seconds_total",
        "counter",
        "Counted requests in the gateway, integrated over time.",
        _one(lambda gate, now_s: gate.dispatcher.seconds_total(now_s)),
    ),
    _Metric(
        "gateway_arrived_requests_total",
        "counter",
        "Counted requests that came.",
        _one(lambda gate, _: gate.counts.arrived),
    ),
    _Metric(
        "gateway_passing_requests",
        "gauge",
        "Uncounted requests held or open.",
        _one(lambda gate, _: gate.dispatcher.passing),
    ),
    _Metric(
        "gateway_passed_requests_total",
        "counter",
        "Uncounted requests that came.",
        _one(lambda gate, _: gate.dispatcher.passed_total),
    ),
    _Metric(
        "gateway_oldest_wait_seconds",
        "gauge",
        "How long the first in line has waited.",
        _one(lambda gate, now_s: gate.dispatcher.oldest_wait_s(now_s)),
    ),
    _Metric("gateway_requests_total", "counter", "Requests by how they ended.", _by_ending),
    _Metric("gateway_wait_seconds", "histogram", "From arrival to grant.", _histogram(lambda gate: gate.counts.wait_s)),
    _Metric(
        "gateway_service_seconds",
        "histogram",
        "From grant to the pod's last byte.",
        _histogram(lambda gate: gate.counts.service_s),
    ),
    _Metric(
        "gateway_retries_total",
        "counter",
        "Requests that a pod refused and that went on.",
        _one(lambda gate, _: gate.counts.retries),
    ),
    _Metric(
        "gateway_abandoned_late_total",
        "counter",
        "Requests that reached a pod after their client had gone.",
        _one(lambda gate, _: gate.counts.abandoned_late),
    ),
    _Metric(
        "gateway_pod_ejections_total",
        "counter",
        "How often a pod was left alone for its failures.",
        _one(lambda gate, _: gate.dispatcher.ejections_total),
    ),
    _Metric(
        "gateway_busy_poll_failures_total",
        "counter",
        "How often a pod did not say how many jobs it works on.",
        _one(lambda gate, _: gate.counts.failed_busy_polls),
    ),
    _Metric("gateway_websocket_open", "gauge", "Upgraded connections.", _one(lambda gate, _: gate.counts.tunnels)),
    _Metric("gateway_pod_running_requests", "gauge", "Counted requests that a pod serves.", _by_pod),
)


def text(gateway: Core) -> Iterator[bytes]:
    """Give every metric, with one series for each service that there is now, in pieces of Prometheus' text format."""
    gates = [
        (labels(namespace=gate.config.namespace, service=gate.config.service), gate) for gate in gateway.gates.values()
    ]
    for name, kind, meaning, samples in _METRICS:
        yield from family(name, kind, meaning, _of_all(gateway, gates, samples))
    for metric in gateway.process_metrics:
        yield from family(metric.name, metric.kind, metric.meaning, [("", float(metric.read()))])


def _of_all(gateway: Core, gates: Iterable[tuple[str, ServiceGate]], samples: Samples) -> Iterator[Sample]:
    for of, gate in gates:
        yield from samples(of, gate, gateway.loop_time())
