"""Behaviours 22 to 26 of docs/reference/gateway.md: no request is run twice, and none is lost that could be saved."""

import asyncio
import contextlib

import pytest
from gateway_kit import NAME, answer_ok, refused_port, service, until

from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http import pod_pool

pytestmark = pytest.mark.real_time


def outcomes(gateway):
    return {outcome: n for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


async def test_b22_a_request_of_any_method_is_sent_to_another_pod_if_none_has_seen_it(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway()
    gateway.set_backends(NAME, {"dead": f"127.0.0.1:{refused_port()}", "alive": pod.address})
    response = await (await kit.client(gateway)).post("/txt2img", b"x" * 100_000).response()
    assert response.status == 200
    assert gateway.proxies[NAME].counts.retries == 1


async def test_b22_a_post_that_was_written_is_never_sent_again(kit):
    pod, other = await kit.pod(), await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod, other])
    client = (await kit.client(gateway)).post("/txt2img")
    job = await pod.next()
    await job.body()
    job.reset()
    assert (await client.response()).status == 502
    assert (pod.seen, other.seen) == (["/txt2img"], [])
    assert outcomes(gateway) == {RequestOutcome.UPSTREAM_RESET: 1}


async def test_b22_a_get_on_a_fresh_connection_is_not_sent_again_either(kit):
    pod, other = await kit.pod(), await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod, other])
    client = (await kit.client(gateway)).get("/x")
    (await pod.next()).reset()
    assert (await client.response()).status == 502
    assert other.seen == []


async def test_b22_a_get_that_met_an_idle_connection_in_the_moment_of_its_closing_is_sent_again(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/1")
    (await pod.next()).reply()
    await client.response()
    client.get("/2")
    stale = await pod.next()
    stale.reset()
    again = await pod.next()
    again.reply()
    assert (await client.response()).body == b"ok"
    assert pod.seen == ["/1", "/2", "/2"]
    assert pod.connections == 2
    assert gateway.dispatcher(NAME).running == 0


async def test_b22_a_get_with_the_first_byte_of_an_answer_is_not_sent_again(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/1")
    (await pod.next()).reply()
    await client.response()
    client.get("/2")
    begun = await pod.next()
    begun.send(b"H")
    await asyncio.sleep(0)
    await begun.writer.drain()
    begun.close()
    assert (await client.response()).status == 502
    assert pod.seen == ["/1", "/2"]


async def test_b23_a_request_with_a_body_never_takes_an_idle_connection(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    for n in range(3):
        await client.post(f"/{n}").response()
    assert pod.connections == 3
    await client.get("/3").response()
    await client.get("/4").response()
    assert pod.connections == 3


async def test_b23_an_idle_connection_is_closed_before_uvicorn_would(kit, monkeypatch):
    monkeypatch.setattr(pod_pool, "IDLE_LIMIT_S", 0.05)
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/1")
    job = await pod.next()
    job.send()
    await client.response()
    await job.gone()


async def test_b24_a_pod_that_refuses_is_no_black_hole_though_the_other_is_busy(kit):
    pod = await kit.pod()
    gateway = await kit.gateway()
    gateway.set_backends(NAME, {"dead": f"127.0.0.1:{refused_port()}", "alive": pod.address})
    clients = []
    for n in range(4):
        clients.append((await kit.client(gateway)).post(f"/{n}"))
        await until(lambda n=n: sum((gateway.dispatcher(NAME).queued, gateway.dispatcher(NAME).running)) == n + 1)
    for n, client in enumerate(clients):
        job = await pod.next()
        assert job.target == f"/{n}"
        await job.body()
        job.reply()
        assert (await client.response()).status == 200


async def test_b24_a_request_that_every_pod_refuses_ends_when_its_wait_does(kit):
    gateway = await kit.gateway(service(queue_timeout_s=1))
    gateway.set_backends(NAME, {"dead": f"127.0.0.1:{refused_port()}"})
    assert (await (await kit.client(gateway)).post().response()).status == 504
    assert gateway.proxies[NAME].counts.retries >= 1
    assert outcomes(gateway) == {RequestOutcome.QUEUE_TIMEOUT: 1}


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    ],
)
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_b25_b26_a_response_that_breaks_off_is_broken_for_the_client_too(kit, half, end):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/x")
    job = await pod.next()
    job.send(half)
    await client.reader.readuntil(b"half")
    getattr(job, end)()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.reader.readuntil(b"0\r\n\r\n")
    await until(lambda: outcomes(gateway) == {RequestOutcome.UPSTREAM_RESET: 1})
    assert pod.seen == ["/x"]


async def test_b25_nothing_is_added_to_a_response_that_has_begun(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get()
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await client.reader.readuntil(b"half")
    job.close()
    with contextlib.suppress(ConnectionError):
        assert await client.ended() == b""


async def test_b26_a_reset_in_the_middle_is_counted_and_the_client_sees_no_clean_end(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/", version="1.0")
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    await client.reader.readuntil(b"half")
    job.reset()
    # Without a length or chunks only a reset tells this client that something is missing.
    with pytest.raises(ConnectionError):
        await client.ended()
    await until(lambda: outcomes(gateway) == {RequestOutcome.UPSTREAM_RESET: 1})
