"""Whatever an answer says, it ends as a reading; the servers themselves are in tests/contracts."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.prometheus_range import Grid, histories, parse_range
from autoscaler.sources.prometheus_response import (
    LARGEST_COUNT,
    QueryError,
    SharedQuery,
    parse,
    parse_clock,
    reading,
    readings,
)

A = "ns/a"
ASKED = SharedQuery("http://prometheus", "x", "y")
TRUTH = {
    "status": "success",
    "data": {
        "resultType": "vector",
        "result": [
            {"metric": {"namespace": "ns", "service": "a", "f": f}, "value": [1000.0, text]}
            for f, text in (("value", "5"), ("oldest", "998"), ("series", "2"))
        ],
    },
}

texts = st.text(max_size=5) | st.sampled_from(
    ["NaN", "+Inf", "-1", "0", "1e999", "1e308", "1e303", "9" * 400, "998", "vector", "success", "a"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def places(tree, path=()):
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


@st.composite
def half_truths(draw, truth=TRUTH):
    """Give the truth with one place of it changed to anything."""
    tree = {"answer": copy.deepcopy(truth)}
    *way, last = draw(st.sampled_from([path for path in places(tree) if path]))
    changed = tree
    for key in way:
        changed = changed[key]
    changed[last] = draw(anything)
    return tree["answer"]


def reading_of(body):
    try:
        answer = parse(body)
    except QueryError as fault:
        answer = f"{ASKED}: {fault}"
    return reading(A, ASKED, 5.0, answer, now_s=50.0)


def test_the_truth_is_believed():
    assert reading_of(json.dumps(TRUTH).encode()) == (5, 48, 2, "")


@given(half_truths())
def test_a_half_truth_is_unknown_or_a_count_that_can_be(answer):
    found = reading_of(json.dumps(answer).encode())
    assert bool(found.problem) >= (found.value is None)
    assert found.value is None or 0 <= found.value <= LARGEST_COUNT
    assert 45 <= found.sampled_s <= 50


@given(st.binary(max_size=100) | anything.map(json.dumps).map(str.encode))
def test_what_is_no_answer_is_unknown(body):
    found = reading_of(body)
    assert found.value is None
    assert found.problem.startswith("Prometheus at http://prometheus, query 'x': ")


@given(texts | st.floats(allow_nan=True).map(str) | st.integers().map(str), st.integers() | st.floats())
def test_a_clock_is_a_time_or_none(text, evaluated_s):
    answer = {"status": "success", "data": {"resultType": "scalar", "result": [evaluated_s, text]}}
    try:
        clock_s = parse_clock(json.dumps(answer).encode())
    except QueryError:
        return
    assert 0 <= round(clock_s * 1000) <= 10**15


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-1", "1e308", "9" * 400, "noon"])
def test_a_clock_that_shows_no_time_is_refused(text):
    answer = {"status": "success", "data": {"resultType": "scalar", "result": [1000, text]}}
    with pytest.raises(QueryError, match="not Prometheus'"):
        parse_clock(json.dumps(answer).encode())


# The past.

GRID = Grid(start_ms=994_000, step_ms=2000, steps=3)


def a_range(**changed):
    kinds = {
        "value": [[994, "5"], [996, "6"], [998, "7"], [1000, "8"]],
        "oldest": [[994, "993"], [996, "995"], [998, "997"], [1000, "999"]],
        "series": [[994, "2"], [996, "2"], [998, "2"], [1000, "2"]],
        **changed,
    }
    result = [{"metric": {"namespace": "ns", "service": "a", "f": f}, "values": values} for f, values in kinds.items()]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def past_of(answer, service=A):
    try:
        return histories([service], 5.0, parse_range(json.dumps(answer).encode(), GRID, [service]), now_s=50.0)[
            service
        ].readings
    except QueryError as fault:
        return str(fault)


def test_each_moment_of_a_range_is_what_would_have_been_read_then():
    assert past_of(a_range()) == (
        (44, (5, 43, 2, "")),
        (46, (6, 45, 2, "")),
        (48, (7, 47, 2, "")),
        (50, (8, 49, 2, "")),
    )


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"value": [[996, "6"]]}, "there was no count"),
        ({"oldest": [[996, "995"]]}, "there was no count"),
        ({"series": [[996, "2"]]}, "there was no count"),
        ({"value": [[994, "NaN"], [996, "6"], [998, "NaN"]]}, "there was no count"),
        ({"oldest": [[994, "1"], [996, "995"], [998, "1"], [1000, "1"]]}, "more than maxSampleAge 5 s"),
    ],
)
def test_a_moment_of_which_something_is_missing_is_unknown_and_never_zero(changed, problem):
    readings = [moment.reading for moment in past_of(a_range(**changed))]
    assert [reading.value for reading in readings] == [None, 6, None, None]
    assert all(problem in reading.problem for reading in readings if reading.value is None)


def test_of_a_service_that_has_no_series_or_two_of_a_kind_all_is_unknown():
    twice = a_range()
    twice["data"]["result"] *= 2
    for made in (past_of(a_range(), "ns/b"), past_of(twice)):
        assert [moment.reading.value for moment in made] == [None] * 4


def test_a_warning_makes_every_moment_a_part():
    readings = [moment.reading for moment in past_of(a_range() | {"warnings": ["a secret"]})]
    assert [reading.value for reading in readings] == [5, 6, 7, 8]
    assert all("part of the data may be missing: the response has warnings" in reading.problem for reading in readings)


@given(half_truths(a_range()))
def test_a_half_truth_about_the_past_is_a_fault_or_moments_that_can_be(answer):
    made = past_of(answer)
    if not isinstance(made, str):
        assert [moment.at_s for moment in made] == [44, 46, 48, 50]
        for value, sampled_s, _, problem in (moment.reading for moment in made):
            assert (value is None and problem) or 0 <= value <= LARGEST_COUNT
            assert sampled_s <= 50


def test_what_is_as_usual_is_said_once_and_services_that_were_alike_share_their_past():
    values = [[994, "0"], [996, "0"], [998, "0"], [1000, "0"]]
    usual = {
        "oldest": [[994, "993"], [996, "995"], [1000, "999"]],
        "series": [[at, "2"] for at in (994, 996, 998, 1000)],
    }
    result = [{"metric": {"namespace": "ns", "service": name, "f": "value"}, "values": values} for name in "abcd"]
    result += [{"metric": {"f": f}, "values": rows} for f, rows in usual.items()]
    own = {"namespace": "ns", "service": "c"}
    result += [{"metric": {**own, "f": "oldest"}, "values": [[994, "1"]]}]
    result += [{"metric": {**own, "f": "series"}, "values": [[996, "1"]]}]
    result += [{"metric": {"namespace": "ns", "service": "d", "f": "bare"}, "values": [[1000, "0"]]}]
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
    names = ["ns/a", "ns/b", "ns/c", "ns/d"]
    made = histories(names, 5.0, parse_range(body, GRID, names), now_s=50.0)
    seen = {name: [moment.reading[::2] for moment in past.readings] for name, past in made.items()}
    assert seen == {
        "ns/a": [(0, 2), (0, 2), (None, 0), (0, 2)],
        "ns/b": [(0, 2), (0, 2), (None, 0), (0, 2)],
        "ns/c": [(None, 0), (0, 1), (None, 0), (0, 2)],
        "ns/d": [(0, 2), (0, 2), (None, 0), (None, 0)],
    }
    assert made["ns/a"] is made["ns/b"]


def short_answer(*elements, evaluated_s=1000.0):
    """Give what `short_query` is answered: each element is a kind, a service or nothing, and a value."""
    result = []
    for kind, service, text in elements:
        labels = dict(zip(("namespace", "service"), service.split("/"), strict=True)) if service else {}
        result.append({"metric": {"f": kind, **labels}, "value": [evaluated_s, text]})
    return parse(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode())


USUAL = (("oldest", "", "998"), ("series", "", "2"))


def test_what_is_as_usual_is_said_once_and_holds_for_every_service():
    answer = short_answer(("value", A, "5"), ("value", "ns/b", "0"), ("value", "ns/c", "0"), *USUAL)
    found = readings([A, "ns/b", "ns/c"], ASKED, 5.0, answer, now_s=50.0)
    assert found == {A: (5, 48, 2, ""), "ns/b": (0, 48, 2, ""), "ns/c": (0, 48, 2, "")}
    assert found["ns/b"] is found["ns/c"]


def test_a_service_that_is_not_as_usual_speaks_for_itself():
    answer = short_answer(
        *(("value", name, "0") for name in (A, "ns/old", "ns/few", "ns/bare")),
        *(("oldest", "ns/old", "990"), ("series", "ns/few", "1"), ("bare", "ns/bare", "0"), *USUAL),
    )
    found = readings([A, "ns/old", "ns/few", "ns/bare", "ns/none"], ASKED, 5.0, answer, now_s=50.0)
    assert found[A] == (0, 48, 2, "")
    assert found["ns/old"].value is None
    assert "10.0 s old" in found["ns/old"].problem
    assert found["ns/few"] == (0, 48, 1, "")
    assert found["ns/bare"].value is None
    assert "but no sample" in found["ns/bare"].problem
    assert found["ns/none"].value is None
    assert "no series for" in found["ns/none"].problem


@pytest.mark.parametrize(
    ("oldest", "max_age_s", "hint"),
    [
        ("970", 15.0, "VictoriaMetrics answers for 30 s ago: set its -search.latencyOffset=1s, or maxSampleAge to 45s"),
        ("969.5", 15.0, "VictoriaMetrics"),
        ("980", 15.0, "is it still scraped, and more often than every 15 s?"),
        ("950", 45.0, "is it still scraped, and more often than every 45 s?"),
        ("970", 29.0, "VictoriaMetrics"),
    ],
)
def test_a_sample_that_is_too_old_comes_with_what_may_make_it_so(oldest, max_age_s, hint):
    answer = short_answer(("value", A, "5"), ("oldest", A, oldest), ("series", "", "2"))
    found = readings([A], ASKED, max_age_s, answer, now_s=50.0)[A]
    assert found.value is None
    assert hint in found.problem


def test_without_any_word_of_samples_no_value_is_believed():
    found = readings([A], ASKED, 5.0, short_answer(("value", A, "0"), ("series", "", "2")), now_s=50.0)
    assert found[A].value is None
    assert "but no sample" in found[A].problem
