"""A client that waited learns where it stood, what was expected, and how long it took."""

import math
import random
from dataclasses import replace

import pytest
from gateway_kit import NAME, service, until
from waiting_kit import Quote, Quotes, timing

from autoscaler.gateway.config import WaitingOptions
from autoscaler.gateway.waiting.held_client import HeldClient

HEADERS = WaitingOptions(headers=True)
OURS = (b"X-Inflight-Position", b"X-Inflight-Estimate", b"Server-Timing")


def told(message):
    return [name for name in OURS if message.all(name)]


async def gateway_with(kit, quote, *, pods=(), waiting=HEADERS, **limits):
    gateway = await kit.gateway(replace(service(**limits), waiting=waiting), pods=pods, rng=random.Random(1))  # noqa: S311
    gateway.proxies[NAME].quotes.quote = Quotes(quote).quote
    return gateway


@pytest.mark.real_time
async def test_b102_an_answer_after_a_wait_says_the_place_the_estimate_and_the_durations(kit):
    records = []
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(), waiting=HEADERS), on_ended=records.append)
    gateway.proxies[NAME].quotes.quote = Quotes(Quote(2, 25.04, 34.0)).quote
    client = (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued)
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    await job.body()
    job.reply()
    answer = await client.response()
    assert answer.get(b"X-Inflight-Position") == b"2"
    assert answer.get(b"X-Inflight-Estimate") == b"25.0;p90=34.0"
    spans = timing(answer)
    assert spans.keys() == {"start", "queue", "upstream"}
    await until(lambda: records)
    assert spans["start"] + spans["queue"] == pytest.approx(records[0].wait_s * 1000, abs=0.11)


@pytest.mark.real_time
@pytest.mark.parametrize("waiting", [HEADERS, WaitingOptions()], ids=["headers", "default"])
async def test_b102_a_request_that_need_not_wait_and_a_service_that_says_nothing_get_no_such_header(kit, waiting):
    pod = await kit.pod()
    gateway = await gateway_with(kit, Quote(1, 1.0, 2.0), pods=[pod], waiting=waiting)
    first = (await kit.client(gateway)).post("/first")
    job = await pod.next()
    second = (await kit.client(gateway)).post("/second")
    await until(lambda: gateway.dispatcher(NAME).queued)
    await job.body()
    job.reply()
    assert told(await first.response()) == []
    job = await pod.next()
    await job.body()
    job.reply()
    assert told(await second.response()) == (list(OURS) if waiting.headers else [])


@pytest.mark.real_time
@pytest.mark.parametrize(
    "quote", [None, Quote(1, math.nan, 2.0), Quote(1, 1.0, math.inf), Quote(1, -1.0, 2.0)], ids=str
)
async def test_b102_what_is_not_known_is_not_told(kit, quote):
    gateway = await gateway_with(kit, quote, queue_timeout_s=0.05)
    refused = await (await kit.client(gateway)).post().response()
    assert (refused.status, told(refused)) == (504, [b"Server-Timing"])
    assert timing(refused).keys() == {"start", "queue"}
    assert refused.get(b"Retry-After") == b"1"


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("waiting", "least", "most"), [(HEADERS, 40, 50), (WaitingOptions(), 1, 1)], ids=["headers", "default"]
)
async def test_b102_retry_after_of_a_refusal_is_the_estimate_spread_by_up_to_a_quarter(kit, waiting, least, most):
    gateway = await gateway_with(kit, Quote(1, 40.0, 60.0), waiting=waiting, queue_length=0)
    refused = await (await kit.client(gateway)).get().response()
    assert refused.status == 503
    assert least <= int(refused.get(b"Retry-After")) <= most


@pytest.mark.real_time
async def test_b102_retry_after_is_at_most_a_day_however_long_the_wait(kit):
    gateway = await gateway_with(kit, Quote(1, 86_400.0, 86_400.0), queue_length=0)
    assert (await (await kit.client(gateway)).get().response()).get(b"Retry-After") == b"86400"


class Service:
    config = replace(service(), waiting=HEADERS)
    ready_since_s = None

    def estimate(self, _request):
        return None


class Request:
    arrived_s = 100.0


class Time:
    now_s = 100.0

    def time(self):
        return self.now_s


@pytest.mark.parametrize(
    ("ready_since_s", "expected"),
    [
        (None, b"start;dur=30000.0, queue;dur=0.0, upstream;dur=2000.0"),
        (120.0, b"start;dur=20000.0, queue;dur=10000.0, upstream;dur=2000.0"),
        (50.0, b"start;dur=0.0, queue;dur=30000.0, upstream;dur=2000.0"),
        (131.0, b"start;dur=30000.0, queue;dur=0.0, upstream;dur=2000.0"),
    ],
)
def test_the_wait_for_a_start_and_the_wait_for_a_slot_are_told_apart(ready_since_s, expected):
    loop, of = Time(), Service()
    held = HeldClient(of, Request(), None, 1_764_100_000.0, loop)
    held.held()
    loop.now_s, of.ready_since_s = 130.0, ready_since_s
    held.granted()
    loop.now_s = 132.0
    assert held.lines() == b"Server-Timing: " + expected + b"\r\n"


def test_a_request_that_its_pod_refused_waits_on_and_its_first_estimate_stays():
    loop, of = Time(), Service()
    held = HeldClient(of, Request(), None, 1_764_100_000.0, loop)
    assert held.lines() == b""
    of.estimate = lambda _request: Quote(1, 5.0, 6.0)
    held.held()
    held.granted()
    of.estimate = lambda _request: Quote(9, 9.0, 9.0)
    held.held()
    loop.now_s = 104.0
    lines = b"X-Inflight-Position: 1\r\nX-Inflight-Estimate: 5.0;p90=6.0\r\n"
    assert held.lines() == lines + b"Server-Timing: start;dur=4000.0, queue;dur=0.0\r\n"
