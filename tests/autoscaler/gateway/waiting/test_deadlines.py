"""A client may say how long it waits: it is refused at once if that is too short, and waits no longer."""

import json
from dataclasses import replace

import pytest
from gateway_kit import NAME, answer_ok, service, until
from hypothesis import given
from hypothesis import strategies as st
from waiting_kit import Quote, Quotes, curl

from autoscaler.gateway.config import ErrorFormat, WaitingOptions
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.waiting.deadlines import DEADLINE, MalformedDeadlineError, patience

DEADLINES = WaitingOptions(deadlines=True)
NOW_S = 1_764_100_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({b"prefer": [b"wait=10"]}, (10, b"Preference-Applied: wait=10\r\n")),
        ({b"prefer": [b"respond-async, Wait = 10; x=y, wait=3"]}, (10, b"Preference-Applied: wait=10\r\n")),
        ({b"prefer": [b'foo="a, wait=5", wait="7"']}, (7, b"Preference-Applied: wait=7\r\n")),
        ({b"prefer": [b"respond-async", b"wait=0"]}, (0, b"Preference-Applied: wait=0\r\n")),
        ({b"prefer": [b"wait=soon"]}, None),
        ({b"prefer": [b"wait=-1"]}, None),
        ({b"prefer": [b"wait=" + b"9" * 300]}, None),
        ({DEADLINE: [b"1764100012.5"]}, (12.5, b"")),
        ({DEADLINE: [b"2025-11-25T19:46:50Z"]}, (10, b"")),
        ({DEADLINE: [b"2025-11-25T20:46:50.500+01:00"]}, (10.5, b"")),
        ({DEADLINE: [b"1"]}, (0, b"")),
        ({DEADLINE: [b"1764100012"], b"prefer": [b"wait=5"]}, (5, b"Preference-Applied: wait=5\r\n")),
        ({DEADLINE: [b"1764100002"], b"prefer": [b"wait=5"]}, (2, b"Preference-Applied: wait=5\r\n")),
    ],
    ids=str,
)
def test_a_client_says_in_two_ways_how_long_it_waits(headers, expected):
    assert patience(headers, NOW_S) == expected


@pytest.mark.parametrize(
    "values",
    [
        [b"soon"],
        [b""],
        [b"-1"],
        [b"nan"],
        [b"1e9"],
        [b"2026-01-01"],
        [b"2026-01-01T00:00:00"],
        [b"1", b"2"],
        [b"1" * 300],
    ],
    ids=repr,
)
def test_a_deadline_that_cannot_be_read_is_an_error(values):
    with pytest.raises(MalformedDeadlineError, match="must be Unix seconds"):
        patience({DEADLINE: values}, NOW_S)


@given(st.lists(st.binary(max_size=300), max_size=3), st.lists(st.binary(max_size=300), max_size=2))
def test_no_header_breaks_the_reader(prefer, deadline):
    try:
        found = patience({b"prefer": prefer, DEADLINE: deadline}, NOW_S)
    except MalformedDeadlineError:
        return
    assert found is None or (found.seconds >= 0 and len(found.applied) < 50)


async def gateway_with(kit, quote=None, *, pods=(), waiting=DEADLINES, **limits):
    config = replace(service(**limits), waiting=waiting, errors=ErrorFormat.PROBLEM)
    gateway = await kit.gateway(config, pods=pods)
    gateway.proxies[NAME].quotes.quote = Quotes(quote).quote
    return gateway


def outcomes(gateway):
    return {outcome: n for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


@pytest.mark.real_time
async def test_b104_a_request_whose_estimate_is_beyond_its_deadline_is_refused_at_once_and_starts_a_pod(kit):
    gateway = await gateway_with(kit, Quote(1, 30.0, 60.0))
    dispatcher = gateway.dispatcher(NAME)
    for _ in range(3):
        refused = await (await kit.client(gateway)).get("/", "Prefer: wait=20").response()
        assert refused.status == 503
        assert (refused.get(b"Preference-Applied"), refused.get(b"Retry-After")) == (b"wait=20", b"1")
        problem = json.loads(refused.body)
        assert (problem["code"], problem["estimate"]) == ("beyond_deadline", {"p50": 30.0, "p90": 60.0})
        await until(lambda: dispatcher.queued == 1)
    assert outcomes(gateway) == {RequestOutcome.BEYOND_DEADLINE: 3}
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    await until(lambda: (dispatcher.queued, dispatcher.running) == (0, 0))
    assert pod.seen == []
    assert (await (await kit.client(gateway)).get("/", "Prefer: wait=0").response()).status == 200


@pytest.mark.real_time
async def test_b104_curl_that_waits_for_a_busy_pod_for_no_longer_than_it_says_leaves_nothing_behind(kit):
    pod = await kit.pod()
    gateway = await gateway_with(kit, pods=[pod])
    (await kit.client(gateway)).get("/runs")
    job = await pod.next()
    for options, status in ((("--header", "Prefer: wait=0"), 503), (("--header", "X-Request-Deadline: 1"), 503)):
        answer = await curl(gateway, "/", *options)
        assert (answer["http_code"], json.loads(answer["body"])["code"]) == (status, "beyond_deadline")
    answer = await curl(gateway, "/", "--header", "Prefer: wait=1")
    assert (answer["http_code"], json.loads(answer["body"])["code"]) == (504, "queue_timeout")
    dispatcher = gateway.dispatcher(NAME)
    await until(lambda: (dispatcher.queued, dispatcher.running) == (0, 1))
    job.reply()


@pytest.mark.real_time
async def test_b104_a_request_whose_estimate_is_within_its_deadline_waits_and_is_served(kit):
    gateway = await gateway_with(kit, Quote(1, 10.0, 90.0))
    client = (await kit.client(gateway)).get("/", "Prefer: wait=20")
    await until(lambda: gateway.dispatcher(NAME).queued)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    answer = await client.response()
    assert (answer.status, answer.get(b"Preference-Applied")) == (200, b"wait=20")


@pytest.mark.real_time
async def test_b104_a_malformed_deadline_is_400_and_reaches_no_queue(kit):
    gateway = await gateway_with(kit)
    refused = await (await kit.client(gateway)).get("/", "X-Request-Deadline: <b>soon</b>").response()
    assert refused.status == 400
    assert "must be Unix seconds" in json.loads(refused.body)["detail"]
    assert b"<b>" not in refused.body
    assert gateway.proxies[NAME].counts.arrived == 0


@pytest.mark.real_time
async def test_b104_without_the_policy_nobody_reads_these_headers(kit):
    pod = await kit.pod()
    gateway = await gateway_with(kit, Quote(1, 30.0, 60.0), waiting=WaitingOptions())
    client = (await kit.client(gateway)).get("/", "Prefer: wait=0", "X-Request-Deadline: soon")
    await until(lambda: gateway.dispatcher(NAME).queued)
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    assert job.all(b"Prefer") == [b"wait=0"]
    job.reply()
    assert (await client.response()).get(b"Preference-Applied") is None
