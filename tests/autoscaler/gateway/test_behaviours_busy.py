"""Behaviours 74 to 76 of docs/reference/gateway.md: work that goes on behind its answer keeps its slot and its pod."""

import asyncio
import json
from dataclasses import replace

import pytest
from gateway_kit import NAME, service, until

from autoscaler.gateway.busy_response import BusyPoll
from autoscaler.gateway.counts import Counts
from autoscaler.gateway.reporting.inflight_stream import state

pytestmark = pytest.mark.real_time

COMFYUI = BusyPoll("/prompt", json_pointers=("/exec_info/queue_remaining",), interval_s=0.01, timeout_s=5)
VLLM = BusyPoll("/metrics", metrics=("vllm:num_requests_running", "vllm:num_requests_waiting"), interval_s=0.01)


class JobServer:
    """Answers as ComfyUI does: a POST puts a job into its queue and is answered at once; `done` ends one."""

    def __init__(self):
        self.jobs = 0
        self.prompts = 0
        self.asked = 0
        self.answer = None

    def done(self):
        self.jobs -= 1

    async def __call__(self, request):
        await request.body()
        if request.start.startswith(b"POST"):
            self.jobs += 1
            self.prompts += 1
            request.send(http({"prompt_id": f"{self.prompts}", "number": self.prompts, "node_errors": {}}))
        else:
            self.asked += 1
            request.send(self.answer or http({"exec_info": {"queue_remaining": self.jobs}}))


def http(document, status="200 OK"):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


async def comfyui(kit, servers, **options):
    pods = [await kit.pod(server) for server in servers]
    return await kit.gateway(replace(service(**options), busy=COMFYUI), pods=pods), pods


async def prompts(kit, gateway, count):
    """Send so many prompts, each when the one before has arrived."""
    found = []
    for n in range(count):
        found.append(asyncio.ensure_future((await kit.client(gateway)).post("/prompt").response()))
        await until(lambda n=n: gateway.proxies[NAME].counts.arrived == n + 1)
    return found


async def asked_again(server):
    """Wait until a pod has been asked twice more: the second of them after the first was taken in."""
    before = server.asked
    await until(lambda: server.asked >= before + 2)


async def test_b74_work_behind_an_answer_counts_and_keeps_its_slot(kit):
    server = JobServer()
    gateway, _ = await comfyui(kit, [server])
    first, second = await prompts(kit, gateway, 2)
    assert (await first).status == 200
    await asked_again(server)
    said = state(gateway.dispatcher(NAME), (), Counts(), gateway.loop_time())
    assert (said["queued"], said["running"], said["pods"]) == (1, 1, {"p0": 1})
    assert server.prompts == 1
    server.done()
    assert (await second).status == 200
    server.done()
    await until(lambda: gateway.dispatcher(NAME).running == 0)
    assert gateway.dispatcher(NAME).idle == ("p0",)


async def test_b74_jobs_go_to_the_pods_that_have_none(kit):
    servers = [JobServer(), JobServer()]
    gateway, _ = await comfyui(kit, servers)
    first, second, third = await prompts(kit, gateway, 3)
    assert [(await answer).status for answer in (first, second)] == [200, 200]
    assert [server.jobs for server in servers] == [1, 1]
    servers[1].done()
    assert (await third).status == 200
    assert [server.prompts for server in servers] == [1, 2]


async def test_b74_a_request_that_is_open_and_counted_by_its_pod_counts_once(kit):
    asked = 0

    async def vllm(request):
        nonlocal asked
        if request.target != "/metrics":
            pod.requests.put_nowait(request)
            await request.answered.wait()
            return
        asked += 1
        running = pod.open - 1
        request.send(http(b"vllm:num_requests_running %d.0\nvllm:num_requests_waiting 0.0\n" % running))

    pod = await kit.pod(vllm)
    gateway = await kit.gateway(replace(service(concurrency=4), busy=VLLM), pods=[pod])
    clients = [(await kit.client(gateway)).post(f"/{n}") for n in range(3)]
    jobs = [await pod.next() for _ in clients]
    before = asked
    await until(lambda: asked >= before + 2)
    assert gateway.dispatcher(NAME).running == 3
    for job in jobs:
        await job.body()
        job.reply()
    assert [(await client.response()).status for client in clients] == [200] * 3
    await until(lambda: gateway.dispatcher(NAME).running == 0)


async def test_b74_a_pod_may_say_it_on_another_port(kit):
    server = JobServer()
    metrics, pod = await kit.pod(server), await kit.pod()
    gateway = await kit.gateway(replace(service(), busy=COMFYUI._replace(port=metrics.port)), pods=[pod])
    server.jobs = 1
    await until(lambda: gateway.dispatcher(NAME).running == 1)
    assert pod.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        http({"exec_info": {}}),
        http(b"nonsense"),
        http({"exec_info": {"queue_remaining": 0}}, "500 Internal Server Error"),
        b"no HTTP\r\n\r\n",
        http(b" " * (1 << 20) + b"{}"),
    ],
)
async def test_b75_while_a_pod_does_not_say_how_busy_it_is_its_last_number_stands(kit, answer):
    server = JobServer()
    gateway, _ = await comfyui(kit, [server])
    (first,) = await prompts(kit, gateway, 1)
    await first
    await asked_again(server)
    server.answer = answer
    await until(lambda: gateway.proxies[NAME].counts.failed_busy_polls >= 3)
    assert gateway.dispatcher(NAME).running == 1
    server.answer = None
    server.done()
    await until(lambda: gateway.dispatcher(NAME).running == 0)


async def test_b75_a_pod_whose_process_has_ended_has_no_jobs(kit):
    server = JobServer()
    gateway, (pod,) = await comfyui(kit, [server])
    (first,) = await prompts(kit, gateway, 1)
    await first
    await asked_again(server)
    assert gateway.dispatcher(NAME).running == 1
    await pod.stop()
    await until(lambda: gateway.dispatcher(NAME).running == 0)


async def test_b76_a_pod_that_works_already_gets_no_request_before_it_is_done(kit):
    server = JobServer()
    server.jobs = 2
    gateway, _ = await comfyui(kit, [server])
    (answer,) = await prompts(kit, gateway, 1)
    await until(lambda: gateway.dispatcher(NAME).running == 2)
    assert server.prompts == 0
    server.jobs = 0
    assert (await answer).status == 200


async def test_b76_a_pod_that_has_never_said_how_busy_it_is_is_not_used(kit):
    server = JobServer()
    server.answer = http({"error": "not found"}, "404 Not Found")
    gateway, _ = await comfyui(kit, [server])
    (answer,) = await prompts(kit, gateway, 1)
    await asked_again(server)
    assert (gateway.dispatcher(NAME).ready, gateway.dispatcher(NAME).queued) == ((), 1)
    server.answer = None
    assert (await answer).status == 200


async def test_b76_a_pod_that_leaves_is_asked_until_its_jobs_are_done(kit):
    server = JobServer()
    gateway, (pod,) = await comfyui(kit, [server])
    (answer,) = await prompts(kit, gateway, 1)
    await answer
    await asked_again(server)
    gateway.drain_backend(NAME, "p0")
    await asked_again(server)
    assert (gateway.dispatcher(NAME).running, gateway.dispatcher(NAME).backends) == (1, ("p0",))
    server.done()
    await until(lambda: gateway.dispatcher(NAME).backends == ())
    await until(lambda: not gateway.proxies[NAME].pods.checked)
    assert not pod.open


async def test_b76_pods_are_asked_and_not_asked_as_the_configuration_changes(kit):
    server = JobServer()
    gateway, _ = await comfyui(kit, [server])
    (answer,) = await prompts(kit, gateway, 1)
    await answer
    await asked_again(server)
    gateway.reload({NAME: service()})
    assert gateway.dispatcher(NAME).running == 0
    gateway.reload({NAME: replace(service(), busy=COMFYUI)})
    await until(lambda: gateway.dispatcher(NAME).running == 1)
