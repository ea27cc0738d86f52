"""What gateways have counted of answers becomes rates and percentiles, and nothing is made up."""

import json

import msgspec
import pytest

from autoscaler.explain.view import PodFigures
from autoscaler.sources.measured_answers import MeasuredAnswers, Report, ServiceReport

SERVICE = "default/sd"
BOUNDS = [1.0, 2.0, 5.0]


def service(*, ok=0, client=0, server=0, failures=0, times=(0, 0, 0, 0), queued=0, oldest=None, pods=None, quotes=None):
    return {
        "queued": queued,
        "running": 0,
        "answers": {"1xx": 0, "2xx": ok, "3xx": 0, "4xx": client, "5xx": server},
        "failures": failures,
        "response_s": {"bounds": BOUNDS, "counts": list(times), "sum": 1.0},
        "service_s": {"bounds": BOUNDS, "counts": [sum(times), 0, 0, 0], "sum": 0.5 * sum(times)},
        "oldest_wait_s": oldest,
        "pods": pods or {},
        **({"quotes": quotes} if quotes else {}),
    }


class World:
    """Gateways that report to one reader."""

    def __init__(self):
        self.measured = MeasuredAnswers()

    def report(self, now_s, counts, *, address="a:9090", gateway="a", started=0.0):
        text = json.dumps({"gateway": gateway, "started": started, "at": now_s, "services": {SERVICE: counts}})
        report = msgspec.json.decode(text, type=Report)
        taking = self.measured.begin(address, report, now_s)
        return taking.take(SERVICE, msgspec.json.decode(report.services[SERVICE], type=ServiceReport))

    def figures(self, now_s):
        return self.measured.figures(SERVICE, now_s)


@pytest.fixture
def world():
    return World()


def test_rates_and_shares_are_of_what_was_counted_in_the_last_minute(world):
    world.report(1000.0, service(ok=100))
    world.report(1005.0, service(ok=106, client=2, server=1, failures=1, times=(10, 0, 0, 0)))
    found = world.figures(1010.0)
    assert found.answers_per_s == pytest.approx(10 / 60)
    assert found.success == pytest.approx(0.6)
    assert found.errors_4xx_per_s == pytest.approx(2 / 60)
    assert found.errors_5xx_per_s == pytest.approx(1 / 60)
    world.report(1090.0, service(ok=106, client=2, server=1, failures=1, times=(10, 0, 0, 0)))
    assert world.figures(1090.0).answers_per_s == 0
    assert world.figures(1090.0).success is None


def test_percentiles_lie_within_the_bucket_that_has_them(world):
    world.report(1000.0, service())
    world.report(1005.0, service(ok=100, times=(50, 40, 9, 1)))
    found = world.figures(1005.0)
    assert (found.p50_s, found.p90_s, found.p95_s, found.p99_s) == (1.0, 2.0, pytest.approx(3.667), 5.0)


def test_a_time_above_the_last_bound_is_at_least_that_bound(world):
    world.report(1000.0, service())
    world.report(1005.0, service(ok=2, times=(0, 0, 0, 2)))
    assert world.figures(1005.0).p50_s == 5.0


def test_without_an_answer_there_is_no_percentile(world):
    world.report(1000.0, service())
    found = world.figures(1005.0)
    assert (found.p50_s, found.p99_s, found.success) == (None, None, None)


def test_without_a_gateway_nothing_is_known(world):
    assert world.figures(1000.0) is None
    assert world.measured.quality(SERVICE, 0.0, 1000.0) == [(1000.0, *[None] * 9)]


def test_what_a_gateway_counted_before_it_was_known_belongs_to_no_time(world):
    world.report(5000.0, service(ok=1000), started=0.0)
    assert world.figures(5000.0).answers_per_s == 0


def test_what_a_gateway_counted_since_it_started_is_new_if_it_started_after_the_last_report(world):
    world.report(1000.0, service(ok=1000))
    world.report(1010.0, service(ok=3), gateway="restarted", started=1006.0)
    assert world.figures(1010.0).answers_per_s == pytest.approx(3 / 60)
    world.report(1015.0, service(ok=5), gateway="restarted", started=1006.0)
    assert world.figures(1015.0).answers_per_s == pytest.approx(5 / 60)


def test_a_gateway_that_joins_begins_at_zero_if_it_is_new(world):
    world.report(1000.0, service())
    world.report(1010.0, service(ok=4), address="b:9090", gateway="b", started=1008.0)
    assert world.figures(1010.0).answers_per_s == pytest.approx(4 / 60)


def test_a_counter_that_falls_adds_nothing(world):
    world.report(1000.0, service(ok=100))
    world.report(1005.0, service(ok=90))
    world.report(1010.0, service(ok=91))
    assert world.figures(1010.0).answers_per_s == pytest.approx(1 / 60)


def test_gateways_are_added_up(world):
    for address in ("a:9090", "b:9090"):
        world.report(1000.0, service(), address=address, gateway=address)
        world.report(1005.0, service(ok=3, times=(3, 0, 0, 0)), address=address, gateway=address)
    assert world.figures(1005.0).answers_per_s == pytest.approx(6 / 60)


def test_a_gateway_that_is_silent_makes_the_figures_a_part_that_says_so(world):
    world.report(1000.0, service())
    world.measured.failed("b:9090", "no answer for 4 s")
    assert world.figures(1000.0).problem == "gateway b:9090: no answer for 4 s"
    world.measured.keep(["a:9090"], [SERVICE])
    assert world.figures(1000.0).problem == ""


def test_an_old_report_says_nothing_of_what_is_now(world):
    world.report(1000.0, service(queued=1, oldest=3.0), address="b:9090", gateway="b")
    world.report(1010.0, service())
    assert world.figures(1010.0).oldest_wait_s == 3.0
    world.report(1020.0, service())
    assert world.figures(1020.0).oldest_wait_s is None
    assert world.figures(1040.0) is None


def test_a_pod_is_busy_since_its_first_gateway_and_idle_since_its_last(world):
    pods = [{"x": {"running": 1, "answers": 4, "since_s": 7.0}, "y": {"running": 0, "answers": 1, "since_s": 9.0}}]
    pods.append({"x": {"running": 0, "answers": 5, "since_s": 3.0}, "y": {"running": 0, "answers": 2, "since_s": 4.0}})
    for address, here in zip(("a:9090", "b:9090"), pods, strict=True):
        world.report(1000.0, service(pods=here), address=address, gateway=address)
    found = world.figures(1000.0).pods
    assert found == {"x": PodFigures(1, 9, 993.0), "y": PodFigures(0, 3, 996.0)}


def test_the_oldest_wait_is_that_of_the_gateway_where_somebody_has_waited_longest(world):
    world.report(1000.0, service(queued=1, oldest=3.0))
    world.report(1000.0, service(queued=2, oldest=8.0), address="b:9090", gateway="b")
    assert world.figures(1000.0).oldest_wait_s == 8.0


def test_quotes_are_added_up_where_there_are_some(world):
    world.report(1000.0, service())
    assert world.figures(1000.0).quotes is None
    world.report(1005.0, service(quotes={"kept": 9, "missed": 1}))
    assert (world.figures(1005.0).quotes_kept, world.figures(1005.0).quotes) == (9, 10)


def test_quality_has_a_row_every_ten_seconds_and_is_unknown_while_nobody_reported(world):
    world.report(1000.0, service())
    world.report(1005.0, service(ok=4, times=(4, 0, 0, 0)))
    world.report(1015.0, service(ok=6, times=(6, 0, 0, 0)))
    rows = world.measured.quality(SERVICE, 900.0, 1020.0)
    assert rows[0] == (1000.0, *[None] * 9)
    assert rows[1][:3] == (1010.0, 24.0, 1.0)
    assert rows[2][:2] == (1020.0, 18.0)
    assert rows[2][-1] == 6
    late = world.measured.quality(SERVICE, 1090.0, 1100.0)
    assert late[-1] == (1100.0, *[None] * 9)


def test_another_releases_buckets_are_not_added_to_the_present_ones(world):
    world.report(1000.0, service())
    world.report(1005.0, service(ok=2, times=(2, 0, 0, 0)))
    other = service(ok=3, times=(1, 0, 0, 0))
    other["response_s"]["bounds"] = [0.5, 1.0, 2.0]
    world.report(1010.0, other)
    assert world.figures(1010.0).p50_s == 0.25


def test_an_hour_is_kept_and_no_more(world):
    for tick in range(1000):
        world.report(1000.0 + 5 * tick, service(ok=tick, times=(tick, 0, 0, 0)))
    parts = world.measured._parts[SERVICE]
    assert len(parts.indices) <= 362
    assert len(parts.rows) == len(parts.indices) * parts.width


@pytest.mark.parametrize(
    "change",
    [
        {"queued": -1},
        {"answers": {"2xx": 2**60}},
        {"failures": 0.5},
        {"response_s": {"bounds": [2.0, 1.0], "counts": [0, 0, 0], "sum": 0.0}},
        {"response_s": {"bounds": [1.0], "counts": [0], "sum": 0.0}},
        {"response_s": {"bounds": [], "counts": [0], "sum": 0.0}},
        {"service_s": {"bounds": [1.0], "counts": [0, -1], "sum": 0.0}},
        {"pods": {"x": {"running": None, "answers": 1}}},
        {"oldest_wait_s": -3.0},
    ],
    ids=str,
)
def test_what_cannot_be_a_count_is_refused(change):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(service() | change), type=ServiceReport)
