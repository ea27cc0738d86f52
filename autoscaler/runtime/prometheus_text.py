"""Metrics as Prometheus reads them: each is declared once, and written as text or as OpenMetrics.

The text is written in pieces, so that other requests are served between two pieces. prometheus_client is not used: it
makes an object of every sample, which takes ten times the CPU time at ten thousand services, and tens of megabytes for
a moment. https://prometheus.io/docs/instrumenting/exposition_formats/,
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

PIECE = 1000
"""Samples in one piece, which takes a millisecond."""
SERVICE = ("namespace", "service")
"""The labels of what belongs to one service."""
_OPENMETRICS = "application/openmetrics-text"
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
_UNITS = ("seconds", "bytes")

Sample = tuple[str, float | str]
"""The text after a metric's name, such as `_sum{namespace="a",service="b"}`, and a finite number; in OpenMetrics it may
be a text of the number and an exemplar."""


class Metric(NamedTuple):
    """What there is to know of a metric; the reference page has a row for it."""

    name: str
    kind: str
    """gauge, counter or histogram. A counter's name ends in `_total`."""
    labels: tuple[str, ...]
    """Without a histogram's `le`."""
    meaning: str
    """In Markdown, for the page."""

    @property
    def unit(self) -> str:
        """The base unit with which its name ends; empty for a plain number."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in _UNITS else ""

    @property
    def plain(self) -> str:
        """Its meaning without Markdown and quotes, on one line."""
        return _LINK.sub(r"\1", self.meaning).replace("`", "").replace('"', "'")


class Exposition(NamedTuple):
    """A format of metrics."""

    content_type: str
    is_openmetrics: bool
    """Whether samples may have exemplars."""

    def family(self, metric: Metric, samples: Iterable[Sample]) -> Iterator[bytes]:
        """Write one metric."""
        name = metric.name
        yield self._head(metric).encode()
        samples = iter(samples)
        while lines := [f"{name}{rest} {number}\n" for rest, number in islice(samples, PIECE)]:
            yield "".join(lines).encode()

    def _head(self, metric: Metric) -> str:
        family = metric.name.removesuffix("_total") if self.is_openmetrics else metric.name
        unit = f"# UNIT {family} {metric.unit}\n" if self.is_openmetrics and metric.unit else ""
        return f"# HELP {family} {metric.plain}\n# TYPE {family} {metric.kind}\n{unit}"

    def end(self) -> bytes:
        """Return what follows the last metric."""
        return b"# EOF\n" if self.is_openmetrics else b""


TEXT = Exposition("text/plain; version=0.0.4; charset=utf-8", is_openmetrics=False)
OPENMETRICS = Exposition(f"{_OPENMETRICS}; version=1.0.0; charset=utf-8", is_openmetrics=True)


def asked_for(accept: str) -> Exposition:
    """Return the format for a scraper, by its `Accept`: OpenMetrics if it names that, text if it does not."""
    named = (each.partition(";")[0].strip().lower() for each in accept.split(","))
    return OPENMETRICS if _OPENMETRICS in named else TEXT


def labels(**values: str) -> str:
    """Write labels without braces, so that more can be added."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
