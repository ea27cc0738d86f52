"""Behaviours 1 to 15 of docs/reference/gateway.md: the queue and the slots."""

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest
from gateway_kit import NAME, PASS_ALL, answer_ok, refused_port, service, until

from autoscaler.gateway.config import Affinity, OnAbort, Timeouts
from autoscaler.gateway.counts import RequestOutcome

pytestmark = pytest.mark.real_time

BIG = 4 << 20


def counts(gateway):
    dispatcher = gateway.dispatcher(NAME)
    return dispatcher.queued, dispatcher.running


def outcomes(gateway):
    return {outcome: n for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


async def test_b01_a_client_that_disconnects_in_the_queue_leaves_it_and_never_reaches_a_pod(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    first = (await kit.client(gateway)).post("/first")
    job = await pod.next()
    gone = (await kit.client(gateway)).post("/gone", b"x" * 30_000)
    await until(lambda: counts(gateway) == (1, 1))
    gone.close()
    await until(lambda: counts(gateway) == (0, 1))
    last = (await kit.client(gateway)).post("/last")
    await job.body()
    job.reply()
    await first.response()
    job = await pod.next()
    await job.body()
    job.reply()
    await last.response()
    assert pod.seen == ["/first", "/last"]
    assert outcomes(gateway) == {RequestOutcome.SERVED: 2, RequestOutcome.ABANDONED_QUEUED: 1}


async def test_b01_a_client_that_disconnects_after_a_large_body_leaves_the_queue_too(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    (await kit.client(gateway)).post("/first")
    await pod.next()
    gone = (await kit.client(gateway)).post("/gone", b"x" * 900_000)
    await until(lambda: counts(gateway) == (1, 1))
    await gone.writer.drain()
    gone.close()
    await until(lambda: counts(gateway) == (0, 1))
    assert pod.seen == ["/first"]
    assert gateway.proxies[NAME].counts.abandoned_late == 0


async def test_b01_a_client_that_disconnects_in_a_longer_body_reaches_no_pod_whole_and_is_counted(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    first = (await kit.client(gateway)).post("/first")
    job = await pod.next()
    gone = await kit.client(gateway)
    gone.send(b"POST /gone HTTP/1.1\r\nHost: sd.example.com\r\nContent-Length: %d\r\n\r\n" % BIG)
    gone.send(b"x" * (BIG // 2))
    await until(lambda: counts(gateway) == (1, 1))
    await job.body()
    job.reply()
    await first.response()
    late = await pod.next()
    gone.close()
    await late.gone()
    await until(lambda: counts(gateway) == (0, 0))
    assert gateway.proxies[NAME].counts.abandoned_late == 1


CLOSES = replace(service(), on_abort=OnAbort.CLOSE)


async def test_b02_close_ends_the_pods_connection_at_once(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(CLOSES, pods=[pod])
    client = (await kit.client(gateway)).post()
    job = await pod.next()
    await job.body()
    client.close()
    await job.gone()
    await until(lambda: counts(gateway) == (0, 0))
    assert outcomes(gateway) == {RequestOutcome.ABANDONED_RUNNING: 1}


async def test_b02_wait_upstream_keeps_the_slot_until_the_pod_is_done(kit):
    pod = await kit.pod()
    config = service()
    gateway = await kit.gateway(replace(config, on_abort=OnAbort.WAIT_UPSTREAM), pods=[pod])
    client = (await kit.client(gateway)).post("/gone")
    job = await pod.next()
    await job.body()
    client.close()
    await until(lambda: outcomes(gateway) == {RequestOutcome.ABANDONED_RUNNING: 1})
    waiting = (await kit.client(gateway)).post("/next")
    await until(lambda: counts(gateway) == (1, 1))
    job.reply()
    job = await pod.next()
    await job.body()
    job.reply()
    assert (await waiting.response()).body == b"ok"
    await until(lambda: counts(gateway) == (0, 0))
    assert pod.most == 1


async def test_b02_a_pod_that_breaks_off_what_a_client_left_on_a_used_connection_is_free(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/first")
    first = await pod.next()
    first.reply()
    assert (await client.response()).status == 200
    client.get("/gone")
    job = await pod.next()
    assert job.writer is first.writer
    client.reset()
    await until(lambda: outcomes(gateway) == {RequestOutcome.SERVED: 1, RequestOutcome.ABANDONED_RUNNING: 1})
    assert counts(gateway) == (0, 1)
    job.close()
    await until(lambda: counts(gateway) == (0, 0))


async def test_b02_a_pod_that_says_come_later_to_a_client_that_left_is_free(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(), ready_path="/ready"), pods=[pod])
    client = (await kit.client(gateway)).get("/gone")
    (await pod.next()).reply()
    job = await pod.next()
    assert job.target == "/gone"
    client.reset()
    await until(lambda: outcomes(gateway) == {RequestOutcome.ABANDONED_RUNNING: 1})
    job.reply(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
    await until(lambda: counts(gateway) == (0, 0))


async def test_b02_interrupt_asks_the_pod_to_break_off(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(), on_abort=OnAbort.INTERRUPT), pods=[pod])
    client = (await kit.client(gateway)).post("/sdapi/v1/txt2img")
    job = await pod.next()
    await job.body()
    client.close()
    call = await pod.next()
    assert call.start == b"POST /sdapi/v1/interrupt HTTP/1.1"
    assert counts(gateway) == (0, 1)
    call.reply()
    await call.gone()
    assert counts(gateway) == (0, 1)
    job.reply()
    await until(lambda: counts(gateway) == (0, 0))


async def test_b02_no_request_follows_before_the_interrupt_is_answered(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(), on_abort=OnAbort.INTERRUPT), pods=[pod])
    client = (await kit.client(gateway)).post("/gone")
    job = await pod.next()
    await job.body()
    (await kit.client(gateway)).post("/next")
    await until(lambda: counts(gateway) == (1, 1))
    client.close()
    call = await pod.next()
    job.reply()
    await job.gone()
    assert counts(gateway) == (1, 1)
    call.reply()
    assert (await pod.next()).target == "/next"


@pytest.mark.parametrize("on_abort", OnAbort)
async def test_b02_a_pass_request_ends_with_its_client_and_interrupts_nothing(kit, on_abort):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(paths=PASS_ALL), on_abort=on_abort), pods=[pod])
    (await kit.client(gateway)).post("/work")
    await pod.next()
    polling = (await kit.client(gateway)).get("/progress")
    progress = await pod.next()
    polling.close()
    await progress.gone()
    await until(lambda: outcomes(gateway) == {RequestOutcome.ABANDONED_RUNNING: 1})
    assert counts(gateway) == (0, 1)
    assert pod.seen == ["/work", "/progress"]


async def test_b03_a_slot_granted_to_a_client_that_disconnects_in_that_moment_goes_to_the_next(kit):
    gateway = await kit.gateway()
    gone = (await kit.client(gateway)).post("/gone")
    await until(lambda: counts(gateway) == (1, 0))
    last = (await kit.client(gateway)).post("/last")
    await until(lambda: counts(gateway) == (2, 0))
    pod = await kit.pod(answer_ok)
    connection = min(gateway.clients.connections, key=lambda each: port_behind(each) != port_of(gone))
    # In one turn of the loop: the grant is delivered, and the connection is lost.
    gateway.set_backends(NAME, {"p0": pod.address})
    connection.connection_lost(None)
    assert (await last.response()).body == b"ok"
    assert pod.seen == ["/last"]
    assert counts(gateway) == (0, 0)


def port_behind(connection):
    return connection.transport.get_extra_info("peername")[1]


def port_of(client):
    return client.writer.get_extra_info("sockname")[1]


async def test_b04_an_abort_while_connecting_or_in_the_middle_of_a_body_frees_the_slot(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    client.send(b"POST / HTTP/1.1\r\nHost: sd.example.com\r\nContent-Length: 100\r\n\r\nhalf")
    job = await pod.next()
    client.reset()
    await job.gone()
    await until(lambda: counts(gateway) == (0, 0))


async def test_b04_a_half_closed_connection_counts_as_a_disconnect_unless_the_service_allows_it(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(CLOSES, pods=[pod])
    strict = (await kit.client(gateway)).post("/strict")
    job = await pod.next()
    strict.writer.write_eof()
    await job.gone()
    await until(lambda: counts(gateway) == (0, 0))
    gateway.reload({NAME: replace(CLOSES, half_close=True)})
    served = (await kit.client(gateway)).post("/served")
    job = await pod.next()
    held = (await kit.client(gateway)).post("/held")
    await until(lambda: counts(gateway) == (1, 1))
    served.writer.write_eof()
    held.writer.write_eof()
    await job.body()
    job.reply()
    assert (await served.response()).body == b"ok"
    assert await served.ended() == b""
    job = await pod.next()
    await job.body()
    job.reply()
    assert (await held.response()).get(b"connection") == b"close"
    waiting = (await kit.client(gateway)).post("/reset")
    job = await pod.next()
    waiting.reset()
    await job.gone()
    await until(lambda: counts(gateway) == (0, 0))


async def test_b05_waiters_are_served_in_order_and_no_newcomer_overtakes(kit):
    gateway = await kit.gateway()
    clients = []
    for n in range(20):
        clients.append((await kit.client(gateway)).post(f"/{n}"))
        await until(lambda n=n: counts(gateway)[0] == n + 1)
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    for n in range(20):
        job = await pod.next()
        assert job.target == f"/{n}"
        if n == 5:
            clients.append((await kit.client(gateway)).post("/newcomer"))
            await until(lambda: counts(gateway)[0] == 15)
        await job.body()
        job.reply()
    assert (await pod.next()).target == "/newcomer"


async def test_b06_a_full_queue_refuses_at_once_before_the_body_is_read(kit):
    gateway = await kit.gateway(service(queue_length=1), rng=random.Random(1))  # noqa: S311
    (await kit.client(gateway)).post()
    await until(lambda: counts(gateway) == (1, 0))
    client = await kit.client(gateway)
    client.send(b"POST / HTTP/1.1\r\nHost: sd.example.com\r\nContent-Length: 1000\r\n\r\n")
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (503, b"close")
    assert int(response.get(b"retry-after")) >= 1
    client.send(b"x" * 1000)
    assert await client.ended() == b""
    assert counts(gateway) == (1, 0)


async def test_b07_waiting_too_long_is_504_and_exactly_one_outcome(kit):
    gateway = await kit.gateway(service(queue_timeout_s=0.05))
    client = (await kit.client(gateway)).post()
    response = await client.response()
    assert response.status == 504
    assert int(response.get(b"retry-after")) >= 1
    assert outcomes(gateway) == {RequestOutcome.QUEUE_TIMEOUT: 1}
    assert gateway.dispatcher(NAME).next_deadline_s is None


async def test_b07_a_grant_ends_the_timer(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(queue_timeout_s=60))
    client = (await kit.client(gateway)).post()
    await until(lambda: counts(gateway) == (1, 0))
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    assert gateway.dispatcher(NAME).next_deadline_s is None
    await job.body()
    job.reply()
    assert (await client.response()).status == 200


async def test_b08_concurrency_can_be_changed_while_requests_run(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(concurrency=1), pods=[pod])
    for n in range(4):
        (await kit.client(gateway)).post(f"/{n}")
        await until(lambda n=n: sum(counts(gateway)) == n + 1)
    jobs = [await pod.next()]
    gateway.reload({NAME: service(concurrency=3)})
    jobs += [await pod.next(), await pod.next()]
    assert counts(gateway) == (1, 3)
    gateway.reload({NAME: service(concurrency=1)})
    for job in jobs[:2]:
        await job.body()
        job.reply()
    await until(lambda: gateway.dispatcher(NAME).running == 1)
    assert counts(gateway) == (1, 1)
    await jobs[2].body()
    jobs[2].reply()
    assert (await pod.next()).target == "/3"


async def test_b09_every_kind_of_end_frees_the_slot(kit):
    rng = random.Random(9)  # noqa: S311
    endings_of_a_pod = [
        lambda job: job.reply(),
        lambda job: job.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
        lambda job: job.reset(),
        lambda job: job.close(),
        lambda job: (job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"), job.reset()),
        lambda job: (job.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), job.close()),
        lambda job: job.reply(b"nonsense\r\n\r\n"),
    ]

    async def answer(job):
        await job.body()
        rng.choice(endings_of_a_pod)(job)

    pods = [await kit.pod(answer), await kit.pod(answer)]
    gateway = await kit.gateway(service(concurrency=2, queue_length=1000), pods=pods)

    async def proxied(n):
        client = (await kit.client(gateway)).post(f"/{n}")
        if rng.random() < 0.3:
            for _ in range(rng.randrange(12)):
                await asyncio.sleep(0)
            client.reset()
            return
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await client.response()
        client.close()

    for _ in range(15):
        await asyncio.gather(*(proxied(n) for n in range(20)))
    await until(lambda: counts(gateway) == (0, 0))
    assert gateway.dispatcher(NAME).idle == ("p0", "p1")
    assert sum(outcomes(gateway).values()) == 300
    assert max(pod.most for pod in pods) <= 2
    assert not any(pod.open for pod in gateway.proxies[NAME].pods.listed.values())


async def test_b10_the_slot_is_free_when_the_pod_is_done_though_the_client_has_not_read(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    slow = (await kit.client(gateway)).post("/slow")
    slow.reader._transport.pause_reading()
    job = await pod.next()
    await job.body()
    job.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000)
    await until(lambda: counts(gateway) == (0, 0))
    slow.reader._transport.resume_reading()
    assert len((await slow.response()).body) == 900_000


async def test_b10_the_slot_is_not_free_before_the_pods_last_byte(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).post("/first")
    waiting = (await kit.client(gateway)).post("/second")
    job = await pod.next()
    await job.body()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc")
    await client.reader.readuntil(b"abc")
    assert counts(gateway) == (1, 1)
    job.reply(b"d")
    assert await client.reader.readexactly(1) == b"d"
    assert (await pod.next()).target == "/second"
    assert waiting


async def test_b10_a_client_that_takes_nothing_is_cut(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(CLOSES, timeouts=Timeouts(stalled_client_s=0.1)), pods=[pod])
    client = (await kit.client(gateway)).get()
    client.reader._transport.pause_reading()
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 20_000_000)
    await until(lambda: counts(gateway) == (0, 0))
    assert gateway.clients.stalled == 1


async def test_b11_waiters_go_to_a_new_pod_in_the_moment_it_comes(kit):
    busy, fresh = await kit.pod(), await kit.pod()
    gateway = await kit.gateway(pods=[busy])
    for n in range(3):
        (await kit.client(gateway)).post(f"/{n}")
        await until(lambda n=n: sum(counts(gateway)) == n + 1)
    await busy.next()
    gateway.add_backend(NAME, "new", fresh.address)
    assert counts(gateway) == (1, 2)
    assert (await fresh.next()).target == "/1"


async def test_b12_a_request_that_waits_for_a_pod_that_leaves_keeps_its_place_of_arrival(kit):
    a, b = await kit.pod(), await kit.pod()
    gateway = await kit.gateway(service(affinity=Affinity("sd", 1800)), pods=[a, b])
    (await kit.client(gateway)).post("/on-a")
    await a.next()
    client = (await kit.client(gateway)).post("/on-b")
    job = await b.next()
    await job.body()
    job.send()
    cookie = (await client.response()).get(b"set-cookie").split(b";")[0].decode()
    client.post("/again-on-b", b"{}", f"Cookie: {cookie}")
    (await kit.client(gateway)).post("/pinned", b"{}", f"Cookie: {cookie}")
    await until(lambda: counts(gateway) == (1, 2))
    (await kit.client(gateway)).post("/later")
    await until(lambda: counts(gateway) == (2, 2))
    gateway.drain_backend(NAME, "p1")
    c = await kit.pod()
    gateway.add_backend(NAME, "p2", c.address)
    assert (await c.next()).target == "/pinned"


async def test_b13_a_pod_that_drains_gets_nothing_new_and_is_forgotten_when_it_is_done(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).post("/running")
    job = await pod.next()
    gateway.drain_backend(NAME, "p0")
    (await kit.client(gateway)).post("/new")
    await until(lambda: counts(gateway) == (1, 1))
    assert gateway.dispatcher(NAME).backends == ("p0",)
    await job.body()
    job.reply()
    assert (await client.response()).body == b"ok"
    assert gateway.dispatcher(NAME).backends == ()
    assert counts(gateway) == (1, 0)


async def test_b14_a_new_pod_at_the_same_address_shares_nothing(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_ALL), pods=[pod])
    client = await kit.client(gateway)
    first = client.get("/a") and await pod.next()
    first.reply()
    await client.response()
    (await kit.client(gateway)).post("/jobs/old")
    old = await pod.next()
    gateway.remove_backend(NAME, "p0")
    gateway.add_backend(NAME, "p1", pod.address)
    await old.gone()
    before = pod.connections
    client.get("/b")
    second = await pod.next()
    assert pod.connections == before + 1
    second.reply()
    assert (await client.response()).body == b"ok"
    assert gateway.dispatcher(NAME).running_on("p1") == 0


async def test_b15_a_pod_that_is_not_ready_is_sent_nothing(kit):
    ready, leaving = await kit.pod(answer_ok), await kit.pod()
    gateway = await kit.gateway(pods=[leaving, ready])
    gateway.drain_backend(NAME, "p0")
    for _ in range(3):
        assert (await (await kit.client(gateway)).post().response()).body == b"ok"
    assert leaving.connections == 0


async def test_no_request_is_lost_when_all_pods_refuse_for_a_while(kit):
    port = refused_port()
    gateway = await kit.gateway()
    gateway.set_backends(NAME, {"late": f"127.0.0.1:{port}"})
    client = (await kit.client(gateway)).post()
    await until(lambda: gateway.proxies[NAME].counts.retries >= 1)
    await kit.pod(answer_ok, port=port)
    assert (await client.response()).body == b"ok"
