"""Real Gradio pods behind a gateway with the policy of docs/how-to/fit-your-server.md: its jobs are what counts."""

import asyncio
import os
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession, CookieJar
from gateway_kit import refused_port

from autoscaler.app.gateway_config import gateway_services
from autoscaler.gateway.server import GatewayServer
from autoscaler.policy.spec import ScalingPolicy

pytestmark = [pytest.mark.real_time, pytest.mark.program]

HERE = Path(__file__).parent
PYTHON = HERE.parents[2] / "build" / "gradio" / "bin" / "python"
ALONE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "NO_PROXY": "*", "no_proxy": "*"}
PAGE = (HERE.parents[2] / "docs" / "how-to" / "fit-your-server.md").read_text()
PATIENCE_S = 120


def documented():
    """Give the gateway's service of the page's policy for Gradio."""
    (block,) = [block for block in re.findall(r"(?s)```yaml\n(.*?)```", PAGE) if "gradio_api" in block]
    (service,) = gateway_services([ScalingPolicy.model_validate(yaml.safe_load(block))]).values()
    return service


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


@asynccontextmanager
async def two_pods_behind_a_gateway(gradio_python):
    """Give the address, the dispatcher and the two processes, whose jobs end as lines are written to them."""
    service = documented()
    ports = [refused_port(), refused_port()]
    backends = {f"p{n}": f"127.0.0.1:{port}" for n, port in enumerate(ports)}
    gateway = GatewayServer(
        {service.name: replace(service, hosts=("localhost",), ready_path="/config", backends=backends)}
    )
    await gateway.start(0, 0, ["127.0.0.1"])
    dispatcher = gateway.dispatcher(service.name)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(gateway.stop)
        pages = [python(gradio_python, "gradio_page.py", str(port)) for port in ports]
        running = [await stack.enter_async_context(page) for page in pages]
        await until(lambda: len(dispatcher.ready) == len(ports))
        yield f"http://localhost:{gateway.port}", dispatcher, running


async def test_each_job_of_gradio_counts_for_as_long_as_it_runs(gradio_python):
    words = ["one", "two", "three", "four"]
    async with (
        two_pods_behind_a_gateway(gradio_python) as (address, dispatcher, pods),
        python(gradio_python, "gradio_calls.py", address, *words) as calls,
    ):
        # A page that is slow to start misses a probe and is no pod for a while, so the second slot may come late.
        await until(lambda: [dispatcher.running_on(f"p{n}") for n in range(len(pods))] == [1, 1])
        await until(lambda: dispatcher.queued == len(words) - len(pods))
        for pod in pods:
            pod.stdin.write(b"\n" * len(words))
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await calls.communicate()
        assert said.split() == [b"ONE", b"TWO", b"THREE", b"FOUR"]
        await until(lambda: dispatcher.running == 0)


async def test_a_job_of_a_client_that_is_no_browser_counts_and_comes_from_the_pod_that_has_it(gradio_python):
    async with (
        two_pods_behind_a_gateway(gradio_python) as (address, dispatcher, pods),
        ClientSession(address, cookie_jar=CookieJar()) as client,
    ):
        async with client.post("/gradio_api/call/shout", json={"data": ["word"]}) as joined:
            job = (await joined.json())["event_id"]
        assert dispatcher.running == 0
        async with client.get(f"/gradio_api/call/shout/{job}") as stream:
            await until(lambda: dispatcher.running == 1)
            for pod in pods:
                pod.stdin.write(b"\n")
            assert b"WORD" in await stream.read()
        await until(lambda: dispatcher.running == 0)
