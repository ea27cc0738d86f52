"""Whatever an answer says, it ends as a reading; the servers themselves are in tests/contracts."""

import copy
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.prometheus import _Asked, _Fault, _parse, _reading

A = "ns/a"
ASKED = _Asked("http://prometheus", "x", "y")
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

texts = st.text(max_size=5) | st.sampled_from(["NaN", "+Inf", "-1", "0", "1e999", "998", "vector", "success", "a"])
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
def half_truths(draw):
    """Give the truth with one place of it changed to anything."""
    tree = {"answer": copy.deepcopy(TRUTH)}
    *way, last = draw(st.sampled_from([path for path in places(tree) if path]))
    changed = tree
    for key in way:
        changed = changed[key]
    changed[last] = draw(anything)
    return tree["answer"]


def reading_of(body):
    try:
        answer = _parse(body)
    except _Fault as fault:
        answer = f"{ASKED}: {fault}"
    return _reading(A, ASKED, 5.0, answer, now_s=50.0)


def test_the_truth_is_believed():
    assert reading_of(json.dumps(TRUTH).encode()) == (5, 48, 2, "")


@given(half_truths())
def test_a_half_truth_is_unknown_or_a_count_that_can_be(answer):
    reading = reading_of(json.dumps(answer).encode())
    assert bool(reading.problem) >= (reading.value is None)
    assert reading.value is None or 0 <= reading.value < math.inf
    assert 45 <= reading.sampled_s <= 50


@given(st.binary(max_size=100) | anything.map(json.dumps).map(str.encode))
def test_what_is_no_answer_is_unknown(body):
    reading = reading_of(body)
    assert reading.value is None
    assert reading.problem.startswith("Prometheus at http://prometheus, query 'x': ")
