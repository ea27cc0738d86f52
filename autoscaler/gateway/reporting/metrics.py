"""The gateway's metrics for Prometheus, read from the dispatchers while they are written.

Every series of a service exists from its start, at 0, so that a query finds no gap.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from autoscaler.gateway.counts import CLASSES, Histogram, ProcessMetric
from autoscaler.gateway.peers.peer import Peer
from autoscaler.gateway.peers.runner import PeerRunner
from autoscaler.gateway.router import Router
from autoscaler.gateway.service import ServiceProxy
from autoscaler.runtime.prometheus_text import Sample, family, labels

Read = Callable[[ServiceProxy, float], float]
"""Reads a number of a service at a time of the loop's clock."""
Samples = Callable[[str, ServiceProxy, float], Iterable[Sample]]
"""Returns the samples of a service, given its labels and such a time."""


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


def _by_class(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    return ((f"{{{of},{labels(**{'class': name})}}}", queued) for name, queued in proxy.queued_by_class.items())


def _by_outcome(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    return ((f'{{{of},reason="{outcome.value}"}}', count) for outcome, count in proxy.counts.outcomes.items())


def _by_status(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    responses = zip(CLASSES, proxy.counts.responses, strict=True)
    return ((f'{{{of},class="{name}"}}', count) for name, count in responses)


def _by_warm_up(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    return ((f'{{{of},outcome="{outcome.value}"}}', count) for outcome, count in proxy.counts.warm_ups.items())


def _by_pod(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    running = proxy.dispatcher.running_on
    return ((f"{{{of},{labels(pod=pod)}}}", running(pod)) for pod in proxy.dispatcher.backends)


def _histogram(read: Callable[[ServiceProxy], Histogram]) -> Samples:
    def samples(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
        histogram = read(proxy)
        buckets, total = histogram.cumulative(), histogram.total  # at once, so that both are of the same moment
        for bound, count in buckets:
            yield f'_bucket{{{of},le="{bound}"}}', count
        yield f"_count{{{of}}}", buckets[-1][1]
        yield f"_sum{{{of}}}", total

    return samples


_METRICS = (
    _Metric("inflight_requests", "gauge", "Counted requests, queued and running.", _by_state),
    _Metric(
        "inflight_seconds_total",
        "counter",
        "Counted requests in flight, integrated over time.",
        _one(lambda proxy, now_s: proxy.dispatcher.seconds_total(now_s)),
    ),
    _Metric(
        "gateway_arrived_requests_total",
        "counter",
        "Counted requests that arrived.",
        _one(lambda proxy, _: proxy.counts.arrived),
    ),
    _Metric(
        "gateway_passing_requests",
        "gauge",
        "Pass requests that are held or open.",
        _one(lambda proxy, _: proxy.dispatcher.passing),
    ),
    _Metric(
        "gateway_passed_requests_total",
        "counter",
        "Pass requests that arrived.",
        _one(lambda proxy, _: proxy.dispatcher.passed_total),
    ),
    _Metric(
        "gateway_oldest_wait_seconds",
        "gauge",
        "How long the oldest request in the queue has waited.",
        _one(lambda proxy, now_s: proxy.dispatcher.oldest_wait_s(now_s)),
    ),
    _Metric(
        "gateway_class_queued_requests",
        "gauge",
        "Counted requests that wait, by priority class.",
        _by_class,
    ),
    _Metric("gateway_requests_total", "counter", "Ended requests by outcome.", _by_outcome),
    _Metric("gateway_responses_total", "counter", "Responses that clients got, by class of status.", _by_status),
    _Metric(
        "gateway_cut_responses_total",
        "counter",
        "Responses that began and broke off.",
        _one(lambda proxy, _: proxy.counts.cut_responses),
    ),
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
        "gateway_response_seconds",
        "histogram",
        "From arrival to the pod's last byte.",
        _histogram(lambda proxy: proxy.counts.response_s),
    ),
    _Metric(
        "gateway_retries_total",
        "counter",
        "Requests that a pod refused and that were sent to another.",
        _one(lambda proxy, _: proxy.counts.retries),
    ),
    _Metric(
        "gateway_abandoned_late_total",
        "counter",
        "Requests that reached a pod after their client had disconnected.",
        _one(lambda proxy, _: proxy.counts.abandoned_late),
    ),
    _Metric(
        "gateway_pod_ejections_total",
        "counter",
        "Ejections of pods.",
        _one(lambda proxy, _: proxy.dispatcher.ejections_total),
    ),
    _Metric(
        "gateway_busy_poll_failures_total",
        "counter",
        "Polls without a number of jobs.",
        _one(lambda proxy, _: proxy.counts.failed_busy_polls),
    ),
    _Metric("gateway_warm_ups_total", "counter", "Warm-ups of pods by outcome.", _by_warm_up),
    _Metric("gateway_websocket_open", "gauge", "Open WebSockets.", _one(lambda proxy, _: proxy.counts.tunnels)),
    _Metric("gateway_pod_running_requests", "gauge", "Counted requests that a pod runs, with its other jobs.", _by_pod),
)


def _of_process(gateway: Router) -> list[ProcessMetric]:
    """Return the metrics that belong to no service."""
    overload, clients = gateway.overload, gateway.clients
    return [
        ProcessMetric(
            "gateway_start_time_seconds", "gauge", "When the gateway started, as Unix time.", lambda: gateway.started_s
        ),
        ProcessMetric("gateway_memory_bytes", "gauge", "Memory in use.", lambda: overload.used_bytes),
        ProcessMetric(
            "gateway_memory_limit_bytes",
            "gauge",
            "Limit of the memory; 0 is none.",
            lambda: overload.limit_bytes or 0,
        ),
        ProcessMetric(
            "gateway_overloaded",
            "gauge",
            "1 while new requests are refused for lack of memory.",
            lambda: overload.active,
        ),
        ProcessMetric(
            "gateway_client_connections", "gauge", "Open connections of clients.", lambda: len(clients.connections)
        ),
        ProcessMetric(
            "gateway_client_connections_limit",
            "gauge",
            "Limit of clients' connections.",
            lambda: clients.limits.connections,
        ),
        ProcessMetric(
            "gateway_shed_connections_total",
            "counter",
            "Idle connections of clients that were closed to make room.",
            lambda: clients.shed,
        ),
        ProcessMetric(
            "gateway_stalled_clients_total",
            "counter",
            "Clients that read nothing of a response for too long.",
            lambda: clients.stalled,
        ),
        ProcessMetric(
            "gateway_response_backlog_bytes",
            "gauge",
            "Memory for responses that clients have not read.",
            lambda: clients.backlog_budget.taken_bytes,
        ),
        ProcessMetric(
            "gateway_held_body_bytes",
            "gauge",
            "Memory for the bodies of held requests.",
            lambda: gateway.body_budget.taken_bytes,
        ),
    ]


class _GroupMetric(NamedTuple):
    name: str
    kind: str
    meaning: str
    samples: Callable[[PeerRunner], Iterable[Sample]]


def _plain(read: Callable[[Peer], float]) -> Callable[[PeerRunner], Iterable[Sample]]:
    return lambda peers: (("", float(read(peers.peer))),)


_OF_GROUP = (
    _GroupMetric(
        "gateway_members",
        "gauge",
        "Gateways that serve the same pods.",
        _plain(lambda peer: 0 if peer.roster is None else len(peer.roster.members)),
    ),
    _GroupMetric(
        "gateway_epoch", "gauge", "Epoch of the roster that the gateway knows.", _plain(lambda peer: peer.epoch)
    ),
    _GroupMetric(
        "gateway_owned_services",
        "gauge",
        "Services whose slots this gateway grants.",
        _plain(lambda peer: sum(share.owned for share in peer.shares.values())),
    ),
    _GroupMetric(
        "gateway_permit_seconds",
        "gauge",
        "How long requests may still be started without news of the other gateways.",
        _plain(lambda peer: min(peer.permit_s(), peer.times.permit_s)),
    ),
    _GroupMetric(
        "gateway_claims_total",
        "counter",
        "Requests for which a gateway was asked for a slot.",
        lambda peers: ((f"{{{labels(to=to)}}}", count) for to, count in sorted(peers.claims_total().items())),
    ),
    _GroupMetric(
        "gateway_takeovers_total",
        "counter",
        "Services that this gateway took over, by what was known of their slots.",
        lambda peers: ((f"{{{labels(book=book)}}}", count) for book, count in sorted(peers.takeovers_total().items())),
    ),
)
_HELD = _Metric(
    "gateway_held_slots",
    "gauge",
    "Slots of lost gateways in which something may still run.",
    _one(lambda proxy, _: 0 if proxy.shared is None else sum(proxy.shared.held.values())),
)


def text(gateway: Router) -> Iterator[bytes]:
    """Yield every metric, with one series for each current service, in pieces of Prometheus' text format."""
    proxies = [
        (labels(namespace=proxy.config.namespace, service=proxy.config.service), proxy)
        for proxy in gateway.proxies.values()
    ]
    for name, kind, meaning, samples in _METRICS if gateway.peers is None else (*_METRICS, _HELD):
        yield from family(name, kind, meaning, _of_all(gateway, proxies, samples))
    for metric in (*_of_process(gateway), *gateway.process_metrics):
        yield from family(metric.name, metric.kind, metric.meaning, [("", float(metric.read()))])
    if gateway.peers is not None:
        for of_group in _OF_GROUP:
            yield from family(of_group.name, of_group.kind, of_group.meaning, of_group.samples(gateway.peers))


def _of_all(gateway: Router, proxies: Iterable[tuple[str, ServiceProxy]], samples: Samples) -> Iterator[Sample]:
    for of, proxy in proxies:
        yield from samples(of, proxy, gateway.loop_time())
