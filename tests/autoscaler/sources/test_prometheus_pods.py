"""One value for each pod, or nothing: what is no count of a pod makes the whole response worthless."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.prometheus_pods import parse_pods
from autoscaler.sources.prometheus_response import QueryError


def answer(*elements, warnings=None):
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in elements]
    data = {"resultType": "vector", "result": result}
    return json.dumps({"status": "success", "data": data, "warnings": warnings}).encode()


def pod(name, value):
    return {"pod": name, "instance": "10.0.0.1:8000"}, value


def test_each_pod_has_its_requests_rounded_up():
    assert parse_pods(answer(pod("a", "2"), pod("b", "0"), pod("c", "0.2"))).running == {"a": 2, "b": 0, "c": 1}
    assert parse_pods(answer()).running == {}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (answer(({"instance": "x"}, "1")), "lacks the label pod"),
        (answer(pod("", "1")), "lacks the label pod"),
        (answer(pod("a", "1"), pod("a", "2")), "several values for one pod"),
        (answer(pod("a", "NaN")), "not a number of requests"),
        (answer(pod("a", "-1")), "not a number of requests"),
        (answer(pod("a", "+Inf")), "not a number of requests"),
        (answer(pod("a", "1e300")), "not a number of requests"),
        (answer(pod("a", "secret")), "JSON that is not Prometheus'"),
        (answer(pod("a", "1"), warnings=["a secret"]), "part of the data may be missing"),
        (b'{"status": "success", "data": {"resultType": "matrix", "result": []}}', "answered with a matrix"),
        (b"<html>secret</html>", "JSON that is not Prometheus'"),
    ],
)
def test_one_bad_value_makes_all_unknown_and_no_text_of_the_response_is_repeated(body, why):
    with pytest.raises(QueryError, match=why) as raised:
        parse_pods(body)
    assert "secret" not in str(raised.value)


@given(st.binary(max_size=100))
def test_no_bytes_do_more_than_be_refused(body):
    with pytest.raises(QueryError):
        parse_pods(body)
