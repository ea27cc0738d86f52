"""What clients' connections do beside the behaviours that have a number."""

import asyncio
import gc
from http import HTTPStatus
from types import SimpleNamespace

import pytest
from gateway_kit import HOST, NAME, answer_ok, service, until

from autoscaler.gateway.http.clients import ClientLimits
from autoscaler.gateway.http.framing import HeadLimits
from autoscaler.gateway.http.own_response import own_response
from autoscaler.gateway.http.request_parser import BrokenRequestError, RequestParser
from autoscaler.gateway.http.response_parser import ResponseParser

pytestmark = pytest.mark.real_time

HEAD = b"GET /%d HTTP/1.1\r\nHost: sd.example.com\r\n"


class Source:
    def __init__(self):
        self.paused = False

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


def parsed(data, size, limits=None):
    """Feed a parser in parts of some bytes; give it, and what it found."""
    found = []
    parser = RequestParser(Source(), limits or HeadLimits(), found.append)
    for start in range(0, len(data), size):
        assert parser.feed(data[start : start + size]) is None
    return found


MANY = b"".join(
    [
        HEAD % 0 + b"\r\n",
        HEAD.replace(b"GET", b"POST") % 1 + b"Content-Length: 5\r\n\r\nhello",
        HEAD.replace(b"GET", b"POST") % 2
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
        HEAD % 3 + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        HEAD.replace(b"GET", b"POST") % 4 + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nGET /",
        HEAD.replace(b"GET", b"POST") % 5
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n",
        HEAD % 6 + b"Connection: close\r\n\r\n",
        b"what comes behind the last one does not matter",
    ]
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, len(MANY)])
async def test_requests_are_read_alike_however_they_are_cut(size):
    found = parsed(MANY, size)
    assert [request.target for request in found] == [b"/%d" % n for n in range(7)]
    assert [await request.body.read() if request.body else b"" for request in found] == [
        *(b"", b"hello", b"abcde", b"", b"GET /", b"GET /", b"")
    ]
    assert all(request.complete for request in found)
    assert [request.keep_alive for request in found] == [True] * 6 + [False]
    assert not any(name == b"X-T" for request in found for name, _ in request.headers)


def test_no_read_ends_on_the_stack_however_many_upgrades_are_in_it():
    assert len(parsed((HEAD % 0 + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n") * 5000, 1 << 20)) == 5000


def test_a_head_that_grows_without_end_is_too_large_before_it_is_whole():
    endless = HEAD % 0 + b"X: " + b"x" * 100_000
    with pytest.raises(BrokenRequestError) as broken:
        parsed(endless, 100, HeadLimits(line_bytes=1000, field_bytes=1000))
    assert broken.value.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


async def test_a_body_without_a_reader_is_held_back_until_it_is_read():
    source, found = Source(), []
    parser = RequestParser(source, HeadLimits(), found.append)
    parser.feed(HEAD % 0 + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000)
    assert source.paused
    assert len(await found[0].body.read()) == 100_000
    assert not source.paused


async def test_a_client_that_pipelines_without_end_is_not_read_without_end(kit):
    may_answer = asyncio.Event()

    async def answer(request):
        await may_answer.wait()
        request.send()

    pod = await kit.pod(answer)
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    client.send(b"".join(HEAD % n + b"\r\n" for n in range(200_000)))
    sending = asyncio.ensure_future(client.writer.drain())
    (connection,) = gateway.clients.connections
    await until(lambda: len(connection._pipeline._waiting) > 64)
    await until(lambda: pod.open == 1)
    assert not sending.done()
    client.reset()
    may_answer.set()
    await until(lambda: not gateway.clients.connections)
    assert len(pod.seen) < 100_000
    await asyncio.gather(sending, return_exceptions=True)


async def test_what_comes_behind_an_upgrade_that_was_declined_is_the_next_request(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    client.get("/socket", "Connection: Upgrade", "Upgrade: websocket").get("/next")
    (await pod.next()).reply(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert (await client.response()).status == 403
    (await pod.next()).reply()
    assert (await client.response()).body == b"ok"
    assert pod.seen == ["/socket", "/next"]


async def test_an_answer_that_came_before_the_body_ends_the_connection_and_is_not_lost(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    client.send(b"POST / HTTP/1.1\r\nHost: sd.example.com\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 1_000_000)
    (await pod.next()).reply(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    client.send(b"x" * 1_000_000)
    response = await client.response()
    assert (response.status, response.body, response.get(b"connection")) == (403, b"no", b"close")
    assert await client.ended() == b""
    await until(lambda: gateway.dispatcher(NAME).running == 0)


async def test_a_busy_connection_has_one_timer_and_an_idle_one_ends(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod], limits=ClientLimits(keep_alive_s=1, head_timeout_s=1))
    client = await kit.client(gateway)
    for _ in range(20):
        assert (await client.get().response()).body == b"ok"
        await asyncio.sleep(0.06)
    assert await client.ended() == b""


@pytest.mark.slow
async def test_no_request_waits_for_the_collector_of_cycles(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod])
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for send in (lambda c: c.get("/", "Connection: close"), lambda c: c.post("/", b"{}", "Connection: close")):
            assert (await send(await kit.client(gateway)).response()).body == b"ok"
        await until(lambda: not gateway.clients.connections)
        await asyncio.sleep(0)
        gc.collect()
        ours = {type(found).__qualname__ for found in gc.garbage if type(found).__module__.startswith("autoscaler.")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not ours


async def test_an_internal_error_ends_one_connection_and_no_other(kit, caplog):
    gateway = await kit.gateway(service(), pods=[await kit.pod(answer_ok)])
    broken = await kit.client(gateway)
    find, gateway._routes = gateway._routes, None
    assert (await broken.get().response()).status == 500
    gateway._routes = find
    assert (await (await kit.client(gateway)).get(host=HOST).response()).body == b"ok"
    assert "a request ended with an internal error" in caplog.text


async def test_the_handler_is_cancelled_when_its_client_goes(kit):
    gateway = await kit.gateway()
    client = (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    client.reset()
    await until(lambda: not gateway.open)


def test_an_own_response_is_complete():
    assert own_response(503, "later", keep_alive=False, added=b"Retry-After: 3\r\n") == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n"
        b"Retry-After: 3\r\nConnection: close\r\n\r\nlater\n"
    )
    assert own_response(404, "no", keep_alive=True, without_body=True).endswith(b"Content-Length: 3\r\n\r\n")


def kept_of(connection):
    """Bytes that a connection keeps of what its client has sent and nobody has taken."""
    pipeline = connection._pipeline
    waiting = [each for each in pipeline._waiting if not isinstance(each, Exception)]
    heads = sum(len(each.target) + sum(len(n) + len(v) for n, v in each.headers) for each in waiting)
    bodies = sum(each.body.size for each in waiting if each.body is not None)
    return heads + bodies + len(pipeline._unparsed) + len(pipeline.behind_upgrade or b"")


LARGE = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 30_000) for n in range(4))


@pytest.mark.parametrize(
    "flood",
    [
        HEAD % 1 + LARGE + b"\r\n",
        HEAD.replace(b"GET", b"POST") % 1 + b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000,
        HEAD % 1 + b"\r\n",
    ],
    ids=["heads", "bodies", "small"],
)
async def test_what_is_sent_behind_a_request_that_is_held_takes_little_memory(kit, flood):
    gateway = await kit.gateway()
    client = (await kit.client(gateway)).get()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    for _ in range(60):
        client.send(flood)
    (connection,) = gateway.clients.connections
    await until(lambda: connection._held_back or len(connection._pipeline._waiting) == 60)
    for _ in range(50):
        await asyncio.sleep(0)
        assert kept_of(connection) < 700_000, "two reads and what one request may have"


async def test_pipelined_requests_of_any_size_are_each_answered_with_their_own_body(kit):
    """Large heads, large bodies, small ones, in one go: reading stops and goes on at the right moments."""
    bodies = []

    async def echo(request):
        bodies.append(await request.body())
        request.send()

    gateway = await kit.gateway(pods=[await kit.pod(echo)])
    client = await kit.client(gateway)
    sizes = [0, 300_000, 10, 70_000, 0, 1_000_000, 3] * 4
    for n, size in enumerate(sizes):
        client.send(HEAD.replace(b"GET", b"POST") % n + LARGE * (n % 3 == 0) + b"Content-Length: %d\r\n\r\n" % size)
        client.send(b"%x" % (n % 16) * size)
    for _ in sizes:
        assert (await client.response()).status == 200
    assert bodies == [b"%x" % (n % 16) * size for n, size in enumerate(sizes)]


async def test_early_bytes_of_another_protocol_are_held_back(kit):
    gateway = await kit.gateway()
    client = await kit.client(gateway)
    client.send(HEAD % 0 + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + b"x" * (4 << 20))
    await until(lambda: gateway.clients.connections and next(iter(gateway.clients.connections))._reader_waits)
    (connection,) = gateway.clients.connections
    for _ in range(50):
        await asyncio.sleep(0)
        assert kept_of(connection) < 600_000


def test_an_internal_error_in_a_callback_of_a_parser_is_not_taken_for_an_error_of_the_peer():
    def fail(_):
        raise LookupError("ours")

    with pytest.raises(LookupError, match="ours"):
        RequestParser(Source(), HeadLimits(), fail).feed(HEAD % 0 + b"\r\n")
    receiver = SimpleNamespace(responded=fail)
    parser = ResponseParser(receiver)
    parser.expect(bodiless=False)
    with pytest.raises(LookupError, match="ours"):
        parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
