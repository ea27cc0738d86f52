"""Behaviours 27 to 39 of docs/reference/gateway.md: HTTP/1.1 on raw sockets."""

import asyncio
import contextlib
import gzip
import os
import resource
from dataclasses import replace
from ipaddress import ip_network

import pytest
from gateway_kit import HOST, NAME, OK, PASS_ALL, answer_ok, service, until

from autoscaler.gateway.config import Timeouts
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.host_routes import Routes
from autoscaler.gateway.http.clients import ClientLimits
from autoscaler.gateway.http.framing import HeadLimits

pytestmark = pytest.mark.real_time

H = b"Host: sd.example.com\r\n"


async def one(kit, **options):
    """A pod, its gateway and a client."""
    pod = await kit.pod(options.pop("answers", None))
    gateway = await kit.gateway(*options.pop("services", ()), pods=[pod], **options)
    return pod, gateway, await kit.client(gateway)


async def test_b27_keep_alive_on_both_sides_is_independent(kit):
    pod, _, client = await one(kit)
    client.get("/1")
    (await pod.next()).reply(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    first = await client.response()
    assert first.get(b"connection") is None
    client.get("/2", "Connection: close")
    (await pod.next()).reply()
    second = await client.response()
    assert second.get(b"connection") == b"close"
    assert await client.ended() == b""
    other = await kit.client(_)
    other.get("/3")
    (await pod.next()).reply()
    await other.response()
    assert pod.connections == 2


async def test_b27_a_client_of_http_1_0_gets_no_chunks(kit):
    pod, _, client = await one(kit)
    client.get("/", version="1.0")
    (await pod.next()).reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    response = await client.head()
    assert (response.get(b"transfer-encoding"), response.get(b"connection")) == (None, b"close")
    assert await client.ended() == b"hello"


async def test_b27_a_client_of_http_1_0_may_keep_its_connection(kit):
    pod, _, client = await one(kit)
    for _turn in range(2):
        client.get("/", "Connection: keep-alive", version="1.0")
        (await pod.next()).reply()
        assert (await client.response()).get(b"connection") == b"keep-alive"


async def test_b27_a_response_that_ends_with_its_connection_is_chunked_for_the_client(kit):
    pod, gateway, client = await one(kit)
    client.get()
    job = await pod.next()
    job.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    job.close()
    assert (await client.response()).body == b"all of it"
    assert gateway.dispatcher(NAME).running == 0


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_b27_a_status_without_a_body_has_none(kit, status):
    pod, _, client = await one(kit)
    client.get("/1")
    (await pod.next()).reply(b"HTTP/1.1 %b\r\nETag: x\r\n\r\n" % status)
    response = await client.response(bodiless=True)
    assert response.get(b"transfer-encoding") is None
    client.get("/2")
    (await pod.next()).reply()
    assert (await client.response()).body == b"ok"


async def test_b27_head_keeps_the_length_and_has_no_body(kit):
    pod, _, client = await one(kit)
    for _turn in range(2):
        client.send(b"HEAD / HTTP/1.1\r\n" + H + b"\r\n")
        (await pod.next()).reply(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
        assert (await client.response(bodiless=True)).get(b"content-length") == b"12345"
    client.get()
    (await pod.next()).reply()
    assert (await client.response()).body == b"ok"
    assert pod.connections == 1


async def test_b27_interim_responses_are_dropped(kit):
    pod, _, client = await one(kit)
    client.get()
    job = await pod.next()
    job.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
    job.reply()
    assert (await client.response()).body == b"ok"


async def test_b28_nothing_is_to_be_continued_before_a_pod_is_free(kit):
    gateway = await kit.gateway()
    client = await kit.client(gateway)
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    assert not client.reader._buffer
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await client.head()).start == b"HTTP/1.1 100 Continue"
    client.send(b"body")
    job = await pod.next()
    assert await job.body() == b"body"
    assert job.all(b"expect") == []
    job.reply()
    response = await client.response()
    assert (response.status, response.body) == (200, b"ok")


async def test_b28_a_final_answer_may_come_instead_and_ends_the_connection(kit):
    gateway = await kit.gateway(service(queue_length=0))
    client = await kit.client(gateway)
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (503, b"close")


async def test_b28_another_expectation_is_417(kit):
    _, _, client = await one(kit)
    assert (await client.get("/", "Expect: a miracle").response()).status == 417


async def test_b29_chunks_go_through_as_chunks_without_extensions_and_trailers(kit):
    pod, _, client = await one(kit)
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n")
    job = await pod.next()
    assert job.all(b"transfer-encoding") == [b"chunked"]
    assert job.all(b"trailer") == job.all(b"content-length") == []
    client.send(b"5;ext=1\r\nhello\r\n")
    assert await job.reader.readuntil(b"hello\r\n") == b"5\r\nhello\r\n"
    client.send(b"0\r\nX-T: 1\r\n\r\n")
    assert await job.reader.readuntil(b"\r\n\r\n") == b"0\r\n\r\n"
    job.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Trail: 1\r\n\r\n")
    response = await client.response()
    assert (response.body, response.get(b"x-trail")) == (b"abc", None)
    client.get("/next")
    job = await pod.next()
    assert job.all(b"x-t") == []
    job.reply()
    assert (await client.response()).body == b"ok"


async def test_b29_a_chunk_that_is_none_is_400(kit):
    pod, gateway, client = await one(kit)
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    job = await pod.next()
    client.send(b"zz\r\n")
    assert (await client.response()).status == 400
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0


CHUNKED = b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n"
SMUGGLING = {
    "content-length and transfer-encoding": CHUNKED.replace(b"%b", b"%bContent-Length: 4\r\n") + b"0\r\n\r\n",
    "transfer-encoding and content-length": CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    "two lengths that differ": b"POST / HTTP/1.1\r\n%bContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
    "two lengths that agree": b"POST / HTTP/1.1\r\n%bContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
    "a list of lengths": b"POST / HTTP/1.1\r\n%bContent-Length: 4, 4\r\n\r\nbody",
    "a signed length": b"POST / HTTP/1.1\r\n%bContent-Length: +4\r\n\r\nbody",
    "a negative length": b"POST / HTTP/1.1\r\n%bContent-Length: -4\r\n\r\nbody",
    "a hexadecimal length": b"POST / HTTP/1.1\r\n%bContent-Length: 0x4\r\n\r\nbody",
    "an underscored length": b"POST / HTTP/1.1\r\n%bContent-Length: 1_0\r\n\r\nbody",
    "an empty length": b"POST / HTTP/1.1\r\n%bContent-Length:\r\n\r\nbody",
    "an unknown coding": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": b'POST / HTTP/1.1\r\n%bTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a vertical tab in the coding": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"POST / HTTP/1.1\r\n%bContent-Length : 4\r\n\r\nbody",
    "a folded line": b"GET / HTTP/1.1\r\n%bX-A: 1\r\n folded\r\n\r\n",
    "a folded first line": b"GET / HTTP/1.1\r\n X: 1\r\n%b\r\n",
    "a bare line feed": b"GET / HTTP/1.1\r\n%bX-A: 1\nX-B: 2\r\n\r\n",
    "bare line feeds everywhere": b"GET / HTTP/1.1\nHost: sd.example.com\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\n%bX-A: 1\rX-B: 2\r\n\r\n",
    "a NUL in a value": b"GET / HTTP/1.1\r\n%bX-A: a\x00b\r\n\r\n",
    "a NUL in a name": b"GET / HTTP/1.1\r\n%bX-\x00A: ab\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\n%bX A: ab\r\n\r\n",
    "an empty name": b"GET / HTTP/1.1\r\n%b: ab\r\n\r\n",
    "a line without a colon": b"GET / HTTP/1.1\r\n%bnonsense\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n%bHost: other\r\n\r\n",
    "two equal hosts": b"GET / HTTP/1.1\r\n%bHost: sd.example.com\r\n\r\n",
    "no version": b"GET /\r\n%b\r\n",
    "another version": b"GET / HTTP/3.1\r\n%b\r\n",
    "another protocol": b"GET / ICE/1.1\r\n%b\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n%b\r\n",
    "a chunk size with a sign": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
    "a chunk line with a bare line feed": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "a chunk size of 17 digits": CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("attack", SMUGGLING)
async def test_b30_what_two_parsers_could_read_in_two_ways_is_400_and_ends_the_connection(kit, attack):
    pod, gateway, client = await one(kit)
    raw = SMUGGLING[attack]
    client.send(raw.replace(b"%b", H))
    client.send(b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n")
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (400, b"close")
    assert await client.ended() == b""
    await until(lambda: gateway.dispatcher(NAME).running == 0)
    # A pod may have seen the head of a request whose body went wrong, and never the end of it.
    assert pod.seen in ([], ["/"])
    if pod.seen:
        await (await pod.next()).gone()


async def test_b30_no_host_is_400(kit):
    _, _, client = await one(kit)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (400, b"close")


async def test_b31_an_absolute_target_must_name_the_host_and_goes_on_as_a_path(kit):
    pod, _, client = await one(kit)
    client.get("http://SD.example.com/a?b=//c")
    job = await pod.next()
    assert job.start == b"GET /a?b=//c HTTP/1.1"
    job.reply()
    await client.response()
    client.get("http://sd.example.com?x")
    job = await pod.next()
    assert job.start == b"GET /?x HTTP/1.1"
    job.reply()
    await client.response()
    assert (await client.get("http://other.example.com/").response()).status == 400


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
async def test_b31_methods_that_are_not_for_a_gateway_are_refused(kit, method):
    pod, _, client = await one(kit)
    target = "sd.example.com:80" if method == "CONNECT" else "/"
    client.send(f"{method} {target} HTTP/1.1\r\n".encode() + H + b"\r\n")
    assert (await client.response()).status in {400, 405}
    assert pod.seen == []


async def test_b31_options_of_everything_is_fine(kit):
    pod, _, client = await one(kit)
    client.send(b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n")
    job = await pod.next()
    assert job.start == b"OPTIONS * HTTP/1.1"
    job.reply()
    assert (await client.response()).status == 200


async def test_b31_the_bytes_of_a_path_stay_as_they_are(kit):
    pod, _, client = await one(kit)
    for target in ["/a%2Fb/%7e;x=1//../.?q=%20&r=a+b", "/%E4%BD%A0", "/a?b?c#d", "//x", "/..;/x", "/'\"<>[]{}|^`"]:
        client.get(target)
        job = await pod.next()
        assert job.start == f"GET {target} HTTP/1.1".encode()
        job.reply()
        await client.response()


async def test_b32_what_is_for_one_hop_stays_there(kit):
    pod, _, client = await one(kit)
    client.get(
        "/",
        "Connection: X-Mine, keep-alive, X-Forwarded-For",
        "X-Mine: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Proxy-Authorization: x",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "X-Yours: 2",
        "X-Yours: 3",
    )
    job = await pod.next()
    names = {name.lower() for name, _ in job.headers}
    gone = {b"x-mine", b"keep-alive", b"te", b"proxy-authorization", b"proxy-connection", b"upgrade", b"connection"}
    assert not names & gone
    assert job.all(b"x-forwarded-for") == [b"127.0.0.1"]
    assert job.all(b"x-yours") == [b"2", b"3"]
    job.reply(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n"
    )
    response = await client.response()
    assert {name.lower() for name, _ in response.headers} == {b"x-end", b"content-length"}


async def test_b32_a_length_cannot_be_named_away(kit):
    pod, _, client = await one(kit)
    client.post("/", b"body", "Connection: Content-Length, Host, Cookie", "Cookie: a=1")
    job = await pod.next()
    assert (job.all(b"content-length"), job.all(b"host")) == ([b"4"], [HOST.encode()])
    assert await job.body() == b"body"


async def test_b33_what_was_forwarded_is_said_anew_unless_the_peer_is_trusted(kit):
    pod, gateway, client = await one(kit)
    claims = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=x"]
    client.get("/", *claims)
    job = await pod.next()
    job.reply()
    assert job.all(b"x-forwarded-for") == [b"127.0.0.1"]
    assert job.all(b"x-forwarded-proto") == [b"http"]
    assert job.all(b"x-forwarded-host") == job.all(b"host") == [HOST.encode()]
    assert job.all(b"forwarded") == [b"for=x"]
    made = job.all(b"x-request-id")
    assert len(made) == 1
    assert made[0].startswith(gateway.uid.encode())
    trusting = await kit.gateway(pods=[pod], trusted_proxies=(ip_network("127.0.0.0/8"),))
    (await kit.client(trusting)).get("/", *claims, "X-Request-Id: abc")
    job = await pod.next()
    assert job.all(b"x-forwarded-for") == [b"6.6.6.6, 127.0.0.1"]
    assert job.all(b"x-forwarded-proto") == [b"https"]
    assert job.all(b"x-forwarded-host") == [b"evil"]
    assert job.all(b"x-request-id") == [b"abc"]


async def test_b34_heads_have_limits_and_they_can_be_set(kit):
    limits = ClientLimits(HeadLimits(line_bytes=1000, field_bytes=2000, fields=10))
    pod, gateway, client = await one(kit, limits=limits)
    client.get("/" + "x" * 900, "Cookie: " + "c" * 1800)
    (await pod.next()).reply()
    assert (await client.response()).status == 200
    for target, lines, status in [
        ("/" + "x" * 1100, [], 414),
        ("/", ["X-Long: " + "x" * 2100], 431),
        ("/", ["X" * 2100 + ": 1"], 431),
        ("/", [f"X-{n}: 1" for n in range(20)], 431),
    ]:
        response = await (await kit.client(gateway)).get(target, *lines).response()
        assert (response.status, response.get(b"connection")) == (status, b"close")
    assert len(pod.seen) == 1


async def test_b34_a_body_over_the_limit_is_413_before_and_while_it_comes(kit):
    pod, gateway, client = await one(kit, services=[replace(service(), max_body_bytes=1000)])
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1001\r\n\r\n")
    assert (await client.response()).status == 413
    assert pod.connections == 0
    client = await kit.client(gateway)
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n")
    job = await pod.next()
    client.send(b"1\r\nx\r\n")
    assert (await client.response()).status == 413
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0
    client = await kit.client(gateway)
    client.send(
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
    )
    assert (await client.response()).status == 413


async def test_b35_a_head_that_does_not_come_ends_the_connection(kit):
    _, _, client = await one(kit, limits=ClientLimits(head_timeout_s=0.05), answers=answer_ok)
    client.send(b"GET / HTTP/1.1\r\nHost: sd")
    assert await client.ended() == b""


async def test_b35_nor_may_the_next_head_dawdle_nor_an_idle_connection_stay(kit):
    _, gateway, client = await one(kit, limits=ClientLimits(head_timeout_s=1), answers=answer_ok)
    assert (await client.get().response()).status == 200
    client.send(b"GET / HTTP/1.1\r\nHost: sd")
    assert await client.ended() == b""
    idle = await kit.gateway(limits=ClientLimits(keep_alive_s=0.05))
    client = await kit.client(idle)
    await client.get(host="unknown").response()
    assert await client.ended() == b""
    assert gateway.dispatcher(NAME).running == 0


async def test_b35_a_body_that_falls_silent_is_408_and_frees_the_pod(kit):
    pod, gateway, client = await one(kit, services=[service(timeouts=Timeouts(body_idle_s=0.05))])
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 10\r\n\r\nhalf")
    job = await pod.next()
    assert (await client.response()).status == 408
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0


async def test_b35_of_more_connections_than_there_may_be_the_one_that_is_idle_for_longest_is_closed(kit):
    _, gateway, oldest = await one(kit, limits=ClientLimits(connections=3), answers=answer_ok)
    clients = [oldest, await kit.client(gateway), await kit.client(gateway)]
    for client in clients:
        assert (await client.get().response()).status == 200
    assert (await oldest.get().response()).status == 200
    newest = await kit.client(gateway)
    assert await clients[1].ended() == b""
    for client in (oldest, clients[2], newest):
        assert (await client.get().response()).status == 200
    assert (len(gateway.clients.connections), gateway.clients.shed) == (3, 1)


async def test_b35_a_connection_that_is_served_is_closed_for_no_other(kit):
    pod, gateway, client = await one(kit, limits=ClientLimits(connections=2))
    running = client.get("/running")
    job = await pod.next()
    held = (await kit.client(gateway)).get("/held")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    for _ in range(3):
        assert await (await kit.client(gateway)).ended() == b""
    for client in (running, held):
        job.reply()
        assert (await client.response()).status == 200
        job = await pod.next() if client is running else None


async def test_b35_without_file_descriptors_the_gateway_goes_on_with_those_it_has(kit):
    _, gateway, client = await one(kit, answers=answer_ok)
    spent = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (await client.get().response()).status == 200
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        with contextlib.suppress(OSError):
            while True:
                spent.append(os.open("/dev/null", os.O_RDONLY))
        os.close(spent.pop())
        # One descriptor for the client, none for the gateway: asyncio lets it wait, libuv closes it.
        await kit.client(gateway)
        assert (await client.get().response()).status == 200
    finally:
        for descriptor in spent:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (await (await kit.client(gateway)).get().response()).status == 200


async def test_b36_pipelined_requests_are_answered_in_order(kit):
    pod, _, client = await one(kit)
    client.get("/1").get("/2").post("/3", b"three").get("/4")
    for n in range(1, 5):
        job = await pod.next()
        assert job.target == f"/{n}"
        await job.body()
        job.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n)
    assert [(await client.response()).body for _ in range(4)] == [b"1", b"2", b"3", b"4"]


async def test_b37_large_bodies_are_held_back_both_ways(kit):
    pod, gateway, client = await one(kit)
    size = 64 << 20
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % size)
    job = await pod.next()
    job.reader._transport.pause_reading()
    before = memory_bytes()
    sent = 0
    block = b"x" * (1 << 20)

    async def upload():
        nonlocal sent
        for _ in range(size // len(block)):
            client.send(block)
            await client.writer.drain()
            sent += len(block)

    uploading = asyncio.ensure_future(upload())
    await settled(lambda: sent)
    assert sent < size // 2
    job.reader._transport.resume_reading()
    got = 0
    while got < size:
        got += len(await job.reader.read(1 << 20))
    await uploading
    client.reader._transport.pause_reading()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    given = 0

    async def download():
        nonlocal given
        for _ in range(size // len(block)):
            job.send(block)
            await job.writer.drain()
            given += len(block)

    downloading = asyncio.ensure_future(download())
    await settled(lambda: given)
    assert given < size // 2
    assert gateway.dispatcher(NAME).running == 1
    client.reader._transport.resume_reading()
    head = await client.head()
    got = 0
    while got < size:
        got += len(await client.reader.read(1 << 20))
    await downloading
    job.done()
    assert head.get(b"content-length") == b"%d" % size
    assert memory_bytes() - before < 30 << 20


def memory_bytes():
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize()


async def settled(progress):
    """Wait until nothing moves any more."""
    last, same = None, 0
    while same < 200:
        now = progress()
        last, same = now, same + 1 if now == last else 0
        await asyncio.sleep(0.001)


async def test_b37_compressed_bodies_pass_untouched(kit):
    pod, _, client = await one(kit)
    packed = gzip.compress(b"x" * 1000)
    client.post("/", packed, "Content-Encoding: gzip", "Accept-Encoding: br;q=1.0, gzip")
    job = await pod.next()
    assert job.all(b"accept-encoding") == [b"br;q=1.0, gzip"]
    assert await job.body() == packed
    job.reply(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
    response = await client.response()
    assert (response.body, response.get(b"content-encoding")) == (packed, b"gzip")


INVALID = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "a NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"x" * 1000) * 400,
    "a switch that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", INVALID)
async def test_b38_a_response_that_is_not_http_is_502_and_its_connection_is_dropped(kit, kind):
    pod, gateway, client = await one(kit)
    client.get()
    job = await pod.next()
    job.send(INVALID[kind])
    response = await client.response()
    assert response.status == 502
    assert b"evil" not in response.raw_head
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0


async def test_b38_data_without_a_request_on_an_idle_connection_reaches_no_client(kit):
    pod, _, client = await one(kit)
    client.get("/1")
    job = await pod.next()
    job.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert (await client.response()).body == b"ok"
    await job.gone()
    job.done()
    client.get("/2")
    job = await pod.next()
    job.send(OK)
    assert (await client.response()).body == b"ok"
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    await job.gone()
    client.get("/3")
    (await pod.next()).reply()
    assert (await client.response()).body == b"ok"
    assert pod.connections == 3


@pytest.mark.parametrize(
    "host", ["SD.Example.COM", "sd.example.com:8080", "sd.example.com.", "sd.example.com:", "SD.example.com.:80"]
)
async def test_b39_a_host_is_found_however_it_is_written(kit, host):
    _, _, client = await one(kit, answers=answer_ok)
    assert (await client.get(host=host).response()).status == 200


@pytest.mark.parametrize("host", ["[::1]", "[0:0:0:0:0:0:0:1]:8080", "[0::0001]"])
async def test_b39_an_address_is_found_however_it_is_written(kit, host):
    _, _, client = await one(kit, services=[service(hosts=("[0:0:0:0:0:0:0:1]",))], answers=answer_ok)
    assert (await client.get(host=host).response()).status == 200


def test_b39_the_exact_name_comes_before_the_longest_wildcard():
    routes = Routes(
        {
            "d/exact": service(name="d/exact", hosts=("a.b.example.com", "[::1]")),
            "d/long": service(name="d/long", hosts=("*.b.example.com",)),
            "d/short": service(name="d/short", hosts=("*.example.com",)),
        }
    )
    names = ["a.b.example.com", "x.b.example.com", "x.y.example.com", "example.com", "[::1]", ""]
    assert [routes.find(name) for name in names] == ["d/exact", "d/long", "d/short", None, "d/exact", None]


async def test_b39_a_scanner_wakes_no_pod(kit):
    gateway = await kit.gateway(service(paths=PASS_ALL))
    client = await kit.client(gateway)
    assert (await client.get("/.env", host="203.0.113.7").response()).status == 404
    assert (await client.get("/healthz", "User-Agent: kube-probe/1.36").response()).status == 503
    dispatcher = gateway.dispatcher(NAME)
    assert (dispatcher.queued, dispatcher.passing, dispatcher.passed_total) == (0, 0, 0)


async def test_b39_a_path_that_does_not_wake_is_refused_at_zero_and_served_otherwise(kit):
    paths = (PathRule(("/favicon.ico",), SlotUse.PASS, wake=False), PathRule(("/*",), SlotUse.PASS))
    gateway = await kit.gateway(service(paths=paths))
    client = await kit.client(gateway)
    assert (await client.get("/favicon.ico").response()).status == 503
    opener = (await kit.client(gateway)).get("/")
    await until(lambda: gateway.dispatcher(NAME).holding_pass == 1)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await opener.response()).body == b"ok"
    assert (await client.get("/favicon.ico").response()).status == 200
