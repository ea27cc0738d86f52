"""The gateway beside other proxies: CPU time for each request, added latency, and memory of held requests.

Each proxy runs alone on one core with wrk and a Go origin on the other. CPU per request is the robust figure; the
others are times on a machine that is not idle otherwise.
"""

import asyncio
import itertools
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.server import GatewayServer
from autoscaler.runtime import programs
from benchmarks.figures import report
from benchmarks.proxies import HOST, OTHERS_CORE, Running, free_port, gateway, others, peers_binary, started

CONNECTIONS = 50
SECONDS = 5
ROUNDS = 3
HELD = 10_000
RATE = 500
GIGABYTE = 1 << 30
Row = dict[str, Any]


def cpu_per_request(wrk: Path, proxy: Running, headers: Sequence[str] = ()) -> tuple[float, float]:
    """Measure the CPU microseconds of a small GET, and requests per second."""
    before = proxy.cpu_s()
    more = [word for header in headers for word in ("-H", header)]
    command = [str(wrk), "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", *more, f"http://{HOST}:{proxy.port}/"]
    out = subprocess.run(["taskset", "-c", OTHERS_CORE, *command], check=True, capture_output=True, text=True).stdout  # noqa: S603, S607
    if "Non-2xx" in out:
        raise RuntimeError(f"{proxy.name} answered with errors:\n{out}")
    requests = int(re.findall(r"(\d+) requests in", out)[0])
    return (proxy.cpu_s() - before) / requests * 1e6, requests / SECONDS


def side_by_side(folder: Path, peers: Path, origin: str) -> list[Row]:
    """Measure all proxies in turn, in several rounds, so that noise affects all of them."""
    wrk = programs.find("wrk")
    if wrk is None:
        print("wrk: not found, CPU per request left out (Debian: wrk)")
        return []
    with ExitStack() as stack:
        proxies = [stack.enter_context(gateway(folder, [origin])), *others(stack, folder, peers, origin)]
        figures: dict[str, list[tuple[float, float]]] = {proxy.name: [] for proxy in proxies}
        for _ in range(ROUNDS):
            for proxy in proxies:
                figures[proxy.name].append(cpu_per_request(wrk, proxy))
    cpu = {name: statistics.median(each[0] for each in rounds) for name, rounds in figures.items()}
    rate = {name: statistics.median(each[1] for each in rounds) for name, rounds in figures.items()}
    return [
        {"proxy": name, "CPU us per request": cpu[name], "to go": cpu[name] / cpu["go"], "requests per s": rate[name]}
        for name in figures
    ]


async def get(port: int, target: str = "/") -> float:
    """Send one request on a new connection and give its time in ms, without the time to connect."""
    reader, writer = await asyncio.open_connection(HOST, port)
    begun = time.perf_counter()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    took = (time.perf_counter() - begun) * 1000
    writer.close()
    return took


async def paced(port: int) -> list[float]:
    """Send requests at a constant rate."""
    tasks = []
    begun = time.perf_counter()
    for n in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, begun + n / RATE - time.perf_counter()))
        tasks.append(asyncio.ensure_future(get(port)))
    return await asyncio.gather(*tasks)


def percentile(values: list[float], percent: int) -> float:
    """Give a percentile of some values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


async def added_latency(folder: Path, origin: str) -> list[Row]:
    """Measure the latency that the gateway adds to requests at a constant rate."""
    with gateway(folder, [origin]) as proxy:
        direct = await paced(int(origin.rpartition(":")[2]))
        through = await paced(proxy.port)
    return [
        {"figure": f"added at {RATE}/s, P{p}", "value": percentile(through, p) - percentile(direct, p), "unit": "ms"}
        for p in (50, 99)
    ]


def by_hey(port: int) -> dict[int, float]:
    """Send requests at the same rate with hey, which reports tenths of a millisecond."""
    hey = programs.find("hey")
    workers = 10
    command = [str(hey), "-z", f"{SECONDS}s", "-c", str(workers), "-q", str(RATE // workers), f"http://{HOST}:{port}/"]
    out = subprocess.run(["taskset", "-c", OTHERS_CORE, *command], check=True, capture_output=True, text=True).stdout  # noqa: S603, S607
    return {int(p): float(s) * 1000 for p, s in re.findall(r"(\d+)%+ in ([0-9.]+) secs", out)}


async def added_as_hey_sees_it(folder: Path, origin: str) -> list[Row]:
    """Measure the latency that the gateway adds to a request on a kept-alive connection."""
    with gateway(folder, [origin]) as proxy:
        direct = await asyncio.to_thread(by_hey, int(origin.rpartition(":")[2]))
        through = await asyncio.to_thread(by_hey, proxy.port)
    return [
        {"figure": f"added at {RATE}/s by hey, kept alive, P{p}", "value": through[p] - direct[p], "unit": "ms"}
        for p in (50, 99)
    ]


async def hand_over(folder: Path, origin: str) -> list[Row]:
    """Measure how long a pod is idle between two requests while others wait, by the pod's clock."""
    async with asyncio.timeout(120):
        with gateway(folder, [origin], concurrency=1) as proxy:
            answers = await asyncio.gather(*(body(proxy.port, "/work") for _ in range(100)))
    spans = sorted(tuple(map(int, answer.split())) for answer in answers)
    gaps = [(begin - end) / 1e6 for (_, end), (begin, _) in itertools.pairwise(spans)]
    return [{"figure": "hand-over of a slot, P99", "value": percentile(gaps, 99), "unit": "ms"}]


async def body(port: int, target: str) -> bytes:
    """Send one POST and give the body of the response."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).rpartition(b"\r\n\r\n")[2]
    writer.close()
    return answer


async def queued(proxy: Running) -> int:
    """Read the number of queued requests."""
    reader, writer = await asyncio.open_connection(HOST, proxy.metrics_port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return int(float(re.findall(r'inflight_requests\{.*state="queued"\} (\S+)', text)[0]))


async def until_queued(proxy: Running, number: int) -> float:
    """Wait until this many requests are queued, and give how long that took, in s."""
    begun = time.perf_counter()
    while await queued(proxy) != number:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return time.perf_counter() - begun


async def held(folder: Path) -> list[Row]:
    """Measure the memory of ten thousand held requests, and how soon counts are right after all clients disconnect."""
    with gateway(folder, [], queue=2 * HELD) as proxy:
        await until_queued(proxy, 0)
        before = proxy.rss_bytes()
        writers = []
        for _ in range(HELD):
            _, writer = await asyncio.open_connection(HOST, proxy.port)
            writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            writers.append(writer)
        await until_queued(proxy, HELD)
        each = (proxy.rss_bytes() - before) / HELD / 1024
        for writer in writers:
            writer.transport.abort()
        vanished = await until_queued(proxy, 0)
    return [
        {"figure": f"memory per held request, {HELD} held", "value": each, "unit": "KB"},
        {"figure": f"{HELD} clients vanish, counts right after", "value": vanished, "unit": "s"},
    ]


async def first_byte() -> list[Row]:
    """Measure the time from a pod's start to listen until it gets the first byte of a held request."""
    times = []
    port = free_port()
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        arrived.put_nowait(time.perf_counter())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    proxy = GatewayServer({"b/b": GatewayService("b/b", (HOST,), Limits())})
    await proxy.start(0, 0, [HOST])
    server = await asyncio.start_server(pod, HOST, port)
    for _ in range(100):
        asking = asyncio.ensure_future(get(proxy.port))
        while not proxy.dispatcher("b/b").queued:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        begun = time.perf_counter()
        proxy.set_backends("b/b", {"p": f"{HOST}:{port}"})
        times.append((await arrived.get() - begun) * 1000)
        await asking
        proxy.set_backends("b/b", {})
    server.close()
    await proxy.stop()
    return [{"figure": "pod known to first byte there, P99", "value": percentile(times, 99), "unit": "ms"}]


async def gigabyte(folder: Path, origin: str) -> list[Row]:
    """Measure how memory grows with a body of 1 GB, as an upload and as a download."""
    with gateway(folder, [origin]) as proxy:
        await get(proxy.port)
        before, most = proxy.rss_bytes(), 0
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {GIGABYTE}\r\n\r\n".encode())
        block = b"x" * (1 << 20)
        for _ in range(GIGABYTE // len(block)):
            writer.write(block)
            await writer.drain()
            most = max(most, proxy.rss_bytes())
        await reader.readuntil(str(GIGABYTE).encode())
        writer.write(f"GET /download?bytes={GIGABYTE} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        while await reader.read(1 << 20):
            most = max(most, proxy.rss_bytes())
        writer.close()
        took = time.perf_counter() - begun
    return [
        {"figure": "memory growth, 1 GB up and down", "value": (most - before) / (1 << 20), "unit": "MB"},
        {"figure": "throughput of both", "value": 2 * GIGABYTE / took / 1e6, "unit": "MB/s"},
    ]


def main() -> None:
    """Measure everything and report it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = peers_binary(folder)
        port = free_port()
        origin = f"{HOST}:{port}"
        with started("origin", port, OTHERS_CORE, [peers, "origin", origin]):
            parts: list[Callable[[], Coroutine[None, None, list[Row]]]] = [
                lambda: added_latency(folder, origin),
                lambda: added_as_hey_sees_it(folder, origin),
                lambda: hand_over(folder, origin),
                first_byte,
                lambda: held(folder),
                lambda: gigabyte(folder, origin),
            ]
            rows = [row for part in parts for row in uvloop.run(part())]
            compared = side_by_side(folder, peers, origin)
    report("gateway", rows)
    if compared:
        report("gateway_cpu", compared)


if __name__ == "__main__":
    main()
