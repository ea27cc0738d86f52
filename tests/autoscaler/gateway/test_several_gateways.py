"""Several gateways in one process serve the same pods: each request goes by one slot, whoever has its client."""

import asyncio
import json
from dataclasses import replace

import pytest
from gateway_kit import NAME, PASS_ALL, answer_ok, refused_port, service, until
from peers_kit import names, settled
from test_behaviours_busy import COMFYUI, JobServer
from test_behaviours_streaming import HANDSHAKE, SWITCH

from autoscaler.gateway.config import Takeover, WarmUp
from autoscaler.gateway.counts import RequestOutcome

pytestmark = pytest.mark.real_time
OWNER, TAKER, THIRD = names(NAME, 3)


def counts(gateway):
    dispatcher = gateway.dispatcher(NAME)
    return dispatcher.queued, dispatcher.running


def outcomes(gateway):
    return {outcome: n for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


def service_of(*pods, **options):
    """The service, with pods that its file names."""
    return service(backends={pod.address: pod.address for pod in pods}, **options)


async def pair(kit, *pods, **options):
    """Start the owner of the service and one more gateway."""
    gateways = [await kit.member(name, service_of(*pods, **options)) for name in (OWNER, TAKER)]
    await settled(*gateways)
    assert gateways[0].dispatcher(NAME).owned
    return gateways


async def test_b47_a_slot_is_given_once_whichever_gateway_has_the_client(peers):
    pod = await peers.pod()
    owner, taker = await pair(peers, pod)
    first = (await peers.client(taker)).post("/1")
    job = await pod.next()
    second = (await peers.client(owner)).post("/2")
    await until(lambda: counts(owner) == (1, 0))
    third = (await peers.client(taker)).post("/3")
    await until(lambda: counts(taker) == (1, 1))
    for client, target in ((first, "/1"), (second, "/2"), (third, "/3")):
        assert job.target == target
        await job.body()
        job.reply()
        assert (await client.response()).status == 200
        job = await pod.next() if target != "/3" else None
    assert pod.most == 1
    assert counts(owner) == counts(taker) == (0, 0)
    assert (outcomes(owner), outcomes(taker)) == ({RequestOutcome.SERVED: 1}, {RequestOutcome.SERVED: 2})


async def test_a_service_that_is_added_while_its_owner_is_known_gets_the_slots_of_the_pods_that_come(peers):
    pod = await peers.pod()
    owner, taker = await pair(peers, pod)
    for gateway in (owner, taker):
        gateway.reload({})
    added = service()
    for gateway in (owner, taker):
        gateway.reload({NAME: added})
    clients = [(await peers.client(gateway)).post("/new") for gateway in (owner, taker)]
    for gateway in (owner, taker):
        gateway.add_backend(NAME, "p", pod.address)
    for _ in clients:
        job = await pod.next()
        await job.body()
        job.reply()
    assert [(await client.response()).status for client in clients] == [200, 200]


async def test_a_websocket_that_another_gateway_granted_keeps_its_slot_until_it_is_closed(peers):
    pod = await peers.pod()
    owner, taker = await pair(peers, pod)
    client = await peers.client(taker)
    client.send(HANDSHAKE)
    socket = await pod.next()
    socket.send(SWITCH)
    await client.head()
    waiting = (await peers.client(owner)).post("/after")
    await until(lambda: counts(owner) == (1, 0))
    client.close()
    await socket.gone()
    socket.close()
    job = await pod.next()
    assert job.target == "/after"
    await job.body()
    job.reply()
    assert (await waiting.response()).status == 200


async def test_a_body_and_its_response_are_streamed_by_the_gateway_that_has_the_client(peers):
    pod = await peers.pod()
    _, taker = await pair(peers, pod)
    client = await peers.client(taker)
    client.send(b"POST /up HTTP/1.1\r\nHost: sd.example.com\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    job = await pod.next()
    assert await job.reader.readuntil(b"abc\r\n") == b"3\r\nabc\r\n"
    client.send(b"0\r\n\r\n")
    assert await job.reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
    job.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
    await client.head()
    assert b"data: 1" in await client.reader.readuntil(b"\n\n")
    job.close()
    assert await client.reader.readuntil(b"0\r\n\r\n")
    assert counts(taker) == (0, 0)


@pytest.mark.parametrize("state", ["held", "granted", "running"])
async def test_a_client_that_disconnects_frees_the_place_or_the_slot_that_another_gateway_gave(peers, state):
    pod = await peers.pod()
    owner, taker = await pair(peers, pod)
    first = (await peers.client(owner)).post("/first")
    job = await pod.next()
    client = (await peers.client(taker)).post("/gone")
    await until(lambda: counts(taker) == (1, 0))
    last = (await peers.client(owner)).post("/last")
    await until(lambda: counts(owner) == (1, 1))
    if state == "held":
        client.reset()
        await until(lambda: counts(taker) == (0, 0))
    await job.body()
    job.reply()
    if state == "granted":
        client.reset()
    elif state == "running":
        job = await pod.next()
        assert job.target == "/gone"
        await job.body()
        client.reset()
        await until(lambda: outcomes(taker) == {RequestOutcome.ABANDONED_RUNNING: 1})
        assert counts(taker) == (0, 1), "the pod goes on with it"
        job.reply()
    job = await pod.next()
    if job.target == "/gone":  # it was sent before its client was seen to be gone
        job.reply()
        job = await pod.next()
    assert job.target == "/last"
    await job.body()
    job.reply()
    assert (await first.response()).status == (await last.response()).status == 200
    await until(lambda: counts(owner) == counts(taker) == (0, 0))
    assert pod.most == 1


async def test_a_pod_that_refuses_a_request_of_another_gateway_is_set_aside_by_the_owner(peers):
    pod = await peers.pod(answer_ok)
    dead = f"127.0.0.1:{refused_port()}"
    config = service(backends={dead: dead, pod.address: pod.address})
    owner, taker = [await peers.member(name, config) for name in (OWNER, TAKER)]
    await settled(owner, taker)
    assert (await (await peers.client(taker)).post().response()).status == 200
    assert owner.dispatcher(NAME).ready == (pod.address,)
    assert taker.proxies[NAME].counts.retries == 1


async def test_requests_without_a_slot_need_no_other_gateway_unless_their_number_is_limited(peers):
    pod = await peers.pod(answer_ok)
    _, taker = await pair(peers, pod, paths=PASS_ALL)
    assert (await (await peers.client(taker)).get("/page").response()).status == 200


async def test_b47_who_waits_goes_on_when_the_owner_leaves_and_the_owner_ends_when_its_own_are_served(peers):
    pod = await peers.pod()
    owner, taker = await pair(peers, pod)
    running = (await peers.client(owner)).post("/running")
    job = await pod.next()
    held = (await peers.client(owner)).post("/held")
    await until(lambda: counts(owner) == (1, 1))
    after = (await peers.client(taker)).post("/after")
    await until(lambda: counts(taker) == (1, 0))
    draining = asyncio.create_task(owner.drain(0.0, 20.0))
    await until(lambda: taker.dispatcher(NAME).owned and taker.dispatcher(NAME).whole)
    assert counts(owner) == (1, 1)
    for left in (2, 1, 0):
        await job.body()
        job.reply()
        job = await pod.next() if left else None
    for client in (running, held, after):
        assert (await client.response()).status == 200
    await draining
    assert peers.store.roster.members.keys() == {TAKER}
    assert pod.most == 1
    assert taker.dispatcher(NAME).held == {}


async def test_the_service_moves_to_a_gateway_that_joins_and_nobody_notices(peers):
    pod = await peers.pod()
    alone = await peers.member(TAKER, service_of(pod))
    await settled(alone)
    running = (await peers.client(alone)).post("/running")
    job = await pod.next()
    held = (await peers.client(alone)).post("/held")
    await until(lambda: counts(alone) == (1, 1))
    newcomer = await peers.member(OWNER, service_of(pod))
    await settled(newcomer, alone)
    assert newcomer.dispatcher(NAME).owned
    new = (await peers.client(newcomer)).post("/new")
    await until(lambda: counts(newcomer) == (1, 0))
    for client, target in ((running, "/running"), (held, "/held"), (new, "/new")):
        assert job.target == target
        await job.body()
        job.reply()
        assert (await client.response()).status == 200
        job = await pod.next() if target != "/new" else None
    assert pod.most == 1


async def test_who_waits_elsewhere_is_served_when_the_owner_is_killed(peers):
    pod = await peers.pod()
    config = replace(service_of(pod), takeover=Takeover.IMMEDIATE)
    owner, taker = [await peers.member(name, config) for name in (OWNER, TAKER)]
    await settled(owner, taker)
    (await peers.client(owner)).post("/lost")
    lost = await pod.next()
    waiting = (await peers.client(taker)).post("/waiting")
    await until(lambda: counts(taker) == (1, 0))
    await peers.kill(owner)
    job = await pod.next()
    assert (lost.target, job.target) == ("/lost", "/waiting")
    await job.body()
    job.reply()
    assert (await waiting.response()).status == 200


async def test_slots_of_a_gateway_that_was_killed_are_held_and_told(peers):
    pod = await peers.pod()
    owner, taker = await pair(peers, pod)
    (await peers.client(taker)).post("/lost")
    await pod.next()
    (await peers.client(owner)).post("/waiting")
    await until(lambda: counts(owner) == (1, 0))
    await peers.kill(taker)
    await settled(owner)
    assert owner.dispatcher(NAME).held == {pod.address: 1}
    assert counts(owner) == (1, 0)
    line = json.loads(await (await peers.observe(owner, "/v1/inflight")).readline())
    assert (line["name"], line["epoch"], line["members"]) == (OWNER, peers.store.roster.epoch, [OWNER])
    assert line["services"][NAME]["held"] == {pod.address: 1}
    metrics = (await (await peers.observe(owner, "/metrics")).read()).decode()
    assert 'gateway_held_slots{namespace="default",service="sd"} 1\n' in metrics
    assert "gateway_members 1.0\n" in metrics
    assert f'gateway_claims_total{{to="{OWNER}"}} 0\n' in metrics


async def test_a_held_slot_is_free_when_its_pod_is_gone(peers):
    pod, other = await peers.pod(), await peers.pod(answer_ok)
    owner, taker = await pair(peers, pod)
    (await peers.client(taker)).post("/lost")
    await pod.next()
    await peers.kill(taker)
    await settled(owner)
    assert owner.dispatcher(NAME).held == {pod.address: 1}
    owner.remove_backend(NAME, pod.address)
    assert owner.dispatcher(NAME).held == {}
    owner.add_backend(NAME, "other", other.address)
    assert (await (await peers.client(owner)).post().response()).status == 200


async def test_without_other_gateways_the_stream_and_the_metrics_say_nothing_of_them(kit):
    gateway = await kit.gateway()
    line = json.loads(await (await kit.observe(gateway, "/v1/inflight")).readline())
    assert line.keys() == {"gateway", "started", "at", "services"}
    metrics = (await (await kit.observe(gateway, "/metrics")).read()).decode()
    assert "gateway_members" not in metrics
    assert "gateway_held_slots" not in metrics


async def test_only_the_owner_asks_how_busy_a_pod_is_and_soon_after_each_end(peers):
    server = JobServer()
    pod = await peers.pod(server)
    busy = COMFYUI._replace(interval_s=60.0)
    config = replace(service_of(pod), busy=busy)
    owner, taker = [await peers.member(name, config) for name in (OWNER, TAKER)]
    await settled(owner, taker)
    await until(lambda: server.asked == 1)
    assert (await (await peers.client(taker)).post("/prompt").response()).status == 200
    await until(lambda: server.asked == 2)
    assert (counts(taker), counts(owner)) == ((0, 0), (0, 1)), "the job is at the pod, whoever had its client"
    server.done()
    assert taker.proxies[NAME].pods.checked == 0


async def test_a_pod_that_works_already_gets_nothing_from_its_new_owner_before_it_is_done(peers):
    server = JobServer()
    server.jobs = 1
    pod = await peers.pod(server)
    config = replace(service_of(pod), busy=COMFYUI)
    owner, taker = [await peers.member(name, config) for name in (OWNER, TAKER)]
    await settled(owner, taker)
    answer = asyncio.ensure_future((await peers.client(taker)).post("/prompt").response())
    await until(lambda: counts(taker) == (1, 0))
    await owner.drain(0.0, 20.0)
    asked = server.asked
    await until(lambda: server.asked > asked + 1)
    assert taker.dispatcher(NAME).owned
    assert (counts(taker), server.prompts) == ((1, 1), 0)
    server.done()
    assert (await answer).status == 200


async def test_a_new_owner_warms_no_pod_that_another_one_may_use(peers):
    pod = await peers.pod(answer_ok)
    config = replace(service_of(pod), warm_up=WarmUp("POST", "/warm", b"", 30.0))
    owner, taker = [await peers.member(name, config) for name in (OWNER, TAKER)]
    await settled(owner, taker)
    await until(lambda: pod.seen == ["/warm"])
    await owner.drain(0.0, 20.0)
    await until(lambda: taker.dispatcher(NAME).whole)
    assert (await (await peers.client(taker)).post("/work").response()).status == 200
    assert pod.seen == ["/warm", "/work"]
