"""The gateway's state for Prometheus, read from the dispatchers as it is written.

Every series of a service exists from its start, at 0, so that a query never meets a gap.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from autoscaler.gateway.counts import Histogram, ProcessMetric
from autoscaler.gateway.router import Router
from autoscaler.gateway.service import ServiceProxy
from autoscaler.runtime.prometheus_text import Sample, family, labels

Read = Callable[[ServiceProxy, float], float]
"""Reads a number of a service at a time of the loop's clock."""
Samples = Callable[[str, ServiceProxy, float], Iterable[Sample]]
"""Gives the samples of a service, whose labels are given, at such a time."""


class _Metric(NamedTuple):
    name: str
    kind: str
    meaning: str
    samples: Samples


def _one(read: Read) -> Samples:
    return lambda of, proxy, now_s: ((f"{{{of}}}", read(proxy, now_s)),)


def _by_state(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    yield f'{{{of},state="queued"}}', proxy.dispatcher.queued
    yield f'{{{of},state="running"}}', proxy.dispatcher.running


def _by_outcome(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    return ((f'{{{of},reason="{outcome.value}"}}', count) for outcome, count in proxy.counts.outcomes.items())


def _by_pod(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    running = proxy.dispatcher.running_on
    return ((f"{{{of},{labels(pod=pod)}}}", running(pod)) for pod in proxy.dispatcher.backends)


def _histogram(read: Callable[[ServiceProxy], Histogram]) -> Samples:
    def samples(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
        histogram = read(proxy)
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
        _one(lambda proxy, now_s: proxy.dispatcher.seconds_total(now_s)),
    ),
    _Metric(
        "gateway_arrived_requests_total",
        "counter",
        "Counted requests that came.",
        _one(lambda proxy, _: proxy.counts.arrived),
    ),
    _Metric(
        "gateway_passing_requests",
        "gauge",
        "Uncounted requests held or open.",
        _one(lambda proxy, _: proxy.dispatcher.passing),
    ),
    _Metric(
        "gateway_passed_requests_total",
        "counter",
        "Uncounted requests that came.",
        _one(lambda proxy, _: proxy.dispatcher.passed_total),
    ),
    _Metric(
        "gateway_oldest_wait_seconds",
        "gauge",
        "How long the first in line has waited.",
        _one(lambda proxy, now_s: proxy.dispatcher.oldest_wait_s(now_s)),
    ),
    _Metric("gateway_requests_total", "counter", "Requests by how they ended.", _by_outcome),
    _Metric(
        "gateway_wait_seconds", "histogram", "From arrival to grant.", _histogram(lambda proxy: proxy.counts.wait_s)
    ),
    _Metric(
        "gateway_service_seconds",
        "histogram",
        "From grant to the pod's last byte.",
        _histogram(lambda proxy: proxy.counts.service_s),
    ),
    _Metric(
        "gateway_retries_total",
        "counter",
        "Requests that a pod refused and that went on.",
        _one(lambda proxy, _: proxy.counts.retries),
    ),
    _Metric(
        "gateway_abandoned_late_total",
        "counter",
        "Requests that reached a pod after their client had gone.",
        _one(lambda proxy, _: proxy.counts.abandoned_late),
    ),
    _Metric(
        "gateway_pod_ejections_total",
        "counter",
        "How often a pod was left alone for its failures.",
        _one(lambda proxy, _: proxy.dispatcher.ejections_total),
    ),
    _Metric(
        "gateway_busy_poll_failures_total",
        "counter",
        "How often a pod did not say how many jobs it works on.",
        _one(lambda proxy, _: proxy.counts.failed_busy_polls),
    ),
    _Metric("gateway_websocket_open", "gauge", "Upgraded connections.", _one(lambda proxy, _: proxy.counts.tunnels)),
    _Metric("gateway_pod_running_requests", "gauge", "Counted requests that a pod serves.", _by_pod),
)


def _of_process(gateway: Router) -> list[ProcessMetric]:
    """Give the metrics that belong to no service."""
    overload, clients = gateway.overload, gateway.clients
    return [
        ProcessMetric(
            "gateway_start_time_seconds", "gauge", "When the gateway started, as Unix time.", lambda: gateway.started_s
        ),
        ProcessMetric("gateway_memory_bytes", "gauge", "Memory in use.", lambda: overload.used_bytes),
        ProcessMetric(
            "gateway_memory_limit_bytes",
            "gauge",
            "What it may be; 0 is any.",
            lambda: overload.limit_bytes or 0,
        ),
        ProcessMetric("gateway_overloaded", "gauge", "1 while new requests are refused.", lambda: overload.active),
        ProcessMetric("gateway_client_connections", "gauge", "Clients' connections.", lambda: len(clients.connections)),
        ProcessMetric(
            "gateway_client_connections_limit", "gauge", "How many may be.", lambda: clients.limits.connections
        ),
        ProcessMetric(
            "gateway_shed_connections_total",
            "counter",
            "Idle ones that were closed to make room.",
            lambda: clients.shed,
        ),
        ProcessMetric(
            "gateway_stalled_clients_total",
            "counter",
            "Clients that took nothing for too long.",
            lambda: clients.stalled,
        ),
        ProcessMetric(
            "gateway_response_backlog_bytes",
            "gauge",
            "Taken of the budget for what clients have not read yet.",
            lambda: clients.backlog_budget.taken_bytes,
        ),
        ProcessMetric(
            "gateway_held_body_bytes",
            "gauge",
            "Taken of the budget for bodies of held requests.",
            lambda: gateway.body_budget.taken_bytes,
        ),
    ]


def text(gateway: Router) -> Iterator[bytes]:
    """Give every metric, with one series for each service that there is now, in pieces of Prometheus' text format."""
    proxies = [
        (labels(namespace=proxy.config.namespace, service=proxy.config.service), proxy)
        for proxy in gateway.proxies.values()
    ]
    for name, kind, meaning, samples in _METRICS:
        yield from family(name, kind, meaning, _of_all(gateway, proxies, samples))
    for metric in (*_of_process(gateway), *gateway.process_metrics):
        yield from family(metric.name, metric.kind, metric.meaning, [("", float(metric.read()))])


def _of_all(gateway: Router, proxies: Iterable[tuple[str, ServiceProxy]], samples: Samples) -> Iterator[Sample]:
    for of, proxy in proxies:
        yield from samples(of, proxy, gateway.loop_time())
