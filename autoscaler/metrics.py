"""What the controller says of itself to Prometheus, in its own names: numbers of each service's last decision.

The text format is written here: prometheus_client makes objects of every sample, which takes ten times the CPU time at
ten thousand services, and tens of megabytes for a moment.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter

from autoscaler.ports import Record, ServiceName

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/."""

_PIECE = 1000
"""Lines that are written at a stretch, half a millisecond."""
_GAUGES: tuple[tuple[str, str, Callable[[Record], int]], ...] = (
    ("inflight_desired_replicas", "Replicas that should be", attrgetter("decision.desired")),
    ("inflight_replicas", "Replicas asked for", attrgetter("look.replicas")),
    ("inflight_ready_replicas", "Replicas that can serve", attrgetter("look.ready")),
    ("inflight_count_unknown", "1 while the count is not known", lambda record: record.look.inflight is None),
)


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

    def text(self, services: Container[ServiceName], *, leads: bool, failures: Mapping[str, int]) -> Iterator[bytes]:
        """Give all of it as it is now, of those services that there still are, as `CONTENT_TYPE`.

        It comes in pieces of half a millisecond; what is decided between two of them is shown the next time.

        Args:
            services: those that there are.
            leads: whether this controller writes.
            failures: how many records each recorder could not take.
        """
        self._records = {name: record for name, record in self._records.items() if name in services}
        return _text(self._records.copy(), self._writes.copy(), dict(failures), leads=leads)


def _text(
    records: Mapping[ServiceName, Record],
    writes: Mapping[tuple[ServiceName, str], int],
    failures: Mapping[str, int],
    *,
    leads: bool,
) -> Iterator[bytes]:
    yield from _family("inflight_controller_leader", "gauge", "1 while this controller writes", [("", leads)])
    labels = [f"{{{_labels(service)}}}" for service in records]
    for name, meaning, number in _GAUGES:
        yield from _family(name, "gauge", meaning, zip(labels, map(number, records.values()), strict=True))
    yield from _family(
        "inflight_controller_writes_total",
        "counter",
        "Orders that were given",
        ((f'{{{_labels(service)},result="{result}"}}', number) for (service, result), number in writes.items()),
    )
    yield from _family(
        "inflight_controller_recorder_failures_total",
        "counter",
        "Records that a recorder could not take",
        ((f'{{recorder="{_escaped(recorder)}"}}', number) for recorder, number in failures.items()),
    )


def _family(name: str, kind: str, meaning: str, samples: Iterable[tuple[str, int]]) -> Iterator[bytes]:
    """Write one metric; each sample is its labels with their braces, and a whole number."""
    yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n".encode()
    samples = iter(samples)
    while lines := [f"{name}{labels} {number:d}\n" for labels, number in islice(samples, _PIECE)]:
        yield "".join(lines).encode()


def _labels(service: ServiceName) -> str:
    namespace, _, name = _escaped(service).partition("/")
    return f'namespace="{namespace}",service="{name}"'


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
