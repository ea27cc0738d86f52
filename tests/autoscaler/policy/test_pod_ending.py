"""Whether the pods of a target have the time to finish a request when they leave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policy.pod_ending import PodEnding, drain_problem, pod_ending
from autoscaler.testing import policy


def pod(grace_s=None, *pre_stops):
    containers = [{"name": "web", "lifecycle": {"preStop": hook}} for hook in pre_stops] or [{"name": "web"}]
    return {"containers": containers, "terminationGracePeriodSeconds": grace_s}


def with_traffic(**traffic):
    return policy(traffic={"hosts": ["a.example.com"], **traffic})


@pytest.mark.parametrize(
    ("spec", "ending"),
    [
        ({}, PodEnding(30)),
        (pod(), PodEnding(30)),
        (pod(0), PodEnding(0)),
        (pod(330, {"sleep": {"seconds": 5}}, {"sleep": {"seconds": 20}}), PodEnding(330, 20)),
        (pod(330, {"exec": {"command": ["sleep", "20"]}}, {}), PodEnding(330)),
        ({"containers": [{"name": "web", "lifecycle": None}]}, PodEnding(30)),
    ],
)
def test_it_is_read_from_a_pod_with_the_defaults_of_kubernetes(spec, ending):
    assert pod_ending(spec) == ending


@given(st.integers(0, 1000), st.integers(1, 1000), st.none() | st.integers(1, 1000))
def test_a_grace_period_below_the_longest_request_is_too_short_whichever_path_has_it(grace_s, request_s, path_s):
    paths = [{"match": ["/slow"], "class": "Count", "requestTimeout": f"{path_s}s"}] if path_s else []
    problem = drain_problem(PodEnding(grace_s), with_traffic(requestTimeout=f"{request_s}s", paths=paths))
    longest_s = max(request_s, path_s or 0)
    assert (problem is not None) == (grace_s < longest_s)
    if problem:
        assert problem.reason == "GracePeriodTooShort"
        assert f"killed after {grace_s} s, and a request may take {longest_s} s" in problem.message
        assert problem.message.endswith(f"set terminationGracePeriodSeconds of the pods to {longest_s + 30}")


def test_a_pre_stop_hook_that_takes_the_whole_grace_period_leaves_no_time_for_sigterm():
    short = with_traffic(requestTimeout="10s")
    problem = drain_problem(PodEnding(60, 60), short)
    assert problem.reason == "PreStopTooLong"
    assert problem.message.endswith("set terminationGracePeriodSeconds of the pods to 90")
    assert drain_problem(PodEnding(60, 59), short) is None


def test_requests_that_another_proxy_routes_have_no_time_that_is_known():
    assert drain_problem(PodEnding(0), policy()) is None
