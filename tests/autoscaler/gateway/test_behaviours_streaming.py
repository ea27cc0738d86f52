"""Behaviours 40 to 42 of docs/reference/gateway.md: streams of events, WebSockets, and what is not HTTP/1.1."""

import asyncio
from dataclasses import replace

import pytest
from gateway_kit import NAME, PASS_ALL, Client, answer_ok, service, until

from autoscaler.gateway.config import OnAbort, Timeouts
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http.tunnel import GOING_AWAY, FrameBoundary

pytestmark = pytest.mark.real_time

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: sd.example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Sec-WebSocket-Protocol: b\r\nX-Pod: 1\r\n\r\n"
)
HELLO = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
FRAGMENTS = b"\x01\x03Hel" + b"\x80\x02lo"
PING = b"\x89\x05Hello"
DEFLATED = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


async def test_b40_each_event_reaches_the_client_before_the_next_is_sent(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(
        service(timeouts=Timeouts(request_s=1, response_start_s=1, stream_idle_s=60)), pods=[pod]
    )
    client = (await kit.client(gateway)).get("/events", "Accept-Encoding: gzip")
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    head = await client.head()
    assert head.get(b"content-encoding") is None
    for n in range(50):
        event = b"data: %d\n\n" % n
        job.send(b"%x\r\n%b\r\n" % (len(event), event))
        assert await client.reader.readuntil(b"\n\n\r\n") == b"%x\r\n%b\r\n" % (len(event), event)
        await asyncio.sleep(0.025)
    job.reply(b"0\r\n\r\n")
    assert await client.reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_b40_events_without_length_or_chunks_reach_the_client_one_by_one(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/events")
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    await client.head()
    for n in range(5):
        job.send(b"data: %d\n\n" % n)
        await client.reader.readuntil(b"data: %d\n\n\r\n" % n)
    job.close()
    assert await client.reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_b40_a_stream_that_falls_silent_ends_after_its_idle_time_and_nothing_is_made_up(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(stream_idle_s=0.05)), pods=[pod])
    client = (await kit.client(gateway)).get("/events")
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.head()
    assert await client.ended() == b""
    assert gateway.dispatcher(NAME).running == 0


async def converse(client, job):
    """A conversation in frames of many kinds; what each side got, byte for byte."""
    client.send(HANDSHAKE + HELLO)
    request = await job()
    request.send(SWITCH + FRAGMENTS + PING)
    at_pod = await request.reader.readexactly(len(HELLO))
    head = await client.head()
    at_client = await client.reader.readexactly(len(FRAGMENTS + PING))
    request.send(DEFLATED)
    at_client += await client.reader.readexactly(len(DEFLATED))
    for part in (HELLO[:1], HELLO[1:3], HELLO[3:], CLOSE):
        client.send(part)
        at_pod += await request.reader.readexactly(len(part))
    client.writer.write_eof()
    assert await request.reader.read() == b""
    request.send(b"\x88\x02\x03\xe8")
    at_client += await client.reader.readexactly(4)
    request.close()
    at_client += await client.ended()
    return head, request, at_client, at_pod


async def test_b41_a_websocket_through_the_gateway_is_what_it_is_directly(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_ALL), pods=[pod])
    direct = Client(*await asyncio.open_connection("127.0.0.1", pod.port))
    head, request, at_client, at_pod = await converse(direct, pod.next)
    direct.close()
    through = await converse(await kit.client(gateway), pod.next)
    assert through[0].raw_head == head.raw_head == SWITCH
    assert (
        (through[2], through[3])
        == (at_client, at_pod)
        == (
            FRAGMENTS + PING + DEFLATED + b"\x88\x02\x03\xe8",
            HELLO + HELLO + CLOSE,
        )
    )
    for name in (b"sec-websocket-key", b"sec-websocket-extensions", b"sec-websocket-protocol", b"upgrade"):
        assert through[1].all(name) == request.all(name)
    await until(lambda: gateway.proxies[NAME].counts.tunnels == 0)


async def test_b41_an_upgrade_that_the_pod_declines_is_an_ordinary_response(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    (await pod.next()).reply(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    response = await client.response()
    assert (response.status, response.body) == (403, b"no")
    client.get("/after")
    job = await pod.next()
    assert job.target == "/after"
    job.reply()
    assert (await client.response()).body == b"ok"


async def test_b41_an_upgrade_is_held_at_zero_and_no_timeout_applies_after_it(kit):
    gateway = await kit.gateway(service(timeouts=Timeouts(request_s=1, response_start_s=1)))
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    job.send(SWITCH)
    await client.head()
    await asyncio.sleep(1.1)
    client.send(HELLO)
    assert await job.reader.readexactly(len(HELLO)) == HELLO
    assert gateway.dispatcher(NAME).running == 1
    client.close()
    await job.gone()
    assert gateway.dispatcher(NAME).running == 1
    job.close()
    await until(lambda: gateway.dispatcher(NAME).running == 0)


async def test_b41_a_passing_websocket_holds_neither_a_slot_nor_the_last_pod(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_ALL), pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    dispatcher = gateway.dispatcher(NAME)
    job = await pod.next()
    assert dispatcher.passing == 1
    job.send(SWITCH)
    await client.head()
    assert (dispatcher.passing, dispatcher.running, dispatcher.queued) == (0, 0, 0)
    metrics = (await (await kit.observe(gateway, "/metrics")).read()).decode()
    assert 'gateway_websocket_open{namespace="default",service="sd"} 1\n' in metrics


async def test_b41_an_idle_websocket_gets_a_close_frame_and_is_closed(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(tunnel_idle_s=0.05)), pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    job = await pod.next()
    job.send(SWITCH + PING)
    await client.head()
    assert await client.ended() == PING + GOING_AWAY
    await job.gone()


@pytest.mark.parametrize("on_abort", OnAbort)
async def test_b41_a_client_that_disconnects_before_the_pod_switches_leaves_no_slot_taken(kit, on_abort):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(), on_abort=on_abort), pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    job = await pod.next()
    client.reset()
    await until(lambda: gateway.proxies[NAME].counts.outcomes[RequestOutcome.ABANDONED_RUNNING] == 1)
    if on_abort is OnAbort.INTERRUPT:
        (await pod.next()).reply()
    job.send(SWITCH)
    await job.gone()
    await until(lambda: gateway.dispatcher(NAME).running == 0)


async def test_b41_a_client_that_ends_leaves_the_slot_after_its_request_timeout_though_the_pod_does_not_end(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(request_s=0.05)), pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    job = await pod.next()
    job.send(SWITCH)
    await client.head()
    client.writer.write_eof()
    assert await client.ended() == GOING_AWAY
    await job.gone()
    await until(lambda: gateway.dispatcher(NAME).running == 0)


@pytest.mark.parametrize("timeouts", [Timeouts(tunnel_idle_s=0.05), Timeouts(request_s=0.05)])
async def test_b41_a_pod_that_ends_first_is_closed_though_the_client_does_not_end(kit, timeouts):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=timeouts), pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    job = await pod.next()
    job.send(SWITCH + PING)
    await client.head()
    job.writer.write_eof()
    assert await client.ended() == PING
    await job.gone()
    await until(lambda: gateway.dispatcher(NAME).running == 0)


async def test_b41_a_pod_that_ends_first_is_removed_with_all_that_it_serves(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(concurrency=2), pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    job = await pod.next()
    job.send(SWITCH)
    await client.head()
    job.writer.write_eof()
    assert await client.ended() == b""
    other = (await kit.client(gateway)).get("/work")
    await pod.next()
    gateway.remove_backend(NAME, "p0")
    assert (await other.response()).status == 502
    await until(lambda: gateway.dispatcher(NAME).running == 0)


@pytest.mark.slow
async def test_b41_large_streams_are_held_back_through_a_tunnel(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    job = await pod.next()
    job.send(SWITCH)
    await client.head()
    blocks, block = 64, b"x" * (1 << 20)

    async def pour(writer):
        for _ in range(blocks):
            writer.write(block)
            await writer.drain()

    async def drink(reader):
        got = 0
        while got < blocks << 20:
            got += len(await reader.read(1 << 20))

    for writer, reader in ((client.writer, job.reader), (job.writer, client.reader)):
        pouring = asyncio.ensure_future(pour(writer))
        await asyncio.sleep(0.1)
        assert not pouring.done()
        await drink(reader)
        await pouring


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("masked", [0, 1])
def test_b41_the_end_of_a_frame_is_found(size, masked):
    if size < 126:
        head = bytes([0x82, size | masked << 7])
    elif size < 65536:
        head = bytes([0x82, 126 | masked << 7]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x82, 127 | masked << 7]) + size.to_bytes(8, "big")
    frame = head + b"mask" * masked + b"x" * size
    edge = FrameBoundary()
    for at in (1, len(frame) - 1):
        edge.feed(frame[:at])
        assert not edge.between
        edge.feed(frame[at:])
        assert edge.between
    edge.feed(frame * 3)
    assert edge.between


async def test_b42_the_preface_of_http_2_is_refused_and_does_not_hang(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (400, b"close")
    assert await client.ended() == b""
    assert pod.seen == []
