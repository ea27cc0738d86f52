"""Prometheus' text format, written in pieces, so that other requests are served between two pieces.

prometheus_client is not used: it makes an object of every sample, which takes ten times the CPU time at ten thousand
services, and tens of megabytes for a moment. https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from aiohttp import web

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


async def respond(request: web.Request, text: Iterable[bytes]) -> web.StreamResponse:
    """Respond to a scrape; a client that disconnects is no error."""
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    with suppress(ConnectionError):
        await response.prepare(request)
        for piece in text:
            await response.write(piece)
            await asyncio.sleep(0)
    return response
