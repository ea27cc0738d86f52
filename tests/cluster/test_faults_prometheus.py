"""Prometheus goes, forgets, lies, breaks off and dawdles, each in front of a service of its own, all at the same time.

While the gateways' streams are silent too nothing is known, and nothing may fall. Then the streams are heard again and
Prometheus still is not to be had: they decide alone, down to zero and up from it.
"""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from fault_kit import Prometheus, installed, known, together
from fault_proxy import Answers, Drips, Proxy, Refuses, Silent, samples

pytestmark = [pytest.mark.program, pytest.mark.real_time]

CLIENTS = 2
UNKNOWN_S = 8
"""Longer than the window of 6 s after which a count of zero would have ended every pod."""


JSON = {"Content-Type": "application/json"}
NOTHING = {"status": "success", "data": {"resultType": "vector", "result": []}}
LIES = {
    "answers that there is nothing": (Answers(200, json.dumps(NOTHING).encode(), **JSON), "no series for namespace="),
    "answers NaN": (samples("value", lambda _: "NaN"), "the value is nan, which is not a number of requests"),
    "answers what is a minute old": (samples("oldest", lambda at: str(float(at) - 60)), "the oldest sample is 6"),
    "answers with a page of HTML": (Answers(200, b"<html>", **{"Content-Type": "text/html"}), "is this a Prometheus?"),
    "answers with 10 MB without an end": (
        Answers(200, b'{"status": "' + b"x" * 10**7, **JSON),
        "the response is larger than",
    ),
    "answers a byte a second": (Drips(), "no response within"),
}
"""What it does, and the words by which a decision tells of it."""
DOWN, RESTARTED, PARTIAL = "is gone", "is restarted with an empty store", "has lost the series of one of two gateways"
HURT = {
    DOWN: "not reachable",
    PARTIAL: "Prometheus has series of 1 of 2 gateways",
    **{name: words for name, (_, words) in LIES.items()},
}


async def story(control_plane, folder, binary):
    """Give for each service its ledger, and how its replicas had gone when the streams were heard again."""
    async with (
        installed(control_plane, folder, [*HURT, RESTARTED], gateways=2) as it,
        prometheus_servers(it, folder, binary) as (servers, liars, scraping),
    ):
        for name, service in it.services.items():
            await service.install(prometheus=liars[name].url if name in liars else servers[name].url)
            service.start_load(CLIENTS)
        await together(service.serves(CLIENTS) for service in it.services.values())
        await together(service.decided(known) for service in it.services.values())

        for name, (act, _) in LIES.items():
            liars[name].does(act)
        scraping.does(Refuses())
        servers[DOWN].kill()
        servers[RESTARTED].kill()
        servers[RESTARTED].start()
        for gateway in it.gateways:
            gateway.stream.does(Silent())
        hurt = [it[name] for name in HURT]
        await together(service.decided(doubted) for service in hurt)
        await together(service.stop_load() for service in hurt)
        await together(service.decided(doubted, UNKNOWN_S) for service in hurt)
        await it[RESTARTED].decided(known)
        held = {name: list(service.ledger.replicas) for name, service in it.services.items()}

        for gateway in it.gateways:
            gateway.stream.heal()
            gateway.stream.drop()
        await together(service.replicas_are(0) for service in hurt)
        await together(service.one() for service in hurt)
        await it[RESTARTED].stop_load()
        await it[RESTARTED].replicas_are(0)
    return {name: (service.ledger, held[name]) for name, service in it.services.items()}


def doubted(record):
    """Whether the count was not known, or not wholly."""
    return not known(record)


@asynccontextmanager
async def prometheus_servers(it, folder, binary):
    """Run four of them, with a liar in front of one for each lie, and a proxy before a gateway that one scrapes."""
    one, other = (gateway.scraped for gateway in it.gateways)
    async with AsyncExitStack() as stack:
        scraping = await stack.enter_async_context(Proxy(f"http://{next(iter(one))}").running())
        both, through = one | other, {scraping.address: it.gateways[0].stream.address}
        targets = {DOWN: both, RESTARTED: both, PARTIAL: through | other, "": both}
        servers = {}
        for number, (name, scraped) in enumerate(targets.items()):
            servers[name] = server = Prometheus(binary, folder / f"prometheus-{number}", scraped)
            await stack.enter_async_context(server.started())
        liars = {name: await stack.enter_async_context(Proxy(servers[""].url).running()) for name in LIES}
        yield servers, liars, scraping


@pytest.fixture(scope="module")
def told(control_plane, tmp_path_factory, prometheus_binary):
    return asyncio.run(story(control_plane, tmp_path_factory.mktemp("prometheus"), prometheus_binary))


@pytest.mark.parametrize("hurt", HURT)
def test_nothing_falls_while_neither_prometheus_nor_a_stream_can_be_believed(told, hurt):
    ledger, held = told[hurt]
    assert held == sorted(held)
    assert held[-1] == CLIENTS, "though the last request had ended long before"
    problems = {record["observation"]["problem"] for record in ledger.records if doubted(record)}
    assert any(HURT[hurt] in problem for problem in problems), problems


@pytest.mark.parametrize("hurt", HURT)
def test_the_streams_alone_bring_it_to_zero_and_wake_it_while_prometheus_cannot_be_believed(told, hurt):
    ledger, held = told[hurt]
    ledger.settle()
    after = ledger.replicas[len(held) :]
    assert after[after.index(0) :][:2] == [0, 1]
    assert ledger.requests[-1].status == 200


def test_a_prometheus_that_is_restarted_with_an_empty_store_is_a_gap_and_no_zero(told):
    ledger, held = told[RESTARTED]
    ledger.settle()
    assert any(record["observation"]["inflight"] is None for record in ledger.records)
    assert held == sorted(held)
    assert held[-1] == CLIENTS
