"""The controller's metrics: the numbers of each service's last decision, and counts of writes and failures.

A number that is not in a decision record comes in through an argument of `text`, which `autoscaler.commands.run` calls.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from operator import attrgetter

from algorithms.types import Decision
from autoscaler.controller.accounting import BOUNDS_S, Accounting, Histogram, ServiceAccount
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.prometheus_text import SERVICE, TEXT, Exposition, Metric, Sample, labels

_LEADER = Metric("inflight_controller_leader", "gauge", (), "1 while this controller writes; 0 for the other one")
_FOREIGN_WRITER = frozenset({"foreignWriter", "replicasContested"})


def _has(record: Record, rules: AbstractSet[str]) -> bool:
    return any(reason.rule in rules for reason in record.decision.reasons)


def _gauge(name: str, meaning: str) -> Metric:
    return Metric(name, "gauge", SERVICE, meaning)


GAUGES: tuple[tuple[Metric, Callable[[Record], int | None]], ...] = (
    (_gauge("inflight_desired_replicas", "desired replicas, of the last decision"), attrgetter("decision.desired")),
    (
        _gauge(
            "inflight_recommended_replicas",
            "replicas that the algorithm asks for, before any rule. No sample while the count is unknown",
        ),
        attrgetter("decision.recommendation.replicas"),
    ),
    (
        _gauge("inflight_replicas", "replicas asked for (`spec.replicas`), as the last decision found them"),
        attrgetter("observation.replicas"),
    ),
    (_gauge("inflight_ready_replicas", "pods that can serve"), attrgetter("observation.ready")),
    (_gauge("inflight_starting_replicas", "pods that exist and are not ready"), attrgetter("observation.starting")),
    (
        _gauge(
            "inflight_unplaced_replicas",
            "replicas asked for that have no place: no node has room, or Kubernetes does not create their pods",
        ),
        attrgetter("observation.unplaced"),
    ),
    (
        _gauge("inflight_count_unknown", "1 while the count of requests in flight is unknown"),
        lambda record: int(record.observation.inflight is None),
    ),
    (
        _gauge("inflight_at_max", "1 while `maxReplicas` keeps the number below what is recommended"),
        lambda record: int(_has(record, {"maxReplicas"})),
    ),
    (
        _gauge(
            "inflight_foreign_writer",
            "1 while the number of [another writer](../how-to/troubleshooting.md) holds",
        ),
        lambda record: int(_has(record, _FOREIGN_WRITER)),
    ),
)
"""Gauges of a service, with what gives the number; one whose number is unknown has no sample."""
_CANDIDATES = Metric(
    "inflight_candidate_desired_replicas",
    "gauge",
    (*SERVICE, "candidate"),
    "what a [candidate](../how-to/candidates.md) of the policy would ask for",
)
_WRITES = Metric(
    "inflight_controller_writes_total",
    "counter",
    (*SERVICE, "result"),
    "replica counts that were written (`ok`) or could not be (`error`)",
)
_SERVICE_FAILURES = Metric(
    "inflight_controller_service_failures_total",
    "counter",
    (*SERVICE, "part"),
    "errors in the work for one service, by the [part](#parts) that failed",
)
_RECORDER_FAILURES = Metric(
    "inflight_controller_recorder_failures_total",
    "counter",
    ("recorder",),
    "decision records that a recorder could not take, such as `DecisionLog` on a full disk",
)
_DECISIONS = Metric(
    "inflight_decisions_total",
    "counter",
    (*SERVICE, "rule"),
    "decisions, by the last rule that changed the number. `recommendation` if none changed it, `unknown` if "
    "the count was unknown and the number was held",
)
_DRAINS = Metric(
    "inflight_drain_problems_total",
    "counter",
    (*SERVICE, "rule"),
    "scale-downs that did not go as planned, by the reason in the [decision log](decision-log.md): "
    "`drainUnconfirmed`, `podsBusy`, `podsUnknown`, `drainCancelled`",
)
_GPU_SECONDS = Metric(
    "inflight_gpu_seconds_total",
    "counter",
    (*SERVICE, "state"),
    "GPU time by [state](#gpu-time-cost-and-cold-starts): `starting`, `busy`, `idle`, `draining`",
)
_COST = Metric(
    "inflight_cost_total",
    "counter",
    (*SERVICE, "currency"),
    "what the replicas have cost. Only of services whose policy has a `cost`",
)
_COLD_STARTS = Metric(
    "inflight_cold_start_seconds",
    "histogram",
    (*SERVICE, "stage"),
    "measured [cold starts](#gpu-time-cost-and-cold-starts) by stage, and as a whole (`total`)",
)
_LOST_SPANS = Metric(
    "inflight_controller_lost_spans_total",
    "counter",
    (),
    "[spans](../how-to/traces.md) that did not reach their receiver",
)
TABLE = (
    _LEADER,
    *(metric for metric, _ in GAUGES),
    *(_CANDIDATES, _WRITES, _SERVICE_FAILURES, _RECORDER_FAILURES, _DECISIONS, _DRAINS),
    *(_GPU_SECONDS, _COST, _COLD_STARTS),
    _LOST_SPANS,
)
"""Every metric of the controller, as the reference page lists them."""


class ControllerMetrics:
    """A recorder that keeps the numbers of `/metrics`."""

    def __init__(self) -> None:
        self._records: dict[ServiceName, Record] = {}
        self._writes: dict[tuple[ServiceName, str], int] = {}
        self._decisions: dict[ServiceName, dict[str, int]] = {}
        self._drains: dict[ServiceName, dict[str, int]] = {}

    def __call__(self, record: Record) -> None:
        """Keep the record."""
        self._records[record.service] = record
        _count(self._decisions, record.service, deciding_rule(record.decision))
        for reason in record.outcome.drain if record.outcome else ():
            _count(self._drains, record.service, reason.rule)
        failed = record.outcome is not None and record.outcome.error
        if failed or record.written is not None:
            key = record.service, "error" if failed else "ok"
            self._writes[key] = self._writes.get(key, 0) + 1

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._records.pop(service, None)
        self._decisions.pop(service, None)
        self._drains.pop(service, None)
        self._writes = {key: number for key, number in self._writes.items() if key[0] != service}

    def text(
        self,
        services: Container[ServiceName],
        *,
        leads: bool,
        failures: Mapping[str, int],
        of_services: Mapping[tuple[ServiceName, str], int] | None = None,
        accounting: Accounting | None = None,
        lost_spans: int = 0,
        form: Exposition = TEXT,
    ) -> Iterator[bytes]:
        """Give all metrics as they are now, in pieces.

        A record that arrives between two pieces is shown by the next scrape.

        Args:
            services: the services that exist; others are dropped.
            leads: whether this controller writes.
            failures: how many records each recorder has missed.
            of_services: how often each part of each service has failed.
            accounting: what services have used.
            lost_spans: spans that did not reach their receiver.
            form: the format.
        """
        self._records = {name: record for name, record in self._records.items() if name in services}
        self._writes = {key: number for key, number in self._writes.items() if key[0] in services}
        self._decisions = _of(services, self._decisions)
        self._drains = _of(services, self._drains)
        records, writes = self._records.copy(), self._writes.copy()
        return chain(
            _text(form, records, writes, dict(failures), dict(of_services or {}), leads=leads),
            form.family(_DECISIONS, _by_rule(_of(services, self._decisions))),
            form.family(_DRAINS, _by_rule(_of(services, self._drains))),
            () if accounting is None else _used(form, accounting.accounts()),
            form.family(_LOST_SPANS, [("", lost_spans)]),
            [form.end()],
        )


def _text(
    form: Exposition,
    records: Mapping[ServiceName, Record],
    writes: Mapping[tuple[ServiceName, str], int],
    failures: Mapping[str, int],
    of_services: Mapping[tuple[ServiceName, str], int],
    *,
    leads: bool,
) -> Iterator[bytes]:
    yield from form.family(_LEADER, [("", int(leads))])
    services = [f"{{{_labels(service)}}}" for service in records]
    for metric, number in GAUGES:
        yield from form.family(metric, _known(zip(services, map(number, records.values()), strict=True)))
    yield from form.family(
        _CANDIDATES,
        (
            (f"{{{_labels(service)},{labels(candidate=name)}}}", decision.desired)
            for service, record in records.items()
            for name, decision in record.candidates
        ),
    )
    yield from form.family(
        _WRITES, ((f'{{{_labels(service)},result="{result}"}}', number) for (service, result), number in writes.items())
    )
    yield from form.family(
        _RECORDER_FAILURES, ((f"{{{labels(recorder=recorder)}}}", number) for recorder, number in failures.items())
    )
    yield from form.family(
        _SERVICE_FAILURES,
        ((f"{{{_labels(service)},{labels(part=part)}}}", number) for (service, part), number in of_services.items()),
    )


def _known(samples: Iterable[tuple[str, int | None]]) -> Iterator[Sample]:
    return ((of, number) for of, number in samples if number is not None)


def _labels(service: ServiceName) -> str:
    namespace, _, name = service.partition("/")
    return labels(namespace=namespace, service=name)


def _count(counts: dict[ServiceName, dict[str, int]], service: ServiceName, rule: str) -> None:
    of_service = counts.setdefault(service, {})
    of_service[rule] = of_service.get(rule, 0) + 1


def _of(
    services: Container[ServiceName], counts: Mapping[ServiceName, dict[str, int]]
) -> dict[ServiceName, dict[str, int]]:
    """Copy the counts of services that exist."""
    return {name: each.copy() for name, each in counts.items() if name in services}


def deciding_rule(decision: Decision) -> str:
    """Name the last rule that changed the number; the recommendation if none did, or unknown if there is none."""
    for reason in reversed(decision.reasons):
        if reason.before != reason.after:
            return reason.rule
    return "unknown" if decision.recommendation.replicas is None else "recommendation"


def _by_rule(decisions: Mapping[ServiceName, Mapping[str, int]]) -> Iterator[Sample]:
    for service, counts in decisions.items():
        of = _labels(service)
        for rule, number in counts.items():
            yield f'{{{of},rule="{rule}"}}', number


def _used(form: Exposition, accounts: Mapping[ServiceName, ServiceAccount]) -> Iterator[bytes]:
    """Give what services have used; a service of which nothing ever ran has no series."""
    yield from form.family(_GPU_SECONDS, _gpu_seconds(accounts))
    yield from form.family(_COST, _costs(accounts))
    yield from form.family(_COLD_STARTS, _cold_starts(accounts))


def _gpu_seconds(accounts: Mapping[ServiceName, ServiceAccount]) -> Iterator[Sample]:
    for service, account in accounts.items():
        for state, seconds in account.gpu_seconds.items():
            yield f'{{{_labels(service)},state="{state}"}}', seconds


def _costs(accounts: Mapping[ServiceName, ServiceAccount]) -> Iterator[Sample]:
    for service, account in accounts.items():
        for currency, amount in account.cost.items():
            yield f'{{{_labels(service)},currency="{currency}"}}', amount


def _cold_starts(accounts: Mapping[ServiceName, ServiceAccount]) -> Iterator[Sample]:
    for service, account in accounts.items():
        for stage, histogram in account.stages.items():
            yield from _histogram(f'{_labels(service)},stage="{stage}"', histogram)


def _histogram(of: str, histogram: Histogram) -> Iterator[Sample]:
    number = 0
    for bound, count in zip((*BOUNDS_S, "+Inf"), histogram.counts, strict=True):
        number += count
        yield f'_bucket{{{of},le="{bound}"}}', number
    yield f"_count{{{of}}}", number
    yield f"_sum{{{of}}}", histogram.sums[0]
