"""Time from a request at zero replicas until a replica is asked for: real gateway, stream, controller, processes."""

import asyncio
import statistics
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from autoscaler.app.gateway_config import gateway_services
from autoscaler.app.local import controller
from autoscaler.gateway.server import GatewayServer
from autoscaler.ports import Record
from autoscaler.runtime.clock import SystemClock
from autoscaler.targets.local import LocalProcesses, Router
from autoscaler.testing import policy
from benchmarks.figures import report

TRIALS = 200
TICK_S = 0.05
"""Short, so that replicas are soon back at zero; no scale-up waits for a tick."""
HOST = "127.0.0.1"
POLICY = policy(
    "sd",
    algorithm={"mpa": {}},
    scaleDown={"toZeroDelay": "0s"},
    traffic={"hosts": ["sd.example.com"]},
)
REQUEST = b"GET / HTTP/1.1\r\nHost: sd.example.com\r\n\r\n"


class SharedQuery:
    """A recorder that says when the replicas asked for changed."""

    def __init__(self) -> None:
        self._number: asyncio.Queue[tuple[int, float]] = asyncio.Queue()

    def __call__(self, record: Record) -> None:
        """Note a decision."""
        if record.outcome is not None:
            self._number.put_nowait((record.decision.desired, asyncio.get_running_loop().time()))

    async def until(self, number: int) -> float:
        """Wait until a number is asked for, and give the time of that."""
        while True:
            asked, at_s = await self._number.get()
            if asked == number:
                return at_s


async def trial(port: int, asked: SharedQuery) -> float:
    """Send one request at zero replicas; give the time until one is asked for, then go back to zero."""
    _, writer = await asyncio.open_connection(HOST, port)
    sent_s = asyncio.get_running_loop().time()
    writer.write(REQUEST)
    took_s = await asked.until(1) - sent_s
    writer.close()
    await asked.until(0)
    return took_s


async def measure(folder: Path) -> list[float]:
    """Run all trials with one gateway and controller."""
    asked = SharedQuery()
    async with AsyncExitStack() as stack:
        gateway = GatewayServer(gateway_services([POLICY]))
        await gateway.start(port=0, metrics_port=0, hosts=[HOST])
        stack.push_async_callback(gateway.stop)
        router = Router(
            running=lambda service, replica: gateway.dispatcher(service).running_on(replica),
            on_ready=gateway.add_backend,
            on_starting=gateway.expect_backend,
            on_leaving=gateway.drain_backend,
            on_gone=gateway.remove_backend,
        )
        target = await stack.enter_async_context(LocalProcesses({POLICY.service: ["sleep", "60"]}, router, folder))
        control, _streams = await stack.enter_async_context(
            controller(
                [POLICY],
                clock=SystemClock(),
                target=target,
                gateways=[f"{HOST}:{gateway.metrics_port}"],
                prometheus=None,
                tick_s=TICK_S,
                recorders=[asked],
            )
        )
        running = asyncio.create_task(control.run())
        await asyncio.sleep(1)  # until the stream is heard
        times_s = [await trial(gateway.port, asked) for _ in range(TRIALS)]
        running.cancel()
        return times_s


def main() -> None:
    """Measure and report, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        times_ms = sorted(seconds * 1000 for seconds in asyncio.run(measure(Path(folder))))
    cuts = statistics.quantiles(times_ms, n=100)
    row = {"trials": TRIALS, "fastest, ms": times_ms[0], "median, ms": cuts[49], "P95, ms": cuts[94]}
    report("wake_up", [row | {"slowest, ms": times_ms[-1]}])


if __name__ == "__main__":
    main()
