"""Real Gradio pods behind a gateway with the paths of docs/reference/gateway.md: its jobs are what counts."""

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
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


@asynccontextmanager
async def python(program, script, *words):
    """Run a script while the block runs, and no longer, whatever it waits for."""
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(program, HERE / script, *words, env=os.environ | ALONE, **pipes)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


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
    words = ["one", "two", "three", "four"]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(gateway.stop)
        pages = [python(gradio_python, "gradio_page.py", str(port)) for port in ports]
        running = [await stack.enter_async_context(page) for page in pages]
        await until(lambda: len(dispatcher.ready) == len(ports))
        address = f"http://localhost:{gateway.port}"
        calls = await stack.enter_async_context(python(gradio_python, "gradio_calls.py", address, *words))
        await until(lambda: dispatcher.running + dispatcher.queued == len(words))
        assert [dispatcher.running_on(pod) for pod in backends] == [1, 1]
        for page in running:
            page.stdin.write(b"\n" * len(words))
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await calls.communicate()
        assert said.split() == [b"ONE", b"TWO", b"THREE", b"FOUR"]
        await until(lambda: dispatcher.running == 0)
        assert gateway.gates[documented.name].counts.arrived == len(words)
