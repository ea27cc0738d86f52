"""A gateway quotes requests that it holds, grades its quotes, and shows the grade."""

import json
from dataclasses import replace

import pytest
from gateway_kit import NAME, PASS_ALL, answer_ok, in_time, service, until

from autoscaler.gateway.quotes import service_quotes
from autoscaler.gateway.quotes.quotes import Basis

pytestmark = pytest.mark.real_time
HOUR_S = 3600.0


async def gateway_with(kit, cold_start_s, **of_service):
    return await kit.gateway(replace(service(**of_service), cold_starts_s=(cold_start_s,)))


def held(gateway):
    """The request that waits; it is the only one."""
    (waiter,) = gateway.proxies[NAME]._holding
    return waiter


async def shown(kit, gateway):
    """The grade as metrics and figures say it."""
    figures = json.loads(await in_time((await kit.observe(gateway, "/v1/figures")).read()))
    metrics = (await in_time((await kit.observe(gateway, "/metrics")).read())).decode()
    line = 'inflight_quote_hits_total{{namespace="{}",service="{}",hit="{}"}} '
    counts = {
        hit: int(float(metrics.partition(line.format(*NAME.split("/"), hit))[2].partition("\n")[0]))
        for hit in ("kept", "missed")
    }
    assert figures["services"][NAME]["quotes"] == counts
    return counts


@pytest.mark.parametrize(("cold_start_s", "grade"), [(HOUR_S, (1, 0)), (0.0, (0, 1))])
async def test_a_quote_is_graded_when_its_request_starts(kit, cold_start_s, grade):
    gateway, pod = await gateway_with(kit, cold_start_s), await kit.pod(answer_ok)
    client = (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued)
    quotes = gateway.proxies[NAME].quotes
    assert quotes.quote(held(gateway)) is None, "nothing starts yet"
    gateway.expect_backend(NAME, "p0")
    quote = quotes.quote(held(gateway))
    assert (quote.position, quote.basis) == (1, Basis.CONFIGURED)
    gateway.add_backend(NAME, "p0", pod.address)
    assert (await client.response()).status == 200
    assert tuple((await shown(kit, gateway)).values()) == grade


async def test_a_request_gets_a_quote_for_the_grade_although_no_client_asks(kit, monkeypatch):
    monkeypatch.setattr(service_quotes, "FRESH_S", 0.01)
    gateway, pod = await gateway_with(kit, HOUR_S), await kit.pod(answer_ok)
    gateway.expect_backend(NAME, "p0")
    client = (await kit.client(gateway)).post()
    await until(lambda: gateway.proxies[NAME].quotes._quotes._promises)
    gateway.add_backend(NAME, "p0", pod.address)
    assert (await client.response()).status == 200
    assert await shown(kit, gateway) == {"kept": 1, "missed": 0}


async def test_a_client_that_leaves_before_its_time_is_over_counts_neither_way(kit):
    gateway = await gateway_with(kit, HOUR_S)
    client = (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued)
    gateway.expect_backend(NAME, "p0")
    assert gateway.proxies[NAME].quotes.quote(held(gateway)) is not None
    client.reset()
    await until(lambda: not gateway.dispatcher(NAME).queued)
    assert await shown(kit, gateway) == {"kept": 0, "missed": 0}


async def test_a_page_load_at_zero_waits_for_the_first_pod(kit):
    gateway = await gateway_with(kit, HOUR_S, paths=PASS_ALL)
    (await kit.client(gateway)).get()
    await until(lambda: gateway.dispatcher(NAME).holding_pass)
    gateway.expect_backend(NAME, "p0")
    quote = gateway.proxies[NAME].quotes.quote(held(gateway))
    assert quote.position == 1
    assert quote.p50_s >= HOUR_S


async def test_a_measured_start_replaces_the_configured_one(kit):
    gateway, pod = await gateway_with(kit, HOUR_S), await kit.pod()
    gateway.expect_backend(NAME, "p0", created_s=gateway.now_s() - 5.0)
    gateway.add_backend(NAME, "p0", pod.address)
    gateway.drain_backend(NAME, "p0")
    (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued)
    gateway.expect_backend(NAME, "p1")
    quote = gateway.proxies[NAME].quotes.quote(held(gateway))
    assert quote.basis is Basis.MEASURED
    assert 4.0 < quote.p50_s < 60.0


async def test_a_pod_that_is_expected_no_more_gives_no_quote(kit):
    gateway = await gateway_with(kit, HOUR_S)
    (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued)
    for end in (gateway.drain_backend, gateway.remove_backend):
        gateway.expect_backend(NAME, "p0")
        assert gateway.proxies[NAME].quotes.quote(held(gateway)) is not None
        end(NAME, "p0")
        assert gateway.proxies[NAME].quotes.quote(held(gateway)) is None
