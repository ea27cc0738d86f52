"""The recipes of docs/explanation/data-planes.md: what HAProxy, Envoy and vLLM count, through a real Prometheus."""

import asyncio
import contextlib
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from metrics_peers import Prometheus, free_port, served, until

from autoscaler.controller.services import query
from autoscaler.policy.metrics import Metrics
from autoscaler.sources.prometheus import PrometheusSource

pytestmark = [pytest.mark.program, pytest.mark.real_time]

DOCUMENT = (Path(__file__).parents[2] / "docs" / "explanation" / "data-planes.md").read_text()
((HAPROXY_CFG,), (HAPROXY_SCRAPE, HAPROXY_POLICY, ENVOY_SCRAPE, ENVOY_POLICY, VLLM_SCRAPE, VLLM_POLICY)) = (
    re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL) for language in ("haproxy", "yaml")
)
SERVICE = "default/web-ui"
ENVOY = """\
envoy_cluster_upstream_rq_active{envoy_cluster_name="default_web-ui"} 2
envoy_cluster_upstream_rq_pending_active{envoy_cluster_name="default_web-ui"} 3
envoy_cluster_upstream_rq_active{envoy_cluster_name="xds"} 1
envoy_cluster_upstream_rq_total{envoy_cluster_name="default_web-ui"} 70
"""
VLLM = """\
vllm:num_requests_running{engine="0",model_name="web-ui"} 2.0
vllm:num_requests_waiting{engine="0",model_name="web-ui"} 3.0
vllm:num_requests_running{engine="0",model_name="other"} 1.0
vllm:prompt_tokens_total{engine="0",model_name="web-ui"} 70.0
"""


class Pod:
    """Answers when the test says so, and knows who came."""

    def __init__(self):
        self.came = []
        self.may_answer = asyncio.Event()

    async def answer(self, request):
        self.came.append(request.query_string)
        await self.may_answer.wait()
        return web.Response(text="done")


def at_ports(text, ports):
    """The documented text with free ports in place of its own."""
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda found: str(ports.setdefault(found[0], free_port())), text)


@contextlib.contextmanager
def haproxy(binary, folder, config):
    (folder / "haproxy.cfg").write_text(config)
    with subprocess.Popen([binary, "-q", "-db", "-f", folder / "haproxy.cfg"]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
async def client():
    """Sends a request as soon as somebody listens, and leaves it there."""
    writers = []

    async def send(port, name):
        while True:
            with contextlib.suppress(ConnectionError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            await asyncio.sleep(0.02)
        writers.append(writer)
        writer.write(f"GET /?{name} HTTP/1.1\r\nHost: sd.example.com\r\n\r\n".encode())
        return reader, writer

    yield send
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def in_flight(port):
    """What HAProxy itself says now."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return float(re.findall(r'haproxy_backend_current_sessions\{proxy="default_web-ui"\} (\S+)', text)[0])


@contextlib.asynccontextmanager
async def pods(ports):
    both = Pod(), Pod()
    async with contextlib.AsyncExitStack() as stack:
        for pod, port in zip(both, ("7860", "7861"), strict=True):
            await stack.enter_async_context(served("/", pod.answer, ports[port]))
        stack.callback(lambda: [pod.may_answer.set() for pod in both])
        yield both


def asked(policy, server):
    """The query as the controller builds it from the documented part of a policy."""
    return query(Metrics.model_validate(yaml.safe_load(policy)["metrics"]).prometheus, server)


async def test_what_haproxy_and_envoy_hold_and_run_reaches_the_controller_as_one_number(
    haproxy_binary, prometheus_binary, tmp_path, session, client
):
    ports = {}
    jobs = [yaml.safe_load(at_ports(text, ports))["scrape_configs"][0] for text in (HAPROXY_SCRAPE, ENVOY_SCRAPE)]
    for job in jobs:
        job["scrape_interval"] = "500ms"
    peer = Prometheus(prometheus_binary, tmp_path, scrape_configs=jobs)
    source = PrometheusSource(session, deadline_s=10)

    async def envoy(_request):
        return web.Response(text=ENVOY)

    async def read(policy):
        found = await source.read({SERVICE: asked(policy, peer.server)}, now_s=0.0)
        return found[SERVICE].value, found[SERVICE].series, found[SERVICE].problem

    with haproxy(haproxy_binary, tmp_path, at_ports(HAPROXY_CFG, ports)):
        async with pods(ports) as both, served("/stats/prometheus", envoy, ports["9901"]):
            clients = [await client(ports["8080"], n) for n in range(5)]
            with peer.running():
                await until(lambda: read(HAPROXY_POLICY), lambda told: told == (5, 1, ""))
                await until(lambda: read(ENVOY_POLICY), lambda told: told == (5, 1, ""))
                assert [len(pod.came) for pod in both] == [1, 1]
                for pod in both:
                    pod.may_answer.set()
                for reader, _ in clients:
                    assert (await reader.readline()).split()[1] == b"200"
                await until(lambda: read(HAPROXY_POLICY), lambda told: told == (0, 1, ""))


async def test_what_vllm_runs_and_has_waiting_reaches_the_controller_as_one_number(
    prometheus_binary, tmp_path, session
):
    ports = {}
    job = yaml.safe_load(at_ports(VLLM_SCRAPE, ports))["scrape_configs"][0] | {"scrape_interval": "500ms"}
    peer = Prometheus(prometheus_binary, tmp_path, scrape_configs=[job])
    source = PrometheusSource(session, deadline_s=10)

    async def vllm(_request):
        return web.Response(text=VLLM)

    async def read():
        found = await source.read({SERVICE: asked(VLLM_POLICY, peer.server)}, now_s=0.0)
        return found[SERVICE].value, found[SERVICE].series, found[SERVICE].problem

    async with served("/metrics", vllm, ports["8000"]):
        with peer.running():
            await until(read, lambda told: told == (5, 1, ""))


@pytest.mark.parametrize("closes", [True, False])
async def test_haproxy_forgets_a_queued_request_whose_client_has_gone_only_where_it_is_told_to(
    haproxy_binary, tmp_path, client, closes
):
    ports = {}
    config = at_ports(HAPROXY_CFG if closes else HAPROXY_CFG.replace("  option abortonclose\n", ""), ports)
    async with pods(ports) as both:
        with haproxy(haproxy_binary, tmp_path, config):
            running = [await client(ports["8080"], "running") for _ in range(2)]
            await until(lambda: in_flight(ports["8404"]), lambda count: count == 2)
            _, gone = await client(ports["8080"], "gone")
            await until(lambda: in_flight(ports["8404"]), lambda count: count == 3)
            gone.close()
            last, _ = await client(ports["8080"], "last")
            await until(lambda: in_flight(ports["8404"]), lambda count: count == (3 if closes else 4))
            for pod in both:
                pod.may_answer.set()
            for reader in (*(reader for reader, _ in running), last):
                assert (await reader.readline()).split()[1] == b"200"
            await until(lambda: in_flight(ports["8404"]), lambda count: count == 0)
            assert ("gone" in both[0].came + both[1].came) is not closes


async def test_haproxy_holds_nobody_while_no_server_is_up(haproxy_binary, tmp_path, client):
    ports = {}
    config = at_ports(HAPROXY_CFG, ports).replace("maxconn 1\n", "maxconn 1 disabled\n")
    with haproxy(haproxy_binary, tmp_path, config):
        reader, _ = await client(ports["8080"], "early")
        assert (await reader.readline()).split()[1] == b"503"
        assert await in_flight(ports["8404"]) == 0
