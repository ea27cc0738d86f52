"""What Prometheus has from before this process: a count, or unknown."""

import json

import pytest

from autoscaler.sources.prometheus_past import PastCounts, parse_past, past_query
from autoscaler.sources.prometheus_range import Grid
from autoscaler.sources.prometheus_response import QueryError

GRID = Grid(100_000, 15_000, 2)


def answer(*elements, **more):
    result = [{"metric": {"f": kind}, "values": values} for kind, values in elements]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}, **more}).encode()


def test_each_time_has_what_is_known_then():
    body = answer(("running", [[100, "1"], [130, "2"]]), ("asked", [[100, "3"], [115, "3"], [130, "4"]]))
    assert parse_past(body, GRID) == (
        PastCounts(100.0, 1.0, None, 3.0, None),
        PastCounts(115.0, None, None, 3.0, None),
        PastCounts(130.0, 2.0, None, 4.0, None),
    )


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "1e300"])
def test_what_cannot_be_a_count_is_unknown(value):
    assert parse_past(answer(("running", [[100, value]])), GRID)[0].running is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"status": "error", "errorType": "timeout", "error": "x"}',
        answer(("other", [])),
        answer(("running", []), ("running", [])),
        answer(("running", [[100, "x"]])),
        answer(("running", [[100]])),
        answer(("running", []), warnings=["a store is missing"]),
    ],
    ids=str,
)
def test_what_was_not_asked_for_is_an_error(body):
    with pytest.raises(QueryError):
        parse_past(body, GRID)


def test_a_name_is_written_so_that_it_ends_no_string():
    assert 'service="a\\"b"' in past_query('default/a"b')
