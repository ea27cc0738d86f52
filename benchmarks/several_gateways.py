"""Three gateways on one machine: what a request costs whose slot another gateway grants, and what each gateway adds.

The owner of a service grants its own clients their slots itself. A client of another gateway gets its slot by a claim.
Each figure compares two kinds in turns, so that noise affects both. The gateways share one core, because the other one
has the clients and the pod: so throughput is given per second of CPU.
"""

import asyncio
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from autoscaler.gateway.peers.roster import Roster
from autoscaler.runtime import programs
from autoscaler.testing import policy_document
from benchmarks.figures import report
from benchmarks.proxies import HOST, OTHERS_CORE, PROXY_CORE, Running, free_port, gateway_command, peers_binary, started

NAMES = "abc"
SERVICES = 12
ROUNDS = 7
REQUESTS = 500
SECONDS = 2
CONNECTIONS = 30
IDLE_S = 20
Row = dict[str, Any]


class Gateways:
    """Gateways with one configuration; without peers each is alone."""

    def __init__(self, running: dict[str, Running], owned: dict[str, list[str]]) -> None:
        self.running = running
        self.owned = owned
        """The hosts of the services that each owns."""

    def cpu_s(self) -> float:
        """The CPU seconds of all of them."""
        return sum(each.cpu_s() for each in self.running.values())


def start(stack: ExitStack, folder: Path, origin_port: int, names: Sequence[str]) -> Gateways:
    """Start gateways, and wait until each is a member."""
    folder.mkdir()
    config, roster = folder / "config.yaml", folder / "roster"
    config.write_text("\n---\n".join(map(json.dumps, (_policy(number, origin_port) for number in range(SERVICES)))))
    peers = ",".join(f"{name}={HOST}:{free_port()}" for name in names)
    running = {}
    for name in names:
        port, metrics_port = free_port(), free_port()
        command = gateway_command(config, port, metrics_port)
        if len(names) > 1:
            command += ["--name", name, "--peers", peers, "--roster", str(roster)]
        running[name] = stack.enter_context(started(name, port, PROXY_CORE, command))
        running[name].metrics_port = metrics_port
    owners = _owners(roster, names)
    return Gateways(running, {name: [host for host, owner in owners.items() if owner == name] for name in names})


def _policy(number: int, origin_port: int) -> dict[str, Any]:
    traffic = {"hosts": [f"s{number}.example"], "queue": {"maxLength": 1000}}
    backends = [f"127.0.0.{number + 1}:{origin_port}"]
    return policy_document(f"s{number}", backends=backends, containerConcurrency=1000, traffic=traffic)


def _owners(roster: Path, names: Sequence[str]) -> dict[str, str]:
    """Give the owner of each host, once all gateways are members."""
    services = {f"s{number}.example": f"default/s{number}" for number in range(SERVICES)}
    if len(names) == 1:
        return dict.fromkeys(services, names[0])
    for _ in range(200):
        found = Roster.from_json(json.loads(roster.read_text())) if roster.exists() else None
        if found is not None and len(found.members) == len(names):
            time.sleep(3)  # until the last epoch is settled
            return {host: found.owner(service) or "" for host, service in services.items()}
        time.sleep(0.1)
    raise TimeoutError("the gateways do not become members")


# Latency.


async def times_ms(port: int, host: str) -> list[float]:
    """Send requests on one connection, one after the other."""
    reader, writer = await asyncio.open_connection(HOST, port)
    times = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", head)[0]))
        times.append((time.perf_counter() - begun) * 1000)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode("latin-1"))
    writer.close()
    return times


def latency(gateways: Gateways) -> list[Row]:
    """Compare the latency of requests at the owner of a service and at another gateway."""
    own, other, host = _two(gateways)
    rounds = [(uvloop.run(times_ms(own.port, host)), uvloop.run(times_ms(other.port, host))) for _ in range(ROUNDS)]
    rows = []
    for name, of in (("P50", statistics.median), ("P99", lambda times: statistics.quantiles(times, n=100)[98])):
        pairs = [(of(each), of(claimed)) for each, claimed in rounds]
        rows.append(_row(f"latency, {name}, ms", pairs))
        rows.append({"figure": f"added by a claim, {name}, ms", "claimed": _median(pairs, lambda a, b: b - a)})
    return rows


def _two(gateways: Gateways) -> tuple[Running, Running, str]:
    """Give the owner of a service, another gateway, and the service's host."""
    owner = next(name for name, hosts in gateways.owned.items() if hosts)
    other = next(name for name in gateways.running if name != owner)
    return gateways.running[owner], gateways.running[other], gateways.owned[owner][0]


# CPU.


def load(running: Running, host: str, connections: int = CONNECTIONS) -> subprocess.Popen[str]:
    """Begin to send requests for a host to a gateway."""
    wrk = programs.find("wrk")
    if wrk is None:
        raise FileNotFoundError("wrk: not found (Debian: wrk)")
    to = f"http://{HOST}:{running.port}/"
    command = [
        "taskset",
        "-c",
        OTHERS_CORE,
        str(wrk),
        "-t1",
        f"-c{connections}",
        f"-d{SECONDS}s",
        "-H",
        f"Host: {host}",
    ]
    return subprocess.Popen([*command, to], stdout=subprocess.PIPE, text=True)  # noqa: S603


def cpu_per_request(gateways: Gateways, loads: Sequence[tuple[Running, str]]) -> float:
    """Give the CPU microseconds of all gateways for each request."""
    before = gateways.cpu_s()
    begun = [load(running, host, CONNECTIONS // len(loads)) for running, host in loads]
    outputs = [each.communicate()[0] for each in begun]
    if any("Non-2xx" in output for output in outputs):
        raise RuntimeError("\n".join(outputs))
    requests = sum(int(re.findall(r"(\d+) requests in", output)[0]) for output in outputs)
    return (gateways.cpu_s() - before) / requests * 1e6


def cpu(gateways: Gateways) -> Row:
    """Compare the CPU of requests at the owner of a service and at another gateway."""
    own, other, host = _two(gateways)
    pairs = [
        (cpu_per_request(gateways, [(own, host)]), cpu_per_request(gateways, [(other, host)])) for _ in range(ROUNDS)
    ]
    return _row("CPU us per request, all gateways", pairs)


def throughput(alone: Gateways, gateways: Gateways) -> list[Row]:
    """Compare a gateway that is alone with three of which each serves the services that it owns."""
    (single,) = alone.running.items()
    each = [(running, gateways.owned[name][0]) for name, running in gateways.running.items() if gateways.owned[name]]
    pairs = []
    for _ in range(ROUNDS):
        one = cpu_per_request(alone, [(single[1], alone.owned[single[0]][0])])
        pairs.append((one, cpu_per_request(gateways, each)))
    return [
        {
            "figure": f"CPU us per request, {len(each)} gateways on separate services",
            "one": _median(pairs, lambda a, _: a),
            "several": _median(pairs, lambda _, b: b),
            "ratio": _median(pairs, lambda a, b: b / a),
        }
    ]


def idle(alone: Gateways, gateways: Gateways) -> Row:
    """Measure the CPU of gateways without requests."""
    before = alone.cpu_s(), gateways.cpu_s()
    time.sleep(IDLE_S)
    one, several = (
        (now - then) * 60 / IDLE_S for now, then in zip((alone.cpu_s(), gateways.cpu_s()), before, strict=True)
    )
    return {"figure": "CPU s per minute and gateway, idle", "one": one, "several": several / len(gateways.running)}


def _row(figure: str, pairs: Sequence[tuple[float, float]]) -> Row:
    return {
        "figure": figure,
        "own": _median(pairs, lambda a, _: a),
        "claimed": _median(pairs, lambda _, b: b),
        "ratio": _median(pairs, lambda a, b: b / a),
    }


def _median(pairs: Sequence[tuple[float, float]], of: Callable[[float, float], float]) -> float:
    return statistics.median(of(*pair) for pair in pairs)


def main() -> None:
    """Measure everything and report it."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        peers = peers_binary(folder)
        port = free_port()
        stack.enter_context(started("origin", port, OTHERS_CORE, [peers, "origin", f":{port}"]))
        alone = start(stack, folder / "alone", port, NAMES[:1])
        gateways = start(stack, folder / "several", port, NAMES)
        claims = [*latency(gateways), cpu(gateways)]
        together = [*throughput(alone, gateways), idle(alone, gateways)]
    report("several_gateways_claims", claims)
    report("several_gateways", together)


if __name__ == "__main__":
    main()
