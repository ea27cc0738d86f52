"""`autoscaler gateway`, as a process."""

import asyncio
import json
import signal
import sys

import pytest
from gateway_kit import HOST, refused_port

pytestmark = pytest.mark.real_time


PATIENCE_S = 60
"""A process starts on a machine that may be busy."""


def document(**spec):
    head = {"apiVersion": "inflight.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "sd"}}
    traffic = {"hosts": [HOST], "port": 80}
    return json.dumps({**head, "spec": {"containerConcurrency": 1, "maxReplicas": 1, "traffic": traffic, **spec}})


@pytest.fixture
async def start(tmp_path, kit):
    started = []
    config = tmp_path / "services.yaml"

    async def begin(document, *options, **environment):
        config.write_text(document)
        port, metrics_port = refused_port(), refused_port()
        arguments = (f"--config={config}", f"--port={port}", f"--metrics-port={metrics_port}", *options)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "autoscaler.cli", "gateway", *arguments),
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "", **environment},
        )
        started.append(process)
        return process, port, config

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def connected(kit, port):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await kit.connect(port)
            except OSError:
                await asyncio.sleep(0.01)


async def said(process, words):
    async with asyncio.timeout(PATIENCE_S):
        while words not in (line := await process.stderr.readline()):
            assert line, "it has ended"
    return line


async def test_told_to_go_it_gives_requests_no_more_than_its_grace(kit, start):
    pod = await kit.pod()
    process, port, _ = await start(document(backends=[pod.address]), "--grace=0s")
    client = await connected(kit, port)
    client.post()
    job = await pod.next()
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert await job.body() is not None


async def test_a_service_without_backends_needs_a_cluster_and_where_there_is_none_it_says_so(start):
    process, _, _ = await start(document(scaleTargetRef={"name": "sd"}), HOME="/nonexistent")
    _, told = await process.communicate()
    assert process.returncode == 2
    assert b"no Kubernetes cluster to talk to" in told


async def test_a_file_that_takes_a_service_from_its_backends_changes_nothing(kit, start):
    pod = await kit.pod()
    process, port, config = await start(document(backends=[pod.address]))
    told = b""
    client = await connected(kit, port)
    for _ in range(2):  # before and after
        client.post()
        (await pod.next()).reply()
        assert (await client.response()).body == b"ok"
        config.write_text(document(scaleTargetRef={"name": "sd"}))
        if not told:
            told = await said(process, b"not reloaded")
    assert b"default/sd has no backends; to watch pods, start the gateway anew" in told
