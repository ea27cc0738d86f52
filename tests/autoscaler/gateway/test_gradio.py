"""Real Gradio pods behind a gateway with the paths of docs/gateway.md: its jobs are what counts."""

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_kit import refused_port
from test_gateway_documentation import in_the_example, part_with

from autoscaler.app import gateway_services
from autoscaler.gateway.proxy import Gateway

pytestmark = [pytest.mark.real_time, pytest.mark.program]

HERE = Path(__file__).parent
PYTHON = HERE.parents[2] / "build" / "gradio" / "bin" / "python"
ALONE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "NO_PROXY": "*", "no_proxy": "*"}
PATIENCE_S = 120


@pytest.fixture
def gradio_python():
    return PYTHON if PYTHON.exists() else pytest.fail("this test needs Gradio: run `make build/gradio/made`")


async def python(program, script, *words):
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    return await asyncio.create_subprocess_exec(program, HERE / script, *words, env=os.environ | ALONE, **pipes)


@asynccontextmanager
async def pages(program, ports):
    """Run a page on each of these ports while the block runs."""
    running = [await python(program, "gradio_page.py", str(port)) for port in ports]
    try:
        yield running
    finally:
        for page in running:
            page.kill()
            await page.communicate()


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_each_job_of_gradio_counts_for_as_long_as_it_runs(gradio_python):
    (documented,) = gateway_services([in_the_example(part_with("gradio_api"))]).values()
    ports = [refused_port(), refused_port()]
    backends = {f"p{n}": f"127.0.0.1:{port}" for n, port in enumerate(ports)}
    gateway = Gateway({documented.name: replace(documented, ready_path="/config", backends=backends)})
    await gateway.start(0, 0, ["127.0.0.1"])
    dispatcher = gateway.dispatcher(documented.name)
    async with pages(gradio_python, ports) as running:
        await until(lambda: len(dispatcher.ready) == len(ports))
        words = ["one", "two", "three", "four"]
        calls = await python(gradio_python, "gradio_calls.py", f"http://localhost:{gateway.port}", *words)
        await until(lambda: dispatcher.running + dispatcher.queued == len(words))
        assert [dispatcher.running_on(pod) for pod in backends] == [1, 1]
        for page in running:
            page.stdin.write(b"\n" * len(words))
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await calls.communicate()
        assert said.split() == [b"ONE", b"TWO", b"THREE", b"FOUR"]
        await until(lambda: dispatcher.running == 0)
        assert gateway.gates[documented.name].counts.arrived == len(words)
    await gateway.stop()
