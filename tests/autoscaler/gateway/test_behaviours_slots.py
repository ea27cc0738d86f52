"""Behaviours 60 to 69 of docs/reference/gateway.md: nobody holds a slot for nothing or walks around one."""

import asyncio
import inspect
import random
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from gateway_kit import HOST, NAME, answer_ok, refused_port, service, until
from test_behaviours_streaming import HANDSHAKE, SWITCH

from autoscaler.gateway.affinity import AffinityCookie
from autoscaler.gateway.config import Affinity, OnAbort, Timeouts
from autoscaler.gateway.cors import Cors
from autoscaler.gateway.counts import Histogram, RequestOutcome
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule, PathRules
from autoscaler.gateway.http import minimum_rate, pod_pool
from autoscaler.gateway.http.exchange import Exchange
from autoscaler.gateway.http.headers import STREAMS, read_response
from autoscaler.gateway.http.incoming_body import IncomingBody
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.pod_connection import PodConnection
from autoscaler.gateway.http.pod_pool import Pod
from autoscaler.gateway.http.request_parser import RequestParser
from autoscaler.gateway.http.response_parser import ResponseParser
from autoscaler.gateway.http.tunnel import GOING_AWAY
from autoscaler.gateway.probe_requests import ProbeUserAgents
from autoscaler.gateway.request_body import RequestBody
from autoscaler.gateway.service import ServiceProxy
from autoscaler.runtime.probe_user_agents import PROBES

pytestmark = pytest.mark.real_time

QUICK = Timeouts(request_s=1)
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"


def counts(gateway):
    dispatcher = gateway.dispatcher(NAME)
    return dispatcher.queued, dispatcher.running


def outcomes(gateway):
    return {outcome: n for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


def head_of(size, target="/slow"):
    return f"POST {target} HTTP/1.1\r\nHost: sd.example.com\r\nContent-Length: {size}\r\n\r\n".encode()


async def trickle(client):
    """Send a byte at a time for as long as anybody takes them."""
    while not client.writer.is_closing():
        client.send(b"x")
        await asyncio.sleep(0.005)


async def serve_first(job, client):
    await job.body()
    job.reply()
    assert (await client.response()).status == 200


@pytest.mark.parametrize("held", [False, True])
async def test_b60_a_body_that_trickles_is_408_and_the_slot_is_free_whether_it_was_held_or_not(kit, held, monkeypatch):
    monkeypatch.setattr(minimum_rate, "ALLOWANCE_S", 0.2)
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(request_s=60)), pods=[pod], body_budget=MemoryBudget(0))
    if held:
        first = (await kit.client(gateway)).post("/first")
        job = await pod.next()
    slow = await kit.client(gateway)
    slow.send(head_of(900_000))
    await until(lambda: sum(counts(gateway)) == 1 + held)
    behind = (await kit.client(gateway)).post("/behind")
    trickling = asyncio.ensure_future(trickle(slow))
    if held:
        await serve_first(job, first)
    assert (await slow.response()).status == 408
    while (job := await pod.next()).target != "/behind":
        await job.gone()
    await serve_first(job, behind)
    trickling.cancel()
    assert outcomes(gateway) == {RequestOutcome.SERVED: 1 + held, RequestOutcome.BODY_LATE: 1}


@pytest.mark.parametrize("held", [False, True])
async def test_b60_the_time_of_a_request_counts_from_the_grant_whatever_it_is_spent_on(kit, held):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=QUICK), pods=[pod], body_budget=MemoryBudget(0))
    if held:
        first = (await kit.client(gateway)).post("/first")
        job = await pod.next()
    slow = await kit.client(gateway)
    slow.send(head_of(900_000))
    await until(lambda: sum(counts(gateway)) == 1 + held)
    trickling = asyncio.ensure_future(trickle(slow))
    if held:
        await serve_first(job, first)
    assert (await slow.response()).status == 504
    trickling.cancel()
    assert counts(gateway) == (0, 0)


async def test_b60_a_slow_body_may_be_allowed(kit, monkeypatch):
    monkeypatch.setattr(minimum_rate, "ALLOWANCE_S", 0.01)
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(), min_body_bytes_per_s=0), pods=[pod])
    slow = await kit.client(gateway)
    slow.send(head_of(20))
    for _ in range(20):
        slow.send(b"x")
        await asyncio.sleep(0.005)
    job = await pod.next()
    assert await job.body() == b"x" * 20
    job.reply()
    assert (await slow.response()).status == 200


async def test_b60_nothing_is_added_to_a_response_that_began_before_its_body_ended(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(body_idle_s=1)), pods=[pod])
    client = await kit.client(gateway)
    client.send(head_of(10) + b"half")
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nearly")
    assert (await client.head()).status == 200
    assert await client.ended() == b"early"
    assert counts(gateway) == (0, 0)


async def test_b61_a_body_that_came_slowly_while_it_was_held_reaches_its_pod_at_once(kit):
    pod = await kit.pod()
    timeouts = Timeouts(body_idle_s=0.02)
    gateway = await kit.gateway(service(timeouts=timeouts), pods=[pod])
    first = (await kit.client(gateway)).post("/first")
    job = await pod.next()
    slow = await kit.client(gateway)
    slow.send(head_of(900_000))
    await until(lambda: counts(gateway) == (1, 1))
    for _ in range(9):
        slow.send(b"x" * 100_000)
        await asyncio.sleep(0.03)
    await slow.writer.drain()
    await until(lambda: gateway.body_budget.taken_bytes == 900_000)
    await serve_first(job, first)
    job = await pod.next()
    assert await job.body() == b"x" * 900_000
    job.reply()
    assert (await slow.response()).status == 200
    assert gateway.body_budget.taken_bytes == 0


async def test_b61_held_bodies_take_no_more_than_their_budget_and_return_it(kit):
    budget = MemoryBudget(1_000_000)
    gateway = await kit.gateway(body_budget=budget)
    clients = [await kit.client(gateway) for _ in range(5)]
    for client in clients:
        client.send(head_of(600_000) + b"x" * 600_000)
    await until(lambda: counts(gateway) == (5, 0))
    await until(lambda: budget.taken_bytes >= 600_000)
    assert budget.taken_bytes <= 1_000_000

    async def answer(job):
        assert await job.body() == b"x" * 600_000
        job.send()

    gateway.set_backends(NAME, {"p0": (await kit.pod(answer)).address})
    assert [(await client.response()).status for client in clients] == [200] * 5
    assert budget.taken_bytes == 0


@pytest.mark.parametrize("size", [0, 1, 100_000, 3 << 20])
async def test_b61_a_body_is_whole_though_the_budget_is_empty(kit, size):
    gateway = await kit.gateway(body_budget=MemoryBudget(50_000))
    body = bytes(range(251)) * (size // 251 + 1)
    client = (await kit.client(gateway)).post("/held", body[:size])
    await until(lambda: counts(gateway) == (1, 0))
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    assert await job.body() == body[:size]
    job.reply()
    assert (await client.response()).status == 200


@pytest.mark.parametrize(
    ("sent", "status"), [(b"5\r\nhello\r\nzz\r\n", 400), (b"20\r\n%b\r\n0\r\n\r\n" % (b"x" * 32), 413)]
)
async def test_b61_a_held_body_that_is_malformed_or_too_large_reaches_no_pod(kit, sent, status):
    gateway = await kit.gateway(replace(service(), max_body_bytes=20))
    client = await kit.client(gateway)
    client.send(b"POST / HTTP/1.1\r\nHost: sd.example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
    await until(lambda: counts(gateway) == (1, 0))
    client.send(sent)
    (connection,) = gateway.clients.connections
    await until(lambda: connection._pipeline._parser._request is None or connection._pipeline.stopped)
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await client.response()).status == status
    assert pod.connections == 0
    assert counts(gateway) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("on_abort", OnAbort)
@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/x-ndjson"])
async def test_b62_a_stream_whose_client_has_disconnected_ends_with_the_time_of_the_request(kit, on_abort, kind):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(timeouts=QUICK), on_abort=on_abort), pods=[pod])
    client = (await kit.client(gateway)).get("/events")
    job = await pod.next()
    job.send(CHUNKED % kind)
    await client.head()

    async def beat():
        while True:
            job.send(b"1\r\n.\r\n")
            await asyncio.sleep(0.01)

    beating = asyncio.ensure_future(beat())
    await client.reader.readexactly(6)
    client.close()
    if on_abort is OnAbort.INTERRUPT:
        (await pod.next()).reply()
    await until(lambda: counts(gateway) == (0, 0))
    beating.cancel()
    await job.gone()


@pytest.mark.parametrize("kind", [b"application/x-ndjson", b"Text/Event-Stream; charset=utf-8"])
async def test_b62_a_stream_that_moves_is_not_cut(kit, kind):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=QUICK), pods=[pod])
    client = (await kit.client(gateway)).get("/tokens")
    job = await pod.next()
    job.send(CHUNKED % kind)
    for _ in range(20):
        job.send(b"1\r\n.\r\n")
        await asyncio.sleep(0.06)
    job.reply(b"0\r\n\r\n")
    assert (await client.response()).body == b"." * 20


@pytest.mark.parametrize("kind", [*sorted(STREAMS), b"Text/Event-Stream;charset=utf-8", b"application/x-ndjson ; a=b"])
def test_b62_a_stream_is_known_by_its_type(kind):
    assert read_response(200, b"OK", [(b"content-type", kind)], has_body=True).is_stream


@pytest.mark.parametrize("kind", [b"application/json", b"text/event-streams", b"application/grpc", b"", b";"])
def test_b62_what_has_another_type_is_none(kind):
    assert not read_response(200, b"OK", [(b"Content-Type", kind)], has_body=True).is_stream


@pytest.mark.slow
async def test_b63_a_slow_reader_of_a_large_response_holds_the_slot_no_longer_than_the_time_of_the_request(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=replace(QUICK, stalled_client_s=3600)), pods=[pod])
    slow = (await kit.client(gateway)).post("/slow")
    slow.reader._transport.pause_reading()
    job = await pod.next()
    await job.body()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 20_000_000)
    await until(lambda: counts(gateway) == (0, 0))
    await until(lambda: outcomes(gateway) == {RequestOutcome.UPSTREAM_TIMEOUT: 1})


PROBED = tuple(f"Mozilla/5.0 (compatible; {agent.upper()}1.0)" for agent in PROBES)
PASS_AND_COUNT = (PathRule(("/pass*",), SlotUse.PASS, max_per_pod=2), PathRule(("/count*",)))


@pytest.mark.parametrize("target", ["/pass", "/count"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_b65_a_probe_wakes_no_pod_whatever_its_path_costs(kit, target, method):
    gateway = await kit.gateway(service(paths=PASS_AND_COUNT))
    for agent in PROBED:
        client = await kit.client(gateway)
        client.send(f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {agent}\r\n\r\n".encode())
        assert (await client.response(bodiless=method == "HEAD")).status == 503
    assert counts(gateway) == (0, 0)
    assert gateway.dispatcher(NAME).passed_total == 0


async def test_b65_a_probes_user_agent_changes_nothing_else(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_AND_COUNT), pods=[pod])
    agent = "User-Agent: kube-probe/1.30"
    for _ in range(3):
        (await kit.client(gateway)).get("/count", agent)
        (await kit.client(gateway)).get("/pass", agent)
    await until(lambda: sum(counts(gateway)) == 3)
    for _ in range(3):
        await pod.next()
    assert sorted(pod.seen) == ["/count", "/pass", "/pass"]
    assert counts(gateway) == (2, 1)
    assert gateway.proxies[NAME].counts.arrived == 3


@pytest.mark.parametrize("start", ["POST / HTTP/1.1\r\nContent-Length: 0", "GET / HTTP/1.1\r\nContent-Length: 2"])
async def test_b65_what_is_no_get_or_head_or_has_a_body_is_no_probe(kit, start):
    gateway = await kit.gateway()
    (await kit.client(gateway)).send(f"{start}\r\nHost: {HOST}\r\nUser-Agent: GoogleHC/1.0\r\n\r\n{{}}".encode())
    await until(lambda: counts(gateway) == (1, 0))


async def test_b65_the_user_agents_of_probes_are_a_setting(kit):
    gateway = await kit.gateway(replace(service(), probes=("Our Monitor",)))
    client = await kit.client(gateway)
    assert (await client.get("/", "User-Agent: x/1 our monitor").response()).status == 503
    client.get("/", "User-Agent: kube-probe/1.30")
    await until(lambda: counts(gateway) == (1, 0))


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND")
HEADERS = (
    *(f"User-Agent: {agent}" for agent in ("curl/8", *PROBES)),
    *("Origin: https://x.example", "Origin: null", "Purpose: prefetch", "Upgrade: h2c", "Accept: text/event-stream"),
    *("Access-Control-Request-Headers: x", "X-HTTP-Method-Override: POST", "Expect: 100-continue", "DNT: 1"),
    *("K-Network-Probe: probe", "Knative-Serving-Probe: queue", "X-Forwarded-For: 127.0.0.1", "Connection: close"),
)


@pytest.mark.parametrize("seed", range(5))
async def test_b65_nothing_that_a_client_says_gets_it_past_the_slots(kit, seed):
    rng = random.Random(seed)  # noqa: S311
    running = most = 0

    async def answer(job):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(rng.randrange(5)):
            await asyncio.sleep(0)
        await job.body()
        running -= 1
        job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    pods = [await kit.pod(answer), await kit.pod(answer)]
    gateway = await kit.gateway(service(paths=PASS_AND_COUNT, queue_length=1000), pods=pods)

    async def proxied():
        method, body = rng.choice(METHODS), b"x" * rng.choice((0, 0, 2, 2000))
        lines = rng.sample(HEADERS, rng.randrange(4))
        client = await kit.client(gateway)
        length = [f"Content-Length: {len(body)}"] if body or rng.random() < 0.5 else []
        client.send(
            "\r\n".join([f"{method} /count HTTP/1.1", f"Host: {HOST}", *lines, *length, "", ""]).encode() + body
        )
        while (message := await client.response(bodiless=method == "HEAD")).status == 100:
            pass
        assert message.status == 200
        client.close()

    for _ in range(4):
        await asyncio.gather(*(proxied() for _ in range(25)))
    assert most == len(pods)
    assert counts(gateway) == (0, 0)


def preflight(client, *lines, target="/count", origin="https://app.example"):
    asked = [f"Origin: {origin}", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"]
    head = [f"OPTIONS {target} HTTP/1.1", f"Host: {HOST}", *asked, *lines, "", ""]
    client.send("\r\n".join(head).encode())
    return client


async def test_b66_a_preflight_takes_no_slot_and_is_not_counted(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_AND_COUNT), pods=[pod])
    (await kit.client(gateway)).post("/count")
    await pod.next()
    (await kit.client(gateway)).post("/count")
    await until(lambda: counts(gateway) == (1, 1))
    browser = preflight(await kit.client(gateway))
    asked = await pod.next()
    assert asked.start == b"OPTIONS /count HTTP/1.1"
    assert asked.all(b"Access-Control-Request-Method") == [b"POST"]
    asked.reply(b"HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\n\r\n")
    assert (await browser.response(bodiless=True)).get(b"Access-Control-Allow-Origin") == b"*"
    assert gateway.proxies[NAME].counts.arrived == 2


async def test_b66_at_zero_a_preflight_is_held_and_asks_for_a_pod(kit):
    gateway = await kit.gateway(service(paths=PASS_AND_COUNT))
    browser = preflight(await kit.client(gateway))
    await until(lambda: gateway.dispatcher(NAME).holding_pass == 1)
    assert counts(gateway) == (0, 0)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await browser.response()).status == 200


@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method", "a body"])
async def test_b66_what_is_no_whole_preflight_counts(kit, missing):
    gateway = await kit.gateway(service(paths=PASS_AND_COUNT))
    lines = {"Origin": "Origin: x", "Access-Control-Request-Method": "Access-Control-Request-Method: POST"}
    lines.pop(missing, None)
    lines |= {"a body": "Content-Length: 2"} if missing == "a body" else {}
    client = await kit.client(gateway)
    client.send("\r\n".join(["OPTIONS /count HTTP/1.1", f"Host: {HOST}", *lines.values(), "", "{}"]).encode())
    await until(lambda: counts(gateway) == (1, 0))


APP = replace(service(paths=PASS_AND_COUNT, queue_length=0), cors=Cors(("https://app.example",)))


async def test_b66_with_cors_the_gateway_answers_and_wakes_no_pod(kit):
    gateway = await kit.gateway(APP)
    client = await kit.client(gateway)
    answer = await preflight(client).response(bodiless=True)
    assert answer.status == 204
    assert answer.get(b"Access-Control-Allow-Origin") == b"https://app.example"
    assert answer.get(b"Access-Control-Allow-Methods") == b"GET, HEAD, POST"
    assert answer.get(b"Access-Control-Allow-Headers") == b"Content-Type, Authorization"
    assert answer.get(b"Access-Control-Max-Age") == b"600"
    assert answer.get(b"Vary") == b"Origin"
    assert (await preflight(client, origin="https://evil.example").response()).status == 403
    assert outcomes(gateway) == {RequestOutcome.PREFLIGHT: 2}
    assert gateway.dispatcher(NAME).passed_total == 0


async def test_b66_with_cors_a_page_may_read_what_comes_refusals_too(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(APP, pods=[pod])
    page = (await kit.client(gateway)).get("/count", "Origin: https://app.example")
    (await pod.next()).reply()
    assert (await page.response()).get(b"Access-Control-Allow-Origin") == b"https://app.example"
    page.get("/count", "Origin: https://app.example")
    job = await pod.next()
    refused = (await kit.client(gateway)).get("/count", "Origin: https://app.example")
    response = await refused.response()
    assert (response.status, response.get(b"Access-Control-Allow-Origin")) == (503, b"https://app.example")
    job.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\naccess-control-allow-origin: https://own.example\r\n\r\n")
    assert (await page.response()).get(b"access-control-allow-origin") == b"https://own.example"


@pytest.mark.parametrize("origin", ["", "Origin: https://evil.example", "Origin: https://app.example.evil"])
async def test_b66_with_cors_no_other_page_may_read_and_caches_are_told(kit, origin):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(APP, pods=[pod])
    response = await (await kit.client(gateway)).get("/count", *filter(None, [origin])).response()
    assert response.get(b"Access-Control-Allow-Origin") is None
    assert response.get(b"Vary") == b"Origin"


async def test_b66_with_cors_for_any_origin_every_page_is_told_the_same(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(replace(APP, cors=Cors(("*",), headers=())), pods=[pod])
    client = await kit.client(gateway)
    answer = await preflight(client, origin="null").response(bodiless=True)
    assert (answer.status, answer.get(b"Access-Control-Allow-Origin")) == (204, b"*")
    assert (answer.get(b"Access-Control-Allow-Headers"), answer.get(b"Vary")) == (None, None)
    assert (await client.get("/count", "Origin: https://x").response()).get(b"Access-Control-Allow-Origin") == b"*"


async def test_b64_what_a_drained_pod_serves_ends_at_once_when_the_pod_is_removed(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(concurrency=3), pods=[pod])
    running = (await kit.client(gateway)).post("/running")
    await pod.next()
    begun = (await kit.client(gateway)).get("/begun")
    (await pod.next()).send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await begun.head()
    socket = await kit.client(gateway)
    socket.send(HANDSHAKE)
    (await pod.next()).send(SWITCH)
    await socket.head()
    gateway.drain_backend(NAME, "p0")
    gateway.remove_backend(NAME, "p0")
    assert (await running.response()).status == 502
    assert await begun.ended() == b"half"
    assert await socket.ended() == GOING_AWAY
    assert counts(gateway) == (0, 0)
    assert gateway.proxies[NAME].counts.tunnels == 0


async def test_b64_a_request_granted_a_pod_in_the_moment_of_its_removal_goes_to_another(kit):
    pod, other = await kit.pod(), await kit.pod()
    gateway = await kit.gateway()
    client = (await kit.client(gateway)).post("/held")
    await until(lambda: counts(gateway) == (1, 0))
    gateway.add_backend(NAME, "p0", pod.address)
    gateway.remove_backend(NAME, "p0")
    gateway.add_backend(NAME, "p1", other.address)
    job = await other.next()
    await job.body()
    job.reply()
    assert (await client.response()).status == 200
    assert pod.connections == 0


@pytest.mark.parametrize(
    "address", ["a..b:80", f"{'x' * 64}.example:80", "127.0.0.1:99999", "127.0.0.1:none", "[::1", ""]
)
async def test_b67_a_pod_with_an_invalid_address_is_a_pod_that_refuses(kit, address):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway()
    gateway.set_backends(NAME, {"none": address, "good": pod.address})
    for _ in range(3):
        assert (await (await kit.client(gateway)).post().response()).status == 200
    assert outcomes(gateway) == {RequestOutcome.SERVED: 3}


CALLED_WITHOUT_A_REQUEST = {
    *(
        "set_backends",
        "add",
        "drain",
        "remove",
        "apply",
        "set_keys",
        "reject_all",
        "set_pods",
    ),  # how pods and policies change
    *("connection_made", "connection_lost", "data_received", "eof_received"),  # what asyncio calls
}
COLLABORATORS = (
    *(RequestParser, IncomingBody, PathRules, ProbeUserAgents, AffinityCookie, ServiceProxy, RequestBody),
    *(Exchange, Pod, PodConnection, ResponseParser, Histogram),
)
FAULTS = [
    pytest.param(each, name, id=f"{each.__name__}.{name}")
    for each in COLLABORATORS
    for name, member in vars(each).items()
    if inspect.isfunction(member) and not name.startswith("_") and name not in CALLED_WITHOUT_A_REQUEST
]


def fail(*_args, **_more):
    raise RuntimeError("an injected fault")


async def ways_through(kit, gateway, pod):
    """Send requests by every way that one can take, each by a client of its own; give what the clients were told."""

    async def ask(*parts):
        client = await kit.client(gateway)
        answer = asyncio.ensure_future(client.response())
        for part, may_go_on in parts:
            client.send(part)
            await until(lambda go_on=may_go_on: answer.done() or go_on())
        return answer

    held = await ask((head_of(2) + b"{}", lambda: counts(gateway) == (1, 0)))
    gateway.add_backend(NAME, "p0", pod.address)
    answers = [
        held,
        await ask((head_of(4) + b"ha", lambda: pod.open), (b"lf", bool)),
        *[await ask((f"GET /pass HTTP/1.1\r\nHost: {HOST}\r\nCookie: a=b\r\n\r\n".encode(), bool)) for _ in range(2)],
    ]
    return [(await answer).status for answer in answers]


@pytest.mark.parametrize(("owner", "name"), FAULTS)
async def test_b67_an_internal_error_is_500_if_nothing_was_sent_and_frees_the_slot(
    kit, owner, name, monkeypatch, caplog
):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(service(paths=PASS_AND_COUNT, affinity=Affinity("sd", 60)))
    monkeypatch.setattr(owner, name, fail)
    statuses = await ways_through(kit, gateway, pod)
    await until(lambda: not gateway.open)
    assert set(statuses) <= {200, 500}
    came_to = outcomes(gateway)
    if owner is not RequestParser:  # whoever has no head belongs to no service
        assert sum(came_to.values()) == len(statuses)
        assert came_to.get(RequestOutcome.ERROR, 0) >= statuses.count(500)
        assert gateway.proxies[NAME].counts.responses == [0, statuses.count(200), 0, 0, statuses.count(500)]
    assert caplog.text.count("RuntimeError: an injected fault") >= statuses.count(500)
    assert counts(gateway) == (0, 0)
    assert not gateway.proxies[NAME].pods.listed["p0"].open
    monkeypatch.undo()
    assert (await (await kit.client(gateway)).post("/after").response()).status == 200


async def test_b67_an_internal_error_in_the_middle_of_a_response_cuts_it(kit, monkeypatch, caplog):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get("/")
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await client.head()
    monkeypatch.setattr(Exchange, "received", fail)
    job.send(b"more")
    assert await client.ended() == b"half"
    assert outcomes(gateway) == {RequestOutcome.ERROR: 1}
    assert gateway.proxies[NAME].counts.cut_responses == 1
    assert caplog.text.count("RuntimeError: an injected fault") == 1


async def test_b67_a_request_is_served_even_if_it_cannot_be_logged(kit, caplog):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod], on_ended=fail)
    client = await kit.client(gateway)
    assert [(await client.get().response()).status for _ in range(2)] == [200, 200]
    assert caplog.text.count("RuntimeError: an injected fault") == 2


class OneAtATime(BaseHTTPRequestHandler):
    """Python's own server serves one connection at a time, and keeps it until its client closes it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_args):
        pass


async def test_b68_a_pod_that_serves_one_connection_at_a_time_waits_for_no_idle_one(kit, monkeypatch):
    monkeypatch.setattr(pod_pool, "IDLE_LIMIT_S", 3600)
    gateway = await kit.gateway()
    with HTTPServer(("127.0.0.1", 0), OneAtATime) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        gateway.set_backends(NAME, {"p0": f"127.0.0.1:{server.server_port}"})
        client = await kit.client(gateway)
        for send in (client.post, client.post, client.get, client.get, client.post, client.get):
            send("/")
            assert (await client.response()).status == 200
        gateway.set_backends(NAME, {})
        await asyncio.to_thread(server.shutdown)


PASS_TWO = (PathRule(("/ws", "/page*"), SlotUse.PASS, max_per_pod=2),)


async def open_socket(kit, gateway, pod):
    client = await kit.client(gateway)
    client.send(HANDSHAKE)
    job = await pod.next()
    job.send(SWITCH)
    await client.head()
    return client, job


async def test_b69_no_more_websockets_are_open_at_a_pod_than_its_path_allows(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_TWO), pods=[pod])
    dispatcher = gateway.dispatcher(NAME)
    sockets = [await open_socket(kit, gateway, pod) for _ in range(2)]
    waiting = await kit.client(gateway)
    waiting.send(HANDSHAKE)
    await until(lambda: dispatcher.holding_pass == 1)
    page = (await kit.client(gateway)).get("/page")
    job = await pod.next()
    assert job.target == "/page"
    job.reply()
    assert (await page.response()).status == 200
    sockets[0][0].reset()
    (await pod.next()).send(SWITCH)
    assert (await waiting.head()).status == 101
    assert (dispatcher.holding_pass, dispatcher.passing) == (0, 0)


async def test_b69_open_websockets_keep_neither_the_last_pod_nor_one_that_drains(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_TWO), pods=[pod])
    await open_socket(kit, gateway, pod)
    assert (gateway.dispatcher(NAME).passing, gateway.dispatcher(NAME).idle) == (0, ("p0",))
    gateway.drain_backend(NAME, "p0")
    assert gateway.dispatcher(NAME).backends == ()


@pytest.mark.parametrize("agent", ["curl/8", "kube-probe/1.30"])
async def test_b39_a_request_that_wakes_no_pod_is_refused_at_once_if_every_pod_refuses(kit, agent):
    paths = (PathRule(("/favicon.ico",), SlotUse.PASS, wake=agent == "kube-probe/1.30"),)
    gateway = await kit.gateway(service(paths=paths))
    gateway.set_backends(NAME, {"p0": f"127.0.0.1:{refused_port()}", "p1": f"127.0.0.1:{refused_port()}"})
    client = await kit.client(gateway)
    for _ in range(5):
        assert (await client.get("/favicon.ico", f"User-Agent: {agent}").response()).status == 503
    assert outcomes(gateway) == {RequestOutcome.ASLEEP: 5}
    (await kit.client(gateway)).post("/work")
    await until(lambda: counts(gateway) == (1, 0))
