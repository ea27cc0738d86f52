"""Answers that are read by what is new in them mean what they would mean read whole."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources import prometheus_incremental as module
from autoscaler.sources.prometheus_incremental import IncrementalReader
from autoscaler.sources.prometheus_response import QueryError, parse

USUAL = (("oldest", "", "998"), ("series", "", "2"))


def body(*elements, at_s=1000.5, compact=True, warnings=()):
    """Write an answer as Prometheus does: each element is a kind, a service or nothing, a value, and its own moment."""
    result = []
    for kind, service, text, *moment in elements:
        labels = dict(zip(("namespace", "service"), service.split("/"), strict=True)) if service else {}
        result.append({"metric": {"f": kind, **labels}, "value": [*(moment or [at_s]), text]})
    answer = {"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": list(warnings)}
    return json.dumps(answer, separators=(",", ":") if compact else None).encode()


def values(count, **changed):
    texts = {f"s-{index}": "0" for index in range(count)} | changed
    return [("value", f"ns/{name}", text) for name, text in texts.items()]


def told(read, text):
    """Give what an answer says in a form in which NaN is NaN, and sets and mappings have no order."""
    try:
        answer = read(text)
    except QueryError as fault:
        return str(fault)
    return {
        name: sorted(map(repr, part.items() if isinstance(part, dict) else part))
        if isinstance(part, (dict, frozenset))
        else part
        for name, part in answer._asdict().items()
    }


kinds = st.sampled_from(["value", "value", "value", "oldest", "series", "bare", "twice", "other", "none"])
names = st.sampled_from(["", "ns/a", "ns/b", "ns/c", "ns/d", 'ns/",{"metric":', "ns/[1000.5,", "/"])
numbers = st.sampled_from(["0", "0", "1", "2.5", "NaN", "-0", "x"])
elements = st.tuples(kinds, names, numbers) | st.tuples(kinds, names, numbers, st.sampled_from([1000.5, 7.0]))
bodies = st.builds(
    body,
    st.just(("value", "ns/first", "0")),
    *(st.just(each) for each in values(3)),
    at_s=st.sampled_from([1000.5, 1002.5, 1004]),
) | st.builds(
    lambda changed, some, **how: body(*values(6, **changed), *some, **how),
    st.dictionaries(st.sampled_from(["s-0", "s-3", "s-5", "s-6"]), numbers, max_size=2),
    st.lists(elements, max_size=4),
    at_s=st.sampled_from([1000.5, 1002.5, 1004]),
    compact=st.sampled_from([True, True, False]),
    warnings=st.sampled_from([(), ("one is missing",)]),
)


@given(st.lists(bodies | st.binary(max_size=20), min_size=2, max_size=6))
def test_one_answer_after_another_is_read_as_each_alone(answers):
    reader = IncrementalReader()
    for answer in answers:
        assert told(reader.read, answer) == told(parse, answer)


@pytest.mark.parametrize("shuffled", [False, True])
def test_only_what_is_new_is_read(monkeypatch, shuffled):
    reader = IncrementalReader()
    reader.read(body(*values(100), *USUAL))
    monkeypatch.setattr(module, "parse_vector", None)
    later = [*values(100, **{"s-7": "3", "s-100": "0"}), ("oldest", "", "1001"), ("series", "", "2")]
    answer = body(*(reversed(later) if shuffled else later), at_s=1002.5)
    found = reader.read(answer)
    assert found == parse(answer)
    assert (found.value["ns/s-7"], found.usual, found.evaluated_s) == (3, {"oldest": 1001, "series": 2}, 1002.5)
    assert found.zero == found.value.keys() - {"ns/s-7"}


def test_elements_that_are_not_written_as_prometheus_writes_are_read_whole():
    reader = IncrementalReader()
    for text in ("0", "1", "2"):
        answer = body(*values(3)).replace(b'"value":[1000.5,"0"]', f'"value":[1000.5,"{text}"]'.encode())
        turned = re.sub(rb'("metric":[{][^}]*[}]),("value":[^]]*\])', rb"\2,\1", answer)
        assert reader.read(turned).value == {f"ns/s-{index}": float(text) for index in range(3)}
        assert reader.read(answer) == parse(turned)


def test_one_that_is_gone_is_gone_and_not_zero():
    reader = IncrementalReader()
    reader.read(body(*values(10), *USUAL))
    found = reader.read(body(*values(9), *USUAL))
    assert "ns/s-9" not in found.value
    assert "ns/s-9" not in found.zero


def test_what_was_told_before_is_not_changed_by_what_is_told_later():
    reader = IncrementalReader()
    first = reader.read(body(*values(10), *USUAL))
    reader.read(body(*values(10, **{"s-1": "5"}), *USUAL))
    assert first == parse(body(*values(10), *USUAL))


def test_after_an_answer_that_cannot_be_used_the_next_one_is_read():
    reader = IncrementalReader()
    reader.read(body(*values(10)))
    with pytest.raises(QueryError, match="not Prometheus'"):
        reader.read(body(*values(9), ("value", "ns/s-9", "many")))
    assert reader.read(body(*values(10))) == parse(body(*values(10)))
