"""Behaviours 109 to 112 of docs/reference/gateway.md: requests that are announced, over real sockets."""

import asyncio
import json
from dataclasses import replace

import aiohttp
import pytest
from gateway_kit import NAME, answer_ok, service, until

from autoscaler.gateway.dispatch.hints import HintEnd, HintLimits, PathHint
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.types import SlotUse
from autoscaler.gateway.reporting.metrics import text
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.prometheus_text import TEXT

pytestmark = pytest.mark.real_time

TOKEN = "t" * 32
LIMITS = HintLimits(most=3, most_per_sender=3, lead_s=3600.0)
PAGES = (PathRule(("/",), SlotUse.PASS, wake=False, hint=PathHint(1, 600.0)),)


def hinting(*, paths=PAGES, limits=LIMITS, **more):
    return replace(service(paths=paths, **more), hints=limits)


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return BearerTokens(tmp_path / "token")


async def post(gateway, body, *, token=TOKEN):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{gateway.metrics_port}/v1/hints"
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data=data) as answer:
        return answer.status, await answer.text()


def hints(gateway):
    return gateway.proxies[NAME].hints


def counted(gateway):
    return hints(gateway).at(gateway.loop_time()).requests


async def test_b109_a_program_with_a_token_announces_requests(kit, tokens):
    gateway = await kit.gateway(hinting(), tokens=tokens)
    status, answer = await post(gateway, {"service": NAME, "requests": 2, "inSeconds": 30, "for": 60})
    assert (status, json.loads(answer)) == (200, {"kept": 2, "refused": 0})
    assert counted(gateway) == 2
    status, answer = await post(gateway, {"service": NAME, "requests": 2})
    assert (status, json.loads(answer)) == (200, {"kept": 1, "refused": 1})
    status, answer = await post(gateway, {"service": NAME})
    assert (status, json.loads(answer)) == (429, {"kept": 0, "refused": 1})
    assert counted(gateway) == 3


async def test_b109_who_shows_no_token_announces_nothing_also_where_none_is_needed(kit, tokens):
    closed, open_to_all = await kit.gateway(hinting(), tokens=tokens), await kit.gateway(hinting())
    assert (await post(closed, {"service": NAME}, token=None))[0] == 401
    assert (await post(closed, {"service": NAME}, token="x" * 32))[0] == 401
    assert await post(open_to_all, {"service": NAME}) == (
        403,
        "hints need a token: start the gateway with --token-file\n",
    )
    assert counted(closed) == counted(open_to_all) == 0


NUMBER = "must be a number of seconds from"


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"{", 400, "the body must be a JSON object with service, requests, inSeconds and for"),
        (b"[" * 2000, 400, "the body must be a JSON object with service, requests, inSeconds and for"),
        ({"service": NAME, "request": 1}, 400, "'request': is no key; legal are service, requests, inSeconds and for"),
        ({"requests": 1}, 400, "service: is null; must be namespace/name"),
        ({"service": NAME, "requests": 0}, 400, "requests: is 0; must be a whole number from 1 to 1000"),
        ({"service": NAME, "requests": 1.5}, 400, "requests: is 1.5; must be a whole number from 1 to 1000"),
        ({"service": NAME, "requests": True}, 400, "requests: is true; must be a whole number from 1 to 1000"),
        ({"service": NAME, "inSeconds": -1}, 400, f"inSeconds: is -1; {NUMBER} 0 to 86400"),
        ({"service": NAME, "for": 1e9}, 400, f"for: is 1000000000.0; {NUMBER} 1 to 3600"),
        ({"service": NAME, "for": float("nan")}, 400, f"for: is NaN; {NUMBER} 1 to 3600"),
        ({"service": "default/other"}, 404, "service: 'default/other' is no service of this gateway"),
        ({"service": "default/plain"}, 409, "service: the policy of default/plain has no spec.hints"),
        (b" " * 5000, 413, "the body must have at most 4096 bytes"),
    ],
)
async def test_b109_what_is_wrong_with_a_post_is_named(kit, tokens, body, status, why):
    plain = service(name="default/plain", hosts=("plain.example.com",))
    gateway = await kit.gateway(hinting(), plain, tokens=tokens)
    assert await post(gateway, body) == (status, f"{why}\n")
    assert counted(gateway) == 0


async def test_b110_a_page_announces_a_job_and_the_job_of_the_same_client_uses_it_up(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(hinting(), pods=[pod])
    client = await kit.client(gateway)
    await client.get("/").response()
    await client.get("/").response()
    assert counted(gateway) == 1, "the same client has opened the page twice"
    await client.post("/run").response()
    assert counted(gateway) == 0
    await client.post("/run").response()
    assert {end.value: number for end, number in hints(gateway).hints.ends.items() if number} == {
        "replaced": 1,
        "arrived": 1,
    }


async def test_b110_health_checks_and_preflights_announce_nothing(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(hinting(), pods=[pod])
    client = await kit.client(gateway)
    await client.get("/", "User-Agent: kube-probe/1.30").response()
    client.send(
        b"OPTIONS / HTTP/1.1\r\nHost: sd.example.com\r\nOrigin: https://a.example\r\n"
        b"Access-Control-Request-Method: POST\r\n\r\n"
    )
    await client.response()
    assert hints(gateway).hints.announced_total == 0


async def test_b111_a_hint_ends_with_its_time_and_the_stream_says_when(kit, tokens):
    gateway = await kit.gateway(hinting(), tokens=tokens)
    told = []
    gateway.watchers.add(told.append)
    began_s = gateway.loop_time()
    await post(gateway, {"service": NAME, "for": 1})
    assert told, "who reads the stream hears of it"
    until_s = hints(gateway).at(gateway.loop_time()).until_s
    assert until_s == 0.0 or until_s >= began_s + 1
    await until(lambda: hints(gateway).hints.ends[HintEnd.EXPIRED])
    assert gateway.loop_time() >= began_s + 1
    assert counted(gateway) == 0


async def test_b111_the_stream_has_what_is_announced_and_only_of_services_that_take_hints(kit, tokens):
    plain = service(name="default/plain", hosts=("plain.example.com",))
    gateway = await kit.gateway(hinting(), plain, tokens=tokens)
    await post(gateway, {"service": NAME, "requests": 2, "for": 3600})
    line = await first_line(gateway)
    hinted = line["services"][NAME]
    assert hinted["hinted"] == 2
    assert 3500 < hinted["hinted_until"] - line["at"] <= 3600
    assert "hinted" not in line["services"]["default/plain"]


async def first_line(gateway):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{gateway.metrics_port}/v1/inflight"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
        return json.loads(await answer.content.readline())


async def test_b112_the_metrics_have_the_books_of_all_announced_requests(kit, tokens):
    plain = service(name="default/plain", hosts=("plain.example.com",))
    gateway = await kit.gateway(hinting(), plain, tokens=tokens)
    await post(gateway, {"service": NAME, "requests": 5, "for": 3600})
    lines = b"".join(text(gateway, TEXT)).decode().splitlines()
    of = 'namespace="default",service="sd"'
    found = {line for line in lines if line.startswith(("gateway_hinted_requests", "gateway_announced_requests"))}
    assert found == {
        f"gateway_hinted_requests{{{of}}} 3",
        f"gateway_announced_requests_total{{{of}}} 5",
        f'gateway_announced_requests_ended_total{{{of},end="arrived"}} 0',
        f'gateway_announced_requests_ended_total{{{of},end="expired"}} 0',
        f'gateway_announced_requests_ended_total{{{of},end="replaced"}} 0',
        f'gateway_announced_requests_ended_total{{{of},end="refused"}} 2',
    }


async def test_b112_a_changed_policy_keeps_hints_and_one_without_hints_forgets_them(kit, tokens):
    gateway = await kit.gateway(hinting(), tokens=tokens)
    await post(gateway, {"service": NAME, "requests": 2, "for": 3600})
    gateway.reload({NAME: hinting(limits=LIMITS._replace(most=1))})
    assert counted(gateway) == 2
    gateway.reload({NAME: service(paths=PAGES)})
    assert hints(gateway) is None
    assert (await post(gateway, {"service": NAME}))[0] == 409
    await asyncio.sleep(0)
