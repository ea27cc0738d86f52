"""Whose series a real Prometheus counts: those of known gateways, each once, whoever else has such series."""

import itertools
import time
from contextlib import AsyncExitStack

import pytest
from metrics_peers import EXPRESSION, SERIES, Exporter, Prometheus, free_port, until

from autoscaler.documents.promql import GATEWAYS_QUERY
from autoscaler.ports import Query
from autoscaler.sources.known_gateways import LOOK_BACK_S, KnownGateways
from autoscaler.sources.prometheus import PrometheusSource

pytestmark = [pytest.mark.program, pytest.mark.real_time]

NUMBERS = itertools.count()
STRANGER = "i-am-no-gateway:9090"


class Scraped:
    """Two gateways and somebody else in one job that keeps the labels that it is given, and one controller's view."""

    def __init__(self, prometheus, exporters, session):
        self.prometheus = prometheus
        self.addresses = [f"127.0.0.1:{port}" for port in prometheus.ports]
        self.gateways, self.stranger = exporters[:2], exporters[2]
        self.now_s = 1000.0
        self.known = KnownGateways(lambda: self.now_s)
        self.source = PrometheusSource(session, gateways=self.known.names)
        self.service = f"tenant-a/s{next(NUMBERS)}"

    def lines(self, exporter, count, **labels):
        """Have an exporter tell of requests in flight."""
        namespace, name = self.service.split("/")
        labels = {"namespace": namespace, "service": name, "state": "running", **labels}
        text = ",".join(f'{label}="{value}"' for label, value in labels.items())
        exporter.samples.append(f"inflight_requests{{{text}}} {count}")

    async def read(self, expression=EXPRESSION, series=SERIES):
        query = Query(self.prometheus.server, expression, series, max_age_s=10)
        return (await self.source.read({self.service: query}, time.time()))[self.service]

    async def reads(self, good, **query):
        return await until(lambda: self.read(**query), good)

    async def history(self):
        query = Query(self.prometheus.server, EXPRESSION, SERIES, max_age_s=10)
        found = await self.source.history({self.service: query}, time.time(), span_s=20, step_s=0.5)
        return {moment.reading.value for moment in found[self.service].readings}


@pytest.fixture(scope="module")
def keeping_labels(prometheus_binary, tmp_path_factory):
    ports = [free_port() for _ in range(3)]
    static = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": name}}
        for port, name in zip(ports, ("gateway-a", "gateway-b", "stranger"), strict=True)
    ]
    job = {"job_name": "all", "honor_labels": True, "static_configs": static}
    peer = Prometheus(prometheus_binary, tmp_path_factory.mktemp("keeping_labels"), scrape_configs=[job])
    peer.ports = ports
    with peer.running():
        yield peer


@pytest.fixture
async def scraped(keeping_labels, session):
    exporters = [Exporter() for _ in range(3)]
    async with AsyncExitStack() as stack:
        for exporter, port in zip(exporters, keeping_labels.ports, strict=True):
            await stack.enter_async_context(exporter.served(port))
        # What the test before told of is there until the next scrape.
        await until(lambda: all_series(keeping_labels, session), lambda series: not series)
        yield Scraped(keeping_labels, exporters, session)


async def all_series(prometheus, session):
    async with session.get(f"{prometheus.server}/api/v1/query", params={"query": "inflight_requests"}) as answer:
        return (await answer.json())["data"]["result"]


def test_the_query_of_the_gateways_is_the_default():
    assert GATEWAYS_QUERY == EXPRESSION


async def test_who_is_no_gateway_counts_for_nobody_and_is_named(scraped, caplog):
    scraped.known.set(scraped.addresses[:2])
    scraped.lines(scraped.gateways[0], 2)
    scraped.lines(scraped.gateways[1], 3)
    scraped.lines(scraped.stranger, 9999)
    scraped.lines(scraped.stranger, 7777, instance=STRANGER, pod="")
    reading = await scraped.reads(lambda reading: reading.value is not None and "not a known gateway" in caplog.text)
    assert (await scraped.reads(lambda reading: reading.value == 5)).series == 2
    assert reading.problem == ""
    assert "there are series from " in caplog.text
    assert "pod stranger at instance 127.0.0.1:" in caplog.text
    assert caplog.text.count("not a known gateway") == 1, "not at each tick"
    assert await scraped.history() <= {None, 2, 3, 5}


async def test_a_service_that_only_somebody_else_counts_is_unknown_and_says_of_whom_there_are_series(scraped):
    scraped.known.set(scraped.addresses[:2])
    scraped.lines(scraped.stranger, 9999)
    reading = await scraped.reads(lambda reading: "there are series from" in reading.problem)
    assert reading.value is None
    assert "pod stranger at instance 127.0.0.1:" in reading.problem
    assert "which is not a known gateway" in reading.problem


async def test_a_stranger_whose_name_is_no_name_is_not_repeated(scraped):
    scraped.known.set(scraped.addresses[:2])
    scraped.lines(scraped.stranger, 9999, instance="a secret", pod="look at me")
    reading = await scraped.reads(lambda reading: "there are series from" in reading.problem)
    assert "secret" not in reading.problem
    assert "look" not in reading.problem


async def test_a_rolling_update_makes_no_count_unknown_and_an_old_gateway_is_forgotten_after_the_look_back(
    scraped,
):
    old, new = scraped.addresses[:2]
    scraped.known.set([old])
    scraped.lines(scraped.gateways[0], 2)
    seen = [await scraped.reads(lambda reading: reading.value == 2)]
    for known in ([old, new], [new]):
        scraped.known.set(known)
        seen += [await scraped.read() for _ in range(5)]
    scraped.lines(scraped.gateways[1], 3)
    seen.append(await scraped.reads(lambda reading: seen.append(reading) or reading.value == 5))
    assert {(reading.value, reading.problem) for reading in seen} <= {(2, ""), (5, "")}
    scraped.now_s += LOOK_BACK_S + 1
    assert (await scraped.read()).value == 3


async def test_what_gateways_that_are_gone_counted_is_in_the_past_of_one_that_starts(scraped):
    scraped.known.set(scraped.addresses[1:2])
    scraped.lines(scraped.gateways[0], 2)
    unknown_to_us = PrometheusSource(scraped.source._session)
    query = Query(scraped.prometheus.server, EXPRESSION, SERIES, max_age_s=10)

    async def counted():
        return (await unknown_to_us.read({scraped.service: query}, time.time()))[scraped.service]

    await until(counted, lambda reading: reading.value == 2)
    scraped.gateways[0].broken = True
    await until(counted, lambda reading: reading.value is None)
    assert 2 in await scraped.history()


async def test_a_gateway_that_is_scraped_under_another_address_is_known_by_its_pod(scraped):
    scraped.known.set([], {"gateway-a": "10.0.0.1:9090", "gateway-b": "10.0.0.2:9090"})
    scraped.lines(scraped.gateways[0], 2)
    scraped.lines(scraped.gateways[1], 3)
    reading = await scraped.reads(lambda reading: reading.value == 5)
    assert (reading.series, reading.problem) == (2, "")
    scraped.known.set([], {"gateway-b": "10.0.0.2:9090"})
    scraped.now_s += LOOK_BACK_S + 1
    assert (await scraped.read()).value == 3


async def test_who_says_that_he_is_the_pod_of_a_gateway_counts_no_more_than_anybody_else(scraped):
    scraped.known.set([], {"gateway-a": scraped.addresses[0], "gateway-b": scraped.addresses[1]})
    scraped.lines(scraped.gateways[0], 2)
    scraped.lines(scraped.gateways[1], 3)
    scraped.lines(scraped.stranger, 9999, pod="gateway-a")
    scraped.lines(scraped.stranger, 7777, pod="gateway-b", instance=STRANGER)
    seen = [await scraped.reads(lambda reading: reading.value == 5)]
    seen += [await scraped.read() for _ in range(5)]
    assert {(reading.value, reading.problem) for reading in seen} == {(5, "")}


async def test_who_says_that_he_has_the_address_of_a_gateway_makes_no_count_larger(scraped):
    scraped.known.set(scraped.addresses[:2])
    scraped.lines(scraped.gateways[0], 2)
    await scraped.reads(lambda reading: reading.value == 2)
    scraped.lines(scraped.stranger, 9999, instance=scraped.addresses[0], pod="stranger")
    reading = await scraped.reads(lambda reading: reading.value != 2)
    assert reading.value is None
    assert "several times, with different pod" in reading.problem


async def test_where_no_gateway_is_known_because_none_is_there_nothing_counts(scraped, caplog):
    scraped.known.set([])
    scraped.lines(scraped.stranger, 9999, instance="", pod="")
    reading = await scraped.reads(lambda reading: "there are series from" in reading.problem)
    assert reading.value is None
    assert "not counted" not in caplog.text, "at a start that is said of every gateway"


async def test_a_query_of_ones_own_counts_whatever_it_finds(scraped):
    scraped.known.set(scraped.addresses[:2])
    scraped.lines(scraped.stranger, 7)
    own = 'inflight_requests{state="running"}'
    reading = await scraped.reads(
        lambda reading: reading.value is not None, expression=f"sum by (namespace, service) ({own})", series=own
    )
    assert (reading.value, reading.problem) == (7, "")


# A pair of Prometheus.


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("label", ["prometheus_replica", "ha"])
async def test_series_that_are_there_twice_are_no_count_and_the_label_is_named(scraped, label, known):
    scraped.known.set(scraped.addresses[:2])
    if not known:
        scraped.source = PrometheusSource(scraped.source._session)
    for replica in ("a", "b"):
        scraped.lines(scraped.gateways[0], 5, **{label: replica})
    reading = await scraped.reads(lambda reading: "several times" in reading.problem)
    assert reading.value is None
    assert f"with different {label}: are these two Prometheus servers?" in reading.problem
    assert await scraped.history() == {None}
    merged = f"sum by (namespace, service) (max without ({label}) (inflight_requests))"
    assert (await scraped.read(expression=merged))[::2] == (5, 1)


async def test_a_pair_is_noticed_behind_a_query_of_ones_own_and_two_halves_are_none(scraped):
    own = "inflight_requests{ha!=''}"
    query = {"expression": f"sum by (namespace, service) ({own})", "series": own}
    scraped.lines(scraped.gateways[0], 5, ha="x", prometheus_replica="shard-0")
    scraped.lines(scraped.gateways[1], 6, ha="x", prometheus_replica="shard-1")
    assert (await scraped.reads(lambda reading: reading.value == 11, **query)).problem == ""
    scraped.lines(scraped.gateways[0], 5, ha="x", prometheus_replica="shard-0-1")
    reading = await scraped.reads(lambda reading: reading.value is None, **query)
    assert "with different prometheus_replica" in reading.problem
