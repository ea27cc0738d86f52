"""The reference load: workers in a closed loop, each of which sends its next request when the last one is answered.

hey sends it if it is installed; otherwise `run` does the same. hey prints either a summary or a line of CSV for each
response, so it is run for the CSV, and `hey_summary` prints the text that hey would have printed. Its CSV omits
requests without a response: only their number is known.
"""

import asyncio
import csv
import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import aiohttp

from autoscaler.demo.load_result import LoadResult, Response

HEY_HEADER = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
UNEXPLAINED = "no answer (hey's CSV does not say why)"


class LoadError(Exception):
    """The load could not be sent at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, in terms of hey's options; by default the reference load."""

    url: str
    requests: int = 50
    workers: int = 5
    timeout_s: float = 180.0
    """For each request; 0 means none. hey takes whole seconds, so the value is rounded up for it."""
    method: str = "POST"
    content_type: str = "application/json"
    body: str = '{"prompt": "pretty dog"}'
    host: str = ""
    """The Host header, if it is not that of the URL."""

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= self.requests:
            raise ValueError(f"a load needs 1 <= workers <= requests, not {self.workers} and {self.requests}")

    @property
    def sent(self) -> int:
        """The requests that are really sent: every worker sends the same number, without a remainder, as in hey."""
        return self.requests // self.workers * self.workers


async def run(load: Load) -> LoadResult:
    """Send the load with our own client."""
    clock = asyncio.get_running_loop().time
    begun_s = clock()
    answers: list[Response] = []
    errors: Counter[str] = Counter()

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in range(load.sent // load.workers):
            try:
                answers.append(await _ask(session, load, begun_s, clock))
            except (aiohttp.ClientError, TimeoutError) as error:
                errors[_reason(load, error)] += 1

    async with _session(load, clock) as session, asyncio.TaskGroup() as workers:
        for _ in range(load.workers):
            workers.create_task(work(session))
    return LoadResult(clock() - begun_s, tuple(answers), dict(errors))


async def run_hey(program: Path, load: Load) -> LoadResult:
    """Send the load with hey 0.1.4.

    Raises:
        LoadError: hey failed, or printed something unexpected.
    """
    clock = asyncio.get_running_loop().time
    begun_s = clock()
    output = await _output(program, *_hey_arguments(load))
    elapsed_s = clock() - begun_s
    answers = _hey_answers(output)
    missing = load.sent - len(answers)
    total_s = elapsed_s if missing else max(answer.offset_s + answer.latency_s for answer in answers)
    return LoadResult(total_s, answers, {UNEXPLAINED: missing} if missing else {})


# hey.


def _hey_arguments(load: Load) -> list[str]:
    options = {
        "-n": load.requests,
        "-c": load.workers,
        "-t": math.ceil(load.timeout_s),
        "-m": load.method,
        "-T": load.content_type,
        "-d": load.body,
        "-host": load.host,
        "-o": "csv",
    }
    return [word for option, value in options.items() if value != "" for word in (option, str(value))] + [load.url]


async def _output(*command: str | Path) -> str:
    """Run a program to its end; it is killed when we are cancelled."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise LoadError(f"{command[0]} cannot be started: {error.strerror}") from error
    try:
        output, complaint = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):  # Ctrl-C in a terminal is meant for it as well
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise LoadError(f"{command[0]} ended with status {process.returncode}: {complaint.decode().strip()}")
    return output.decode()


def _hey_answers(text: str) -> tuple[Response, ...]:
    """Read hey's CSV: times in seconds with four digits, in the order of Response."""
    header, *rows = text.splitlines() or [""]
    if header != HEY_HEADER:
        raise LoadError(f"hey printed what is no result: its first line is {header!r}")
    try:
        return tuple(starmap(_hey_answer, csv.reader(rows)))
    except (TypeError, ValueError) as error:
        raise LoadError(f"hey printed what is no result: {error}") from error


def _hey_answer(*columns: str) -> Response:
    *spans, status, offset = columns
    latency, dialup, dns, write, wait, read = map(float, spans)
    return Response(latency, dialup, dns, write, wait, read, int(status), float(offset))


# Our own client.


def _session(load: Load, clock: Callable[[], float]) -> aiohttp.ClientSession:
    headers = {"Content-Type": load.content_type} | ({"Host": load.host} if load.host else {})
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=load.workers),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=load.timeout_s or None),
        trace_configs=[_tracing(clock)],
    )


async def _ask(session: aiohttp.ClientSession, load: Load, begun_s: float, clock: Callable[[], float]) -> Response:
    stamps: dict[str, float] = {}
    sent_s = clock()
    async with session.request(load.method, load.url, data=load.body.encode(), trace_request_ctx=stamps) as answer:
        headed_s = clock()
        await answer.read()
    done_s = clock()
    written_s = stamps.get("written", sent_s)
    return Response(
        latency_s=done_s - sent_s,
        dialup_s=stamps.get("dialled", 0.0) - stamps.get("dialling", 0.0),
        dns_s=stamps.get("resolved", 0.0) - stamps.get("resolving", 0.0),
        write_s=written_s - stamps.get("dialled", sent_s),
        wait_s=headed_s - written_s,
        read_s=done_s - headed_s,
        status=answer.status,
        offset_s=sent_s - begun_s,
        size=answer.content_length or 0,
    )


def _tracing(clock: Callable[[], float]) -> aiohttp.TraceConfig:
    """Record the time of each step of a request in the dictionary of its trace context."""
    tracing = aiohttp.TraceConfig()

    def stamp(name: str) -> Callable[..., Any]:
        async def note(_session: object, context: Any, _step: object) -> None:
            context.trace_request_ctx[name] = clock()

        return note

    tracing.on_connection_create_start.append(stamp("dialling"))
    tracing.on_connection_create_end.append(stamp("dialled"))
    tracing.on_dns_resolvehost_start.append(stamp("resolving"))
    tracing.on_dns_resolvehost_end.append(stamp("resolved"))
    tracing.on_request_chunk_sent.append(stamp("written"))
    return tracing


def _reason(load: Load, error: Exception) -> str:
    timed_out = isinstance(error, TimeoutError)
    reason = f"no response within {load.timeout_s:g} s" if timed_out else str(error) or type(error).__name__
    return f'{load.method.capitalize()} "{load.url}": {reason}'
