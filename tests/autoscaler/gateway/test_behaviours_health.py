"""Behaviours 70 to 79 of docs/reference/gateway.md: a sick pod is not fed."""

import asyncio
from dataclasses import replace

import pytest
from gateway_kit import NAME, answer_ok, refused_port, reset, service, until

from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.dispatch import pod_health
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.types import FailureKind
from autoscaler.gateway.http.deadline import Deadline
from autoscaler.gateway.pods import pod_readiness
from autoscaler.gateway.service import Waiter

pytestmark = pytest.mark.real_time

SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 18\r\n\r\nCUDA out of memory"


async def break_off(request):
    await request.body()
    request.reset()


async def fail(request):
    await request.body()
    request.send(SERVER_ERROR)


def failing_on(*kinds, **options):
    return replace(service(**options), failures=frozenset(kinds))


async def statuses(kit, gateway, count):
    """Send so many POSTs one after the other."""
    return [(await (await kit.client(gateway)).post(f"/{n}").response()).status for n in range(count)]


async def test_b70_a_pod_that_breaks_off_several_requests_in_a_row_is_ejected(kit):
    sick, well = await kit.pod(break_off), await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[sick, well])
    assert await statuses(kit, gateway, 10) == [502] * 3 + [200] * 7
    assert gateway.dispatcher(NAME).ready == ("p1",)
    assert gateway.dispatcher(NAME).ejections_total == 1


@pytest.mark.parametrize("sick_first", [True, False])
async def test_b70_a_pod_that_answers_500_is_ejected_where_the_policy_says_so(kit, sick_first):
    sick, well = await kit.pod(fail), await kit.pod()
    pods = [sick, well] if sick_first else [well, sick]
    gateway = await kit.gateway(failing_on(FailureKind.SERVER_ERROR), pods=pods)
    clients = [(await kit.client(gateway)).post(f"/{n}") for n in range(20)]
    answers = [asyncio.ensure_future(client.response()) for client in clients]
    for _ in range(17):
        job = await well.next()
        await job.body()
        job.reply()
    assert sorted([(await answer).status for answer in answers]) == [200] * 17 + [500] * 3


async def test_b70_a_pod_that_answers_500_is_used_where_the_policy_says_nothing(kit):
    sick, well = await kit.pod(fail), await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[sick, well])
    assert await statuses(kit, gateway, 10) == [500] * 10


async def test_b70_clients_that_disconnect_eject_no_pod(kit):
    pod, other = await kit.pod(), await kit.pod()
    gateway = await kit.gateway(service(paths=(PathRule(("/*",), SlotUse.PASS),)), pods=[pod, other])
    for n in range(10):
        client = (await kit.client(gateway)).post(f"/{n}")
        job = await asyncio.wait_for(one_of(pod, other), 30)
        client.reset()
        await job.gone()
        job.done()
    await until(lambda: gateway.proxies[NAME].counts.outcomes[RequestOutcome.ABANDONED_RUNNING] == 10)
    assert gateway.dispatcher(NAME).ready == ("p0", "p1")


async def one_of(*pods):
    """Take the next request of any of these pods."""
    waits = [asyncio.ensure_future(pod.next()) for pod in pods]
    done, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    return done.pop().result()


async def test_b71_tunnels_and_passing_requests_spread_over_the_pods(kit):
    pods = [await kit.pod(), await kit.pod()]
    gateway = await kit.gateway(service(paths=(PathRule(("/*",), SlotUse.PASS),)), pods=pods)
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "a" * 22)
    for n in range(6):
        client = (await kit.client(gateway)).get("/ws", *lines)
        job = await one_of(*pods)
        job.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await client.head()).status == 101
        await until(lambda n=n: gateway.proxies[NAME].counts.tunnels == n + 1)
    assert [pod.seen for pod in pods] == [["/ws"] * 3] * 2


async def test_a_deadline_that_has_come_already_is_no_error_on_the_gateways_own_loop(kit):
    gateway = await kit.gateway(service(queue_timeout_s=0.0))
    proxy = gateway.proxies[NAME]
    waiters = [Waiter(SlotUse.COUNT, gateway.loop_time()) for _ in range(3)]
    for waiter in waiters:
        assert proxy.arrive(waiter, PathRule(("/*",)), None) is None
    for waiter in waiters:
        assert await waiter.placement is RequestOutcome.QUEUE_TIMEOUT
    called = asyncio.Event()
    deadline = Deadline(gateway.loop, called.set)
    for seconds in (0.0, -1.0, 1e-9):
        deadline.within(seconds)
    await asyncio.wait_for(called.wait(), 30)


# A port that is open before its server is.


class EarlyPort:
    """A port that is open before its server: it takes connections and closes them, as forwarders and sidecars do."""

    def __init__(self, close):
        self.taken = 0
        self._close = close
        self._server = None

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, _reader, writer):
        self.taken += 1
        self._close(writer)

    async def stop(self):
        self._server.close()
        await self._server.wait_closed()


def close(writer):
    writer.close()


@pytest.mark.parametrize("how", [close, reset])
@pytest.mark.parametrize("concurrency", [1, 0])
async def test_b72_a_port_that_is_open_before_its_server_loses_no_request(kit, how, concurrency):
    early = await EarlyPort(how).start()
    listed = {"pod": f"127.0.0.1:{early.port}"}
    gateway = await kit.gateway(service(concurrency=concurrency, backends=listed))
    clients = [await kit.client(gateway) for _ in range(10)]
    for n, client in enumerate(clients):
        client.get(f"/{n}") if n % 2 else client.post(f"/{n}", b"x" * 100_000)
    await until(lambda: early.taken > 3)
    await early.stop()
    pod = await kit.pod(answer_ok, port=early.port)
    assert [(await client.response()).status for client in clients] == [200] * 10
    assert sorted(pod.seen) == sorted(f"/{n}" for n in range(10))
    assert gateway.proxies[NAME].counts.outcomes[RequestOutcome.SERVED] == 10


async def test_b72_a_request_that_was_written_is_not_sent_again(kit):
    pod, other = await kit.pod(break_off), await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod, other])
    assert (await (await kit.client(gateway)).post("/once").response()).status == 502
    assert (pod.seen, other.seen) == (["/once"], [])


@pytest.mark.slow
async def test_b72_a_pod_that_refuses_for_long_loses_no_request(kit, monkeypatch):
    monkeypatch.setattr(pod_health, "REFUSED_LONGEST_S", 0.1)
    port = refused_port()
    gateway = await kit.gateway()
    gateway.set_backends(NAME, {"pod": f"127.0.0.1:{port}"})
    client = (await kit.client(gateway)).post("/patient")
    await until(lambda: gateway.proxies[NAME].counts.retries > 30)
    await kit.pod(answer_ok, port=port)
    assert (await client.response()).status == 200


# A ready path.


def with_ready_path(path="/health", **options):
    return replace(service(**options), ready_path=path)


LOADING = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 7\r\n\r\nloading"


@pytest.mark.parametrize(
    "answers",
    [
        [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"nonsense\r\n\r\n"],
    ],
)
async def test_b73_a_pod_is_sent_nothing_before_its_ready_path_says_so(kit, monkeypatch, answers):
    monkeypatch.setattr(pod_readiness, "_EVERY_S", 0.01)
    pod = await kit.pod()
    gateway = await kit.gateway(with_ready_path(), pods=[pod])
    client = (await kit.client(gateway)).post("/txt2img")
    for answer in answers:
        asked = await pod.next()
        assert asked.start == b"GET /health HTTP/1.1"
        assert gateway.dispatcher(NAME).ready == ()
        asked.send(answer)
        asked.close()
    asked = await pod.next()
    asked.reply(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
    job = await pod.next()
    assert job.target == "/txt2img"
    await job.body()
    job.reply()
    assert (await client.response()).status == 200


async def test_b73_a_pod_that_leaves_is_not_asked_any_more(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(with_ready_path(), pods=[pod])
    asked = await pod.next()
    gateway.drain_backend(NAME, "p0")
    await asked.gone()
    asked.done()
    assert gateway.dispatcher(NAME).backends == ()


async def test_b73_a_503_with_retry_after_is_not_ready_until_the_pod_has_served(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(with_ready_path(), pods=[pod])
    client = (await kit.client(gateway)).post("/txt2img", b"the whole body")
    (await pod.next()).reply()
    for _ in range(3):
        job = await pod.next()
        await job.body()
        job.send(LOADING)
        await job.gone()
        job.done()
    job = await pod.next()
    assert await job.body() == b"the whole body"
    job.reply()
    assert (await client.response()).status == 200
    client.post("/txt2img")
    job = await pod.next()
    await job.body()
    job.reply(LOADING)
    assert (await client.response()).status == 503


async def test_b73_without_a_ready_path_a_503_is_the_pods_answer(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).post("/txt2img")
    job = await pod.next()
    await job.body()
    job.reply(LOADING)
    assert (await client.response()).status == 503
