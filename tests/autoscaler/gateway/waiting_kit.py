"""What the tests of waiting clients share: estimates that the test gives, and curl."""

import asyncio
import json
import subprocess
from typing import NamedTuple

from gateway_kit import HOST


class Quote(NamedTuple):
    position: int
    p50_s: float
    p90_s: float


class Quotes:
    """Quotes what the test says."""

    def __init__(self, quote):
        self.answer = quote
        self.asked = []

    def quote(self, request):
        self.asked.append(request)
        return self.answer


def timing(message):
    """Read `Server-Timing` as milliseconds by name."""
    value = message.get(b"Server-Timing").decode()
    return {name: float(duration) for name, _, duration in (part.partition(";dur=") for part in value.split(", "))}


async def curl(gateway, path, *options):
    """What curl says of an answer, with its body."""
    command = ["curl", "--silent", "--write-out", "\n%{json}", "--header", f"Host: {HOST}", *options]
    process = await asyncio.create_subprocess_exec(
        *command, f"http://127.0.0.1:{gateway.port}{path}", stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    body, _, said = out.decode().rpartition("\n")
    return {**json.loads(said), "body": body}
