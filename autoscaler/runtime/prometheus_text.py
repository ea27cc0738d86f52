"""Prometheus' text format, written in pieces, so that other requests are served between two pieces.

prometheus_client is not used: it makes an object of every sample, which takes ten times the CPU time at ten thousand
services, and tens of megabytes for a moment. https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator
from itertools import islice

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PIECE = 1000
"""Samples in one piece, which takes a millisecond."""

Sample = tuple[str, float]
"""The text after a metric's name, such as `_sum{namespace="a",service="b"}`, and a finite number."""


def family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> Iterator[bytes]:
    """Write one metric; a counter's name ends in `_total`."""
    yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n".encode()
    samples = iter(samples)
    while lines := [f"{name}{rest} {number}\n" for rest, number in islice(samples, PIECE)]:
        yield "".join(lines).encode()


def labels(**values: str) -> str:
    """Write labels without braces, so that more can be added."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
