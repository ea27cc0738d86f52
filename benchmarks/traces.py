"""What OpenTelemetry traces cost a gateway: CPU time for each request, with and without them, in turns.

The gateways run on one core, one of them at a time under load; wrk, a Go origin and the receiver of spans have the
other. A round measures each case once; the ratio is that of the same round, so that a slow minute is in both figures.
"""

import argparse
import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from autoscaler.runtime import programs
from benchmarks.figures import report
from benchmarks.gateway import cpu_per_request
from benchmarks.proxies import HOST, OTHERS_CORE, free_port, gateway, peers_binary, started

ROUNDS = 5
SAMPLED = ("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",)


class Case(NamedTuple):
    """One gateway and its clients."""

    name: str
    traces: bool = False
    options: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


CASES = (
    Case("no traces"),
    Case("no traces, clients with a sampled traceparent", headers=SAMPLED),
    Case("--traces, --trace-ratio 0", traces=True, options=("--trace-ratio=0",)),
    Case("--traces, --trace-ratio 0.01", traces=True, options=("--trace-ratio=0.01",)),
    Case("--traces, each request with its spans", traces=True),
)


class _Taker(BaseHTTPRequestHandler):
    """Takes spans as a collector does, and does nothing with them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer that all were taken."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def receiver() -> Iterator[str]:
    """Take spans while the block runs; gives the address."""
    server = ThreadingHTTPServer((HOST, 0), _Taker)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measure(folder: Path, rounds: int) -> list[list[float]]:
    """Give the CPU microseconds of a request in each case, round by round."""
    wrk = programs.find("wrk")
    if wrk is None:
        raise SystemExit("wrk: not found (Debian: wrk; `make programs` gets it)")
    with ExitStack() as stack:
        peers, port = peers_binary(folder), free_port()
        origin = f"{HOST}:{port}"
        stack.enter_context(started("origin", port, OTHERS_CORE, [peers, "origin", origin]))
        traces = f"--traces={stack.enter_context(receiver())}"
        running = [
            stack.enter_context(gateway(folder, [origin], options=[*([traces] if case.traces else []), *case.options]))
            for case in CASES
        ]
        return [
            [cpu_per_request(wrk, each, case.headers)[0] for case, each in zip(CASES, running, strict=True)]
            for _ in range(rounds)
        ]


def rows(rounds: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Give the medians, and of the ratios to the first case of the same round their range too."""
    found = []
    for place, case in enumerate(CASES):
        ratios = [each[place] / each[0] for each in rounds]
        cpu = statistics.median(each[place] for each in rounds)
        ratio = statistics.median(ratios)
        found.append({"gateway": case.name, "CPU us": cpu, "ratio": ratio, "least": min(ratios), "most": max(ratios)})
    return found


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="What traces cost a gateway.")
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS, help=f"rounds of all cases ({ROUNDS})")
    with tempfile.TemporaryDirectory() as name:
        report("traces", rows(measure(Path(name), parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
