"""Each way in which a real Prometheus cannot say: told apart, unknown, and explained."""

import contextlib
import itertools
import time

import pytest
from metrics_peers import EXPRESSION, SERIES, Exporter, Prometheus, free_port, until

from autoscaler.ports import Query
from autoscaler.sources.prometheus import PrometheusSource

pytestmark = [pytest.mark.program, pytest.mark.real_time]

NUMBERS = itertools.count()


@pytest.fixture
def service():
    """Name a service as no other test does: a Prometheus remembers."""
    return f"failures/s{next(NUMBERS)}"


@pytest.fixture
def source(session):
    return PrometheusSource(session, deadline_s=10)


@pytest.fixture
async def exporters(prometheus):
    async with serving(prometheus) as exporters:
        yield exporters


@contextlib.asynccontextmanager
async def serving(prometheus):
    exporters = [Exporter(), Exporter()]
    async with contextlib.AsyncExitStack() as stack:
        for exporter, port in zip(exporters, prometheus.exporter_ports, strict=True):
            await stack.enter_async_context(exporter.served(port))
        yield exporters


async def read(source, service, server, *, expression=EXPRESSION, series=SERIES, max_age_s=10):
    query = Query(server, expression, series, max_age_s)
    return (await source.read({service: query}, time.time()))[service]


async def until_read(good, source, service, server, **query):
    async def observe():
        return await read(source, service, server, **query)

    return await until(observe, good)


def known(reading):
    return reading.value is not None


def unknown(reading):
    return reading.value is None


async def test_a_service_without_series_is_unknown(prometheus, source, service, exporters):
    reading = await read(source, service, prometheus.server)
    namespace, name = service.split("/")
    assert reading.value is None
    assert f'no series for namespace="{namespace}", service="{name}"' in reading.problem
    assert prometheus.server in reading.problem
    assert EXPRESSION in reading.problem


@pytest.mark.parametrize("shown", ["nan", "inf", "-3"])
async def test_a_value_that_counts_nothing_is_unknown(prometheus, source, service, exporters, shown):
    exporters[0].says(service, shown)
    reading = await until_read(lambda r: "the value" in r.problem, source, service, prometheus.server)
    assert reading.value is None
    assert f"the value is {shown}, which is not a number of requests" in reading.problem


async def test_a_value_whose_scrapes_fail_is_gone_and_not_zero(prometheus, source, service, exporters):
    exporters[0].says(service, 5)
    await until_read(known, source, service, prometheus.server)
    exporters[0].broken = True
    reading = await until_read(unknown, source, service, prometheus.server)
    assert "no series" in reading.problem


async def test_an_exporter_that_died_leaves_nothing_behind(prometheus, source, service):
    async with serving(prometheus) as exporters:
        exporters[0].says(service, 5)
        await until_read(known, source, service, prometheus.server)
    reading = await until_read(unknown, source, service, prometheus.server)
    assert "no series" in reading.problem


async def test_a_value_that_prometheus_keeps_although_it_is_old_is_stale(prometheus, source, service, exporters):
    """Samples with time stamps of their own stay for five minutes after their exporter died."""
    exporters[0].says(service, 5, timestamp_ms=int(time.time() * 1000))
    fresh = await until_read(known, source, service, prometheus.server, max_age_s=100)
    assert fresh.value == 5
    reading = await until_read(unknown, source, service, prometheus.server, max_age_s=1)
    assert "more than maxSampleAge 1 s" in reading.problem
    assert known(await read(source, service, prometheus.server, max_age_s=100))


async def test_the_oldest_of_all_samples_gives_the_age(prometheus, source, service, exporters):
    ten_seconds_ago = time.time() - 10
    exporters[0].says(service, 5, timestamp_ms=int(ten_seconds_ago * 1000))
    exporters[1].says(service, 5)
    alone = f'inflight_requests{{service="{service.partition("/")[2]}"}}'
    asked = source, service, prometheus.server
    reading = await until_read(lambda r: r.value == 10, *asked, series=alone, max_age_s=100)
    assert reading.sampled_s == pytest.approx(ten_seconds_ago, abs=1)
    assert unknown(await read(source, service, prometheus.server, max_age_s=5))


async def test_an_instance_that_is_missing_shows_in_the_number_of_series(prometheus, source, service, exporters):
    exporters[0].says(service, 5)
    exporters[1].says(service, 3)
    whole = await until_read(lambda r: r.value == 8, source, service, prometheus.server)
    exporters[1].broken = True
    part = await until_read(lambda r: r.value == 5, source, service, prometheus.server)
    assert (whole.series, part.series) == (2, 1)


async def test_several_values_for_one_service_are_no_count(prometheus, source, service, exporters):
    exporters[0].says(service, 5)
    expression = "sum by (namespace, service, state) (inflight_requests)"
    reading = await until_read(
        lambda r: "several" in r.problem, source, service, prometheus.server, expression=expression
    )
    assert reading.value is None
    assert f"several values for {service}; aggregate with sum by (namespace, service)" in reading.problem


@pytest.mark.parametrize("expression", ["sum(inflight_requests)", "sum by (service) (inflight_requests)"])
async def test_values_of_no_service_are_no_count(prometheus, source, service, exporters, expression):
    exporters[0].says(service, 5)
    reading = await until_read(
        lambda r: "lacks" in r.problem, source, service, prometheus.server, expression=expression
    )
    assert reading.value is None
    assert "lacks the labels namespace and service" in reading.problem


async def test_a_value_without_samples_behind_it_is_unknown(prometheus, source, service, exporters):
    exporters[0].says(service, 5)
    reading = await until_read(
        lambda r: "no sample" in r.problem, source, service, prometheus.server, series="nothing_of_that_name"
    )
    assert reading.value is None
    assert "nothing_of_that_name" in reading.problem


@pytest.mark.parametrize(
    "expression",
    [
        "sum by (namespace, service (inflight_requests)",
        "1 + 1",
        "inflight_requests[5m]",
        "",
        "no_such_function(inflight_requests)",
    ],
)
async def test_a_query_that_is_none_is_refused_without_a_word_of_the_answer(prometheus, source, service, expression):
    reading = await read(source, service, prometheus.server, expression=expression)
    assert reading.value is None
    assert reading.problem.endswith(
        "refused: HTTP 400 Bad Request: bad_data: it does not accept the query; its own page says what is wrong with it"
    )


async def test_a_query_that_fails_while_it_runs_is_unknown(prometheus, source, service, exporters):
    exporters[0].says(service, 5)
    reading = await until_read(
        lambda r: "HTTP" in r.problem,
        source,
        service,
        prometheus.server,
        expression="inflight_requests * on (namespace, service) inflight_requests",
    )
    assert reading.value is None
    assert "refused: HTTP 422 Unprocessable Entity: execution: the query failed while it ran" in reading.problem


async def test_a_comment_at_the_end_of_a_query_does_no_harm(prometheus, source, service, exporters):
    exporters[0].says(service, 5)
    reading = await until_read(known, source, service, prometheus.server, expression=f"{EXPRESSION} # all of it")
    assert (reading.value, reading.problem) == (5, "")


async def test_a_bad_query_of_one_service_leaves_the_others_alone(prometheus, source, service, exporters):
    exporters[0].says(service, 5)
    await until_read(known, source, service, prometheus.server)
    good, bad = Query(prometheus.server, EXPRESSION, SERIES, 10), Query(prometheus.server, "(", SERIES, 10)
    readings = await source.read({service: good, "ns/bad": bad}, time.time())
    assert readings[service].value == 5
    assert readings["ns/bad"].value is None


async def test_an_answer_with_a_warning_is_a_part(half_blind_prometheus, source, service):
    async with serving(half_blind_prometheus) as exporters:
        exporters[0].says(service, 5)
        reading = await until_read(known, source, service, half_blind_prometheus.server)
    assert reading.value == 5
    assert "part of the data may be missing: the response has warnings" in reading.problem


async def test_a_wrong_path_is_explained(prometheus, source, service):
    reading = await read(source, service, f"{prometheus.server}/prometheus")
    assert reading.value is None
    assert "refused: HTTP 404 Not Found: 19 bytes; is this a Prometheus?" in reading.problem


async def test_a_prometheus_that_restarts_empty_is_unknown_all_along(
    prometheus_binary, tmp_path_factory, source, service
):
    own = Prometheus(prometheus_binary, tmp_path_factory.mktemp("restarted"))
    for _ in range(2):
        with own.running():
            reading = await until_read(lambda r: "no series" in r.problem, source, service, own.server)
            assert reading.value is None
        reading = await read(source, service, own.server)
        assert reading.value is None
        assert "not reachable" in reading.problem


async def test_where_nobody_listens_it_is_not_reachable(source, service):
    server = f"http://127.0.0.1:{free_port()}"
    reading = await read(source, service, server)
    assert reading.value is None
    assert f"Prometheus at {server}, query" in reading.problem
    assert "not reachable" in reading.problem


async def test_a_host_that_is_none_is_not_found(source, service):
    reading = await read(source, service, "http://prometheus.invalid:9090")
    assert reading.value is None
    assert "its host name cannot be resolved" in reading.problem


# The past.


async def history(source, service, server, *, expression=EXPRESSION, span_s=30):
    query = Query(server, expression, SERIES, max_age_s=10)
    return (await source.history({service: query}, time.time(), span_s=span_s, step_s=0.5))[service]


async def test_a_time_in_which_nothing_was_scraped_is_unknown_in_the_past_and_never_zero(
    prometheus, source, service, exporters
):
    exporters[0].says(service, 5)
    await until_read(known, source, service, prometheus.server)
    exporters[0].broken = True
    await until_read(unknown, source, service, prometheus.server)
    exporters[0].broken = False
    await until_read(known, source, service, prometheus.server)
    values = [moment.reading.value for moment in (await history(source, service, prometheus.server)).readings]
    seen = [value for value, _ in itertools.groupby(values)]
    # A busy machine may have missed another scrape since.
    assert (5, None, 5) in zip(seen, seen[1:], seen[2:], strict=False)
    assert 0 not in values


async def test_an_instance_that_was_missing_shows_in_the_past_number_of_series(prometheus, source, service, exporters):
    async def seen():
        found = await history(source, service, prometheus.server)
        return [(each.reading.value, each.reading.series) for each in found.readings]

    exporters[0].says(service, 5)
    exporters[1].says(service, 3)
    # Two moments of it are a whole step, and so whatever the next grid is, one of them is on it.
    await until(seen, lambda found: found.count((8, 2)) >= 2)
    exporters[1].broken = True
    await until_read(lambda r: r.value == 5, source, service, prometheus.server)
    found = set(await until(seen, lambda found: (5, 1) in found))
    assert {(8, 2), (5, 1)} <= found <= {(None, 0), (8, 2), (5, 1), (3, 1)}


async def test_why_there_is_no_past_is_said(source, service, prometheus):
    refused = await history(source, service, prometheus.server, expression="(")
    assert refused.readings == ()
    assert "refused: HTTP 400 Bad Request: bad_data" in refused.problem
    gone = await history(source, service, f"http://127.0.0.1:{free_port()}")
    assert (gone.readings, "not reachable" in gone.problem) == ((), True)


async def test_more_steps_than_prometheus_gives_are_refused(source, service, prometheus):
    refused = await history(source, service, prometheus.server, span_s=6000)
    assert "refused: HTTP 400 Bad Request: bad_data" in refused.problem


async def test_one_service_whose_samples_are_old_does_not_age_the_others(prometheus, source, service, exporters):
    other, began_s = f"{service}-old", time.time()
    exporters[0].says(other, 1, timestamp_ms=int((began_s - 60) * 1000))
    exporters[0].says(service, 5)
    query = Query(prometheus.server, EXPRESSION, SERIES, 10)

    async def observe():
        return await source.read({service: query, other: query}, time.time())

    found = await until(
        observe, lambda found: known(found[service]) and "more than maxSampleAge" in found[other].problem
    )
    assert (found[service].value, found[service].series, found[service].problem) == (5, 1, "")
    # The age is that of the evaluation, the moment that of the question, which may wait for seconds on a busy machine.
    assert found[service].sampled_s > began_s - 30
