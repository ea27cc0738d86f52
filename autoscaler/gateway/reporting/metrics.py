"""The gateway's metrics for Prometheus, read from the dispatchers while they are written.

Every series of a service exists from its start, at 0, so that a query finds no gap.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from autoscaler.gateway.counts import CLASSES, Exemplar, Histogram
from autoscaler.gateway.reporting.peer_metrics import OF_GROUP
from autoscaler.gateway.router import Router
from autoscaler.gateway.service import ServiceProxy
from autoscaler.runtime.prometheus_text import SERVICE, Exposition, Metric, Sample, labels

Read = Callable[[ServiceProxy, float], float]
"""Reads a number of a service at a time of the loop's clock."""
Samples = Callable[[str, ServiceProxy, float], Iterable[Sample]]
"""Returns the samples of a service, given its labels and such a time."""


class _OfService(NamedTuple):
    metric: Metric
    samples: Samples
    with_exemplars: Samples | None = None
    """The same samples for a scraper that takes exemplars, if the metric can have any."""


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


def _by_hit(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    return ((f'{{{of},hit="{hit}"}}', count) for hit, count in proxy.quotes.grade._asdict().items())


def _hinted(of: str, proxy: ServiceProxy, now_s: float) -> Iterable[Sample]:
    return () if proxy.hints is None else ((f"{{{of}}}", proxy.hints.at(now_s).requests),)


def _announced(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    return () if proxy.hints is None else ((f"{{{of}}}", proxy.hints.hints.announced_total),)


def _by_hint_end(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    ends = {} if proxy.hints is None else proxy.hints.hints.ends
    return ((f'{{{of},end="{end.value}"}}', count) for end, count in ends.items())


def _by_pod(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
    running = proxy.dispatcher.running_on
    return ((f"{{{of},{labels(pod=pod)}}}", running(pod)) for pod in proxy.dispatcher.backends)


def _timed(metric: Metric, read: Callable[[ServiceProxy], Histogram]) -> _OfService:
    """Return a histogram; each bucket may have the trace of a request as an exemplar."""

    def samples(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
        return _histogram(of, read(proxy), {})

    def with_exemplars(of: str, proxy: ServiceProxy, _now_s: float) -> Iterable[Sample]:
        histogram = read(proxy)
        return _histogram(of, histogram, histogram.exemplars)

    return _OfService(metric, samples, with_exemplars)


def _histogram(of: str, histogram: Histogram, exemplars: Mapping[int, Exemplar]) -> Iterator[Sample]:
    buckets, total = histogram.cumulative(), histogram.total  # at once, so that both are of the same moment
    for number, (bound, count) in enumerate(buckets):
        found = exemplars.get(number)
        yield f'_bucket{{{of},le="{bound}"}}', count if found is None else f"{count} {found}"
    yield f"_count{{{of}}}", buckets[-1][1]
    yield f"_sum{{{of}}}", total


_OF_SERVICES: tuple[_OfService, ...] = (
    _OfService(
        Metric(
            "inflight_requests",
            "gauge",
            (*SERVICE, "state"),
            "counted requests in flight: those that wait (`queued`) and those that pods run (`running`)",
        ),
        _by_state,
    ),
    _OfService(
        Metric(
            "inflight_seconds_total",
            "counter",
            SERVICE,
            "requests in flight, integrated over time. The difference of two samples divided by their distance "
            "is the exact mean",
        ),
        _one(lambda proxy, now_s: proxy.dispatcher.seconds_total(now_s)),
    ),
    _OfService(
        Metric("gateway_arrived_requests_total", "counter", SERVICE, "counted requests that arrived"),
        _one(lambda proxy, _: proxy.counts.arrived),
    ),
    _OfService(
        Metric(
            "gateway_requests_total",
            "counter",
            (*SERVICE, "reason"),
            "requests that have ended, each with exactly one [reason](#reasons)",
        ),
        _by_outcome,
    ),
    _OfService(
        Metric(
            "gateway_responses_total",
            "counter",
            (*SERVICE, "class"),
            "responses that clients got, by [class of status](#responses): `1xx` to `5xx`",
        ),
        _by_status,
    ),
    _OfService(
        Metric(
            "gateway_cut_responses_total",
            "counter",
            SERVICE,
            "those responses that began and broke off while their clients were still there",
        ),
        _one(lambda proxy, _: proxy.counts.cut_responses),
    ),
    _timed(
        Metric("gateway_wait_seconds", "histogram", SERVICE, "the wait of counted requests, from arrival to grant"),
        lambda proxy: proxy.counts.wait_s,
    ),
    _timed(
        Metric(
            "gateway_service_seconds",
            "histogram",
            SERVICE,
            "the service time of counted requests, from grant to the pod's last byte",
        ),
        lambda proxy: proxy.counts.service_s,
    ),
    _timed(
        Metric(
            "gateway_response_seconds",
            "histogram",
            SERVICE,
            "from a counted request's arrival to the pod's last byte: its wait and its service time together",
        ),
        lambda proxy: proxy.counts.response_s,
    ),
    _OfService(
        Metric("gateway_oldest_wait_seconds", "gauge", SERVICE, "how long the oldest request in the queue has waited"),
        _one(lambda proxy, now_s: proxy.dispatcher.oldest_wait_s(now_s)),
    ),
    _OfService(
        Metric(
            "inflight_quote_hits_total",
            "counter",
            (*SERVICE, "hit"),
            "requests with a [quoted wait](../explanation/quotes.md) that started within the P90 of their first quote "
            "(`kept`), or that did not (`missed`)",
        ),
        _by_hit,
    ),
    _OfService(
        Metric(
            "gateway_class_queued_requests",
            "gauge",
            (*SERVICE, "class"),
            "requests that wait, by [priority class](../how-to/priority-and-fairness.md). Only of services "
            "with `traffic.priority`",
        ),
        _by_class,
    ),
    _OfService(
        Metric(
            "gateway_hinted_requests",
            "gauge",
            SERVICE,
            "requests that are [announced](../how-to/hints.md), count now and have not arrived. This and the next two "
            "are only of services with `hints`",
        ),
        _hinted,
    ),
    _OfService(
        Metric("gateway_announced_requests_total", "counter", SERVICE, "requests that were announced"),
        _announced,
    ),
    _OfService(
        Metric(
            "gateway_announced_requests_ended_total",
            "counter",
            (*SERVICE, "end"),
            "announced requests that `arrived`, that `expired` without, that their client announced anew (`replaced`), "
            "or that were too many (`refused`)",
        ),
        _by_hint_end,
    ),
    _OfService(
        Metric("gateway_passing_requests", "gauge", SERVICE, "requests of the class Pass that are held or open"),
        _one(lambda proxy, _: proxy.dispatcher.passing),
    ),
    _OfService(
        Metric("gateway_passed_requests_total", "counter", SERVICE, "requests of the class Pass that arrived"),
        _one(lambda proxy, _: proxy.dispatcher.passed_total),
    ),
    _OfService(
        Metric(
            "gateway_warm_ups_total",
            "counter",
            (*SERVICE, "outcome"),
            "warm-ups of pods that `succeeded`, `failed` (an error, or the connection broke off), or took "
            "longer than `traffic.warmUp.timeout` (`timeout`)",
        ),
        _by_warm_up,
    ),
    _OfService(
        Metric("gateway_websocket_open", "gauge", SERVICE, "open WebSockets"),
        _one(lambda proxy, _: proxy.counts.tunnels),
    ),
    _OfService(
        Metric(
            "gateway_pod_running_requests",
            "gauge",
            (*SERVICE, "pod"),
            "counted requests that a pod runs, with its jobs if `traffic.busy` is set",
        ),
        _by_pod,
    ),
    _OfService(
        Metric(
            "gateway_retries_total",
            "counter",
            SERVICE,
            "requests that a pod refused and that went on to another pod or waited again",
        ),
        _one(lambda proxy, _: proxy.counts.retries),
    ),
    _OfService(
        Metric(
            "gateway_abandoned_late_total",
            "counter",
            SERVICE,
            "requests that reached a pod although their client had disconnected in the queue",
        ),
        _one(lambda proxy, _: proxy.counts.abandoned_late),
    ),
    _OfService(
        Metric("gateway_pod_ejections_total", "counter", SERVICE, "pods that were ejected for their failures"),
        _one(lambda proxy, _: proxy.dispatcher.ejections_total),
    ),
    _OfService(
        Metric(
            "gateway_busy_poll_failures_total",
            "counter",
            SERVICE,
            "questions of `traffic.busy` that a pod did not answer",
        ),
        _one(lambda proxy, _: proxy.counts.failed_busy_polls),
    ),
)
_OF_PROCESS: tuple[tuple[Metric, Callable[[Router], float]], ...] = (
    (
        Metric("gateway_start_time_seconds", "gauge", (), "when the gateway started, as Unix time"),
        lambda gateway: gateway.started_s,
    ),
    (Metric("gateway_memory_bytes", "gauge", (), "memory in use"), lambda gateway: gateway.overload.used_bytes),
    (
        Metric("gateway_memory_limit_bytes", "gauge", (), "the memory limit; 0 is none"),
        lambda gateway: gateway.overload.limit_bytes or 0,
    ),
    (
        Metric("gateway_overloaded", "gauge", (), "1 while new requests are refused for lack of memory"),
        lambda gateway: gateway.overload.active,
    ),
    (
        Metric("gateway_held_body_bytes", "gauge", (), "use of the budget for bodies of held requests"),
        lambda gateway: gateway.body_budget.taken_bytes,
    ),
    (
        Metric(
            "gateway_response_backlog_bytes", "gauge", (), "use of the budget for responses that clients have not read"
        ),
        lambda gateway: gateway.clients.backlog_budget.taken_bytes,
    ),
    (
        Metric("gateway_client_connections", "gauge", (), "open connections of clients"),
        lambda gateway: len(gateway.clients.connections),
    ),
    (
        Metric("gateway_client_connections_limit", "gauge", (), "how many connections clients may have"),
        lambda gateway: gateway.clients.limits.connections,
    ),
    (
        Metric("gateway_shed_connections_total", "counter", (), "idle connections that were closed to make room"),
        lambda gateway: gateway.clients.shed,
    ),
    (
        Metric(
            "gateway_stalled_clients_total",
            "counter",
            (),
            "clients that were disconnected because they read nothing for too long",
        ),
        lambda gateway: gateway.clients.stalled,
    ),
)
_HELD = _OfService(
    Metric(
        "gateway_held_slots",
        "gauge",
        SERVICE,
        "slots of lost gateways in which something may still run, at the owner of the service",
    ),
    _one(lambda proxy, _: 0 if proxy.shared is None else sum(proxy.shared.held.values())),
)
LOST_LOG_LINES = Metric(
    "gateway_log_lost_lines_total", "counter", (), "lines of the gateway's log that were lost because too many waited"
)
LOST_REQUEST_LOG_LINES = Metric(
    "gateway_request_log_lost_lines_total",
    "counter",
    (),
    "lines of the request log that were lost because too many waited",
)
LOST_SPANS = Metric(
    "gateway_lost_spans_total", "counter", (), "[spans](../how-to/traces.md) that did not reach their receiver"
)
TABLE = (
    *(each.metric for each in _OF_SERVICES),
    *(metric for metric, _ in _OF_PROCESS),
    *(metric for metric, _ in OF_GROUP),
    _HELD.metric,
    LOST_LOG_LINES,
    LOST_REQUEST_LOG_LINES,
    LOST_SPANS,
)
"""Every metric of a gateway, as the reference page lists them."""


def text(gateway: Router, form: Exposition) -> Iterator[bytes]:
    """Yield every metric, with one series for each current service, in pieces."""
    proxies = [
        (labels(namespace=proxy.config.namespace, service=proxy.config.service), proxy)
        for proxy in gateway.proxies.values()
    ]
    for metric, samples, with_exemplars in _OF_SERVICES if gateway.peers is None else (*_OF_SERVICES, _HELD):
        read = with_exemplars if form.is_openmetrics and with_exemplars is not None else samples
        yield from form.family(metric, _of_all(gateway, proxies, read))
    for metric, of_process in _OF_PROCESS:
        yield from form.family(metric, [("", float(of_process(gateway)))])
    for metric, of_log in gateway.process_metrics:
        yield from form.family(metric, [("", float(of_log()))])
    if gateway.peers is not None:
        for metric, of_group in OF_GROUP:
            yield from form.family(metric, of_group(gateway.peers))
    yield form.end()


def _of_all(gateway: Router, proxies: Iterable[tuple[str, ServiceProxy]], samples: Samples) -> Iterator[Sample]:
    for of, proxy in proxies:
        yield from samples(of, proxy, gateway.loop_time())
