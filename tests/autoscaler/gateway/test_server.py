"""The way of a request through a real gateway between real sockets."""

import json

import pytest
from gateway_kit import NAME, answer_ok, refused_port, service, until

from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule

pytestmark = pytest.mark.real_time


async def test_a_request_is_held_at_zero_and_served_when_a_pod_comes(kit):
    gateway = await kit.gateway()
    client = (await kit.client(gateway)).post("/sdapi/v1/txt2img", b'{"prompt": "pretty dog"}')
    dispatcher = gateway.dispatcher(NAME)
    await until(lambda: dispatcher.queued == 1)
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    request = await pod.next()
    assert (request.start, await request.body()) == (b"POST /sdapi/v1/txt2img HTTP/1.1", b'{"prompt": "pretty dog"}')
    assert (dispatcher.queued, dispatcher.running) == (0, 1)
    request.reply()
    response = await client.response()
    assert (response.status, response.body) == (200, b"ok")
    assert (dispatcher.queued, dispatcher.running) == (0, 0)


async def test_a_pod_is_sent_one_at_a_time_in_the_order_of_arrival(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    clients = []
    for n in range(5):
        clients.append((await kit.client(gateway)).post(f"/{n}"))
        await until(lambda n=n: gateway.dispatcher(NAME).queued + gateway.dispatcher(NAME).running == n + 1)
    for n, client in enumerate(clients):
        request = await pod.next()
        assert request.target == f"/{n}"
        await request.body()
        request.reply()
        assert (await client.response()).status == 200
    assert pod.most == 1


async def test_a_pod_that_refuses_is_set_aside_and_the_request_served_by_another(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway()
    gateway.set_backends(NAME, {"dead": f"127.0.0.1:{refused_port()}", "alive": pod.address})
    client = await kit.client(gateway)
    assert (await client.post().response()).status == 200
    assert gateway.dispatcher(NAME).ready == ("alive",)


async def test_passing_requests_reach_a_busy_pod(kit):
    pod = await kit.pod()
    paths = (PathRule(("/work",)), PathRule(("/*",), SlotUse.PASS))
    gateway = await kit.gateway(service(paths=paths), pods=[pod])
    worker = (await kit.client(gateway)).post("/work")
    job = await pod.next()
    looker = (await kit.client(gateway)).get("/progress")
    progress = await pod.next()
    assert progress.target == "/progress"
    assert gateway.dispatcher(NAME).running == 1
    progress.reply()
    assert (await looker.response()).body == b"ok"
    await job.body()
    job.reply()
    assert (await worker.response()).body == b"ok"


async def test_metrics_have_every_series_from_the_start(kit):
    gateway = await kit.gateway()
    text = (await (await kit.observe(gateway, "/metrics")).read()).decode()
    assert 'inflight_requests{namespace="default",service="sd",state="queued"} 0\n' in text
    assert 'inflight_requests{namespace="default",service="sd",state="running"} 0\n' in text
    assert 'inflight_seconds_total{namespace="default",service="sd"} 0.0\n' in text


async def test_the_stream_has_the_whole_state_first_and_then_the_changes(kit):
    gateway = await kit.gateway(service(), service(name="default/other", hosts=("other",)))
    stream = await kit.observe(gateway, "/v1/inflight")
    first = json.loads(await stream.readline())
    assert first["gateway"] == gateway.uid
    assert first["services"].keys() == {NAME, "default/other"}
    assert first["services"][NAME] == {
        "queued": 0,
        "running": 0,
        "seconds_total": 0.0,
        "pods": {},
        "draining": [],
        "passing": 0,
        "holding_pass": 0,
        "passed_total": 0,
        "arrived_total": 0,
        "finished_total": 0,
        "served_seconds_total": 0.0,
    }
    (await kit.client(gateway)).get("/x")
    changed = json.loads(await stream.readline())
    assert changed["services"].keys() == {NAME}
    assert changed["services"][NAME]["queued"] == 1
    silent = json.loads(await stream.readline())
    assert silent["services"].keys() == {NAME}, "of what rests there is nothing to say"
    assert silent["services"][NAME]["seconds_total"] > changed["services"][NAME]["seconds_total"]


async def test_an_unknown_host_is_404_and_wakes_no_pod(kit):
    gateway = await kit.gateway()
    response = await (await kit.client(gateway)).get(host="scanner.example.com").response()
    assert response.status == 404
    assert gateway.dispatcher(NAME).queued == 0


async def test_stopping_answers_held_requests(kit):
    gateway = await kit.gateway()
    client = (await kit.client(gateway)).get()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    await gateway.stop()
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (503, b"close")
    assert int(response.get(b"retry-after")) >= 1
