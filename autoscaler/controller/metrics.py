"""The controller's metrics: the numbers of each service's last decision, and counts of writes and failures.

A number that is not in a decision record comes in through an argument of `text`, which `autoscaler.commands.run` calls.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from itertools import chain
from operator import attrgetter

from algorithms.types import Decision
from autoscaler.controller.accounting import BOUNDS_S, Accounting, Histogram, ServiceAccount
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.prometheus_text import Sample, family, labels

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
        self._decisions: dict[ServiceName, dict[str, int]] = {}

    def __call__(self, record: Record) -> None:
        """Keep the record."""
        self._records[record.service] = record
        rule, counts = deciding_rule(record.decision), self._decisions.setdefault(record.service, {})
        counts[rule] = counts.get(rule, 0) + 1
        failed = record.outcome is not None and record.outcome.error
        if failed or record.written is not None:
            key = record.service, "error" if failed else "ok"
            self._writes[key] = self._writes.get(key, 0) + 1

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._records.pop(service, None)
        self._decisions.pop(service, None)
        self._writes = {key: number for key, number in self._writes.items() if key[0] != service}

    def text(
        self,
        services: Container[ServiceName],
        *,
        leads: bool,
        failures: Mapping[str, int],
        of_services: Mapping[tuple[ServiceName, str], int] | None = None,
        accounting: Accounting | None = None,
    ) -> Iterator[bytes]:
        """Give all metrics as they are now, in pieces of Prometheus' text format.

        A record that arrives between two pieces is shown by the next scrape.

        Args:
            services: the services that exist; others are dropped.
            leads: whether this controller writes.
            failures: how many records each recorder has missed.
            of_services: how often each part of each service has failed.
            accounting: what services have used.
        """
        self._records = {name: record for name, record in self._records.items() if name in services}
        self._writes = {key: number for key, number in self._writes.items() if key[0] in services}
        self._decisions = {name: counts for name, counts in self._decisions.items() if name in services}
        decisions = {name: counts.copy() for name, counts in self._decisions.items()}
        return chain(
            _text(self._records.copy(), self._writes.copy(), dict(failures), dict(of_services or {}), leads=leads),
            family(
                "inflight_decisions_total",
                "counter",
                "Decisions by the last rule that changed the number",
                _by_rule(decisions),
            ),
            () if accounting is None else _used(accounting.accounts()),
        )


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


def _used(accounts: Mapping[ServiceName, ServiceAccount]) -> Iterator[bytes]:
    """Give what services have used; a service of which nothing ever ran has no series."""
    yield from family("inflight_gpu_seconds_total", "counter", "GPU time by state", _gpu_seconds(accounts))
    yield from family("inflight_cost_total", "counter", "What replicas have cost", _costs(accounts))
    yield from family("inflight_cold_start_seconds", "histogram", "Cold starts by stage", _cold_starts(accounts))


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
