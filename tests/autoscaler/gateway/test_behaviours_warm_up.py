"""Behaviour 77 of docs/reference/gateway.md: a pod that has started gets one request before those of clients."""

from dataclasses import replace

import pytest
from gateway_kit import NAME, answer_ok, refused_port, service, until

from autoscaler.gateway.config import WarmUp
from autoscaler.gateway.pods import pod_readiness, pod_warm_up

pytestmark = pytest.mark.real_time

SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def warming(timeout_s=30.0, **options):
    return replace(service(**options), warm_up=WarmUp("POST", "/sdapi/v1/txt2img?steps=1", b'{"steps": 1}', timeout_s))


def warm_ups(gateway):
    return {outcome.value: count for outcome, count in gateway.proxies[NAME].counts.warm_ups.items() if count}


async def serves(pod, client):
    """Answer the next request of a pod, which is the client's."""
    job = await pod.next()
    assert job.target == "/txt2img"
    await job.body()
    job.reply()
    return (await client.response()).status == 200


async def test_b77_a_pod_gets_its_warm_up_first_then_requests_and_none_before(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(warming(), pods=[pod])
    client = (await kit.client(gateway)).post("/txt2img")
    asked = await pod.next()
    assert asked.start == b"POST /sdapi/v1/txt2img?steps=1 HTTP/1.1"
    assert asked.all(b"content-type") == [b"application/json"]
    assert await asked.body() == b'{"steps": 1}'
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    assert (gateway.dispatcher(NAME).running, gateway.dispatcher(NAME).ready) == (0, ())
    assert pod.seen == ["/sdapi/v1/txt2img?steps=1"]
    asked.reply()
    assert await serves(pod, client)
    client.post("/txt2img")
    assert await serves(pod, client)
    assert warm_ups(gateway) == {"succeeded": 1}


async def fail(request):
    request.reply(SERVER_ERROR)


async def break_off(request):
    request.reset()


async def say_nothing(_request):
    pass


@pytest.mark.parametrize(
    ("answer", "timeout_s", "outcome"),
    [(fail, 30.0, "failed"), (break_off, 30.0, "failed"), (say_nothing, 0.2, "timeout")],
)
async def test_b77_a_warm_up_that_fails_or_is_late_costs_no_pod(kit, caplog, answer, timeout_s, outcome):
    pod = await kit.pod()
    gateway = await kit.gateway(warming(timeout_s), pods=[pod])
    client = (await kit.client(gateway)).post("/txt2img")
    asked = await pod.next()
    await asked.body()
    await answer(asked)
    assert await serves(pod, client)
    assert warm_ups(gateway) == {outcome: 1}
    assert f"{NAME}: the warm-up of pod p0" in caplog.text
    asked.done()


async def test_b77_a_pod_that_refuses_is_tried_again_and_sent_the_warm_up_once(kit, monkeypatch):
    monkeypatch.setattr(pod_warm_up, "_EVERY_S", 0.01)
    port = refused_port()
    gateway = await kit.gateway(warming())
    gateway.set_backends(NAME, {"p0": f"127.0.0.1:{port}"})
    pod = await kit.pod(answer_ok, port=port)
    await until(lambda: gateway.dispatcher(NAME).ready == ("p0",))
    assert len(pod.seen) == 1


async def test_b77_a_pod_that_refuses_for_longer_than_the_timeout_gets_requests_when_it_can(kit, monkeypatch):
    monkeypatch.setattr(pod_warm_up, "_EVERY_S", 0.01)
    gateway = await kit.gateway(warming(0.1))
    gateway.set_backends(NAME, {"p0": f"127.0.0.1:{refused_port()}"})
    await until(lambda: gateway.dispatcher(NAME).ready == ("p0",))
    assert warm_ups(gateway) == {"timeout": 1}


async def test_b77_an_answer_may_be_as_long_as_a_picture(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(warming(), pods=[pod])
    asked = await pod.next()
    asked.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    await until(lambda: gateway.dispatcher(NAME).ready == ("p0",))
    assert warm_ups(gateway) == {"succeeded": 1}


async def test_b77_a_pod_that_is_warm_gets_no_warm_up(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(warming())
    gateway.add_backend(NAME, "p0", pod.address, warm=True)
    assert await serves(pod, (await kit.client(gateway)).post("/txt2img"))
    gateway.drain_backend(NAME, "p0", marked=False)
    gateway.add_backend(NAME, "p0", pod.address, warm=True)
    assert await serves(pod, (await kit.client(gateway)).post("/txt2img"))
    assert warm_ups(gateway) == {}


async def test_b77_a_pod_that_leaves_during_its_warm_up_gets_nothing_more(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(warming(), pods=[pod])
    asked = await pod.next()
    gateway.drain_backend(NAME, "p0", marked=False)
    await asked.gone()
    asked.done()
    assert gateway.dispatcher(NAME).backends == ()
    assert warm_ups(gateway) == {}


async def test_b77_the_warm_up_comes_after_the_ready_path(kit, monkeypatch):
    monkeypatch.setattr(pod_readiness, "_EVERY_S", 0.01)
    pod = await kit.pod()
    gateway = await kit.gateway(replace(warming(), ready_path="/health"), pods=[pod])
    for target in ("/health", "/sdapi/v1/txt2img?steps=1"):
        asked = await pod.next()
        assert asked.target == target
        assert gateway.dispatcher(NAME).ready == ()
        asked.reply()
    assert await serves(pod, (await kit.client(gateway)).post("/txt2img"))


async def test_b77_other_checks_that_begin_again_send_no_second_warm_up(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(warming(), pods=[pod])
    await until(lambda: warm_ups(gateway) == {"succeeded": 1})
    gateway.reload({NAME: replace(warming(), ready_path="/health")})
    assert (await (await kit.client(gateway)).post("/txt2img").response()).status == 200
    assert pod.seen == ["/sdapi/v1/txt2img?steps=1", "/txt2img"]
