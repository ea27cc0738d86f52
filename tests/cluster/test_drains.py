"""A short run of what `make drains` does for long: scale-downs, rolling updates and node drains under load."""

import asyncio

import pytest
from drains import ROLLED, SCALED, TIGHT, drains, report

pytestmark = [pytest.mark.program, pytest.mark.real_time]

REQUESTS = 100


@pytest.fixture(scope="module")
def run(control_plane, tmp_path_factory):
    run = asyncio.run(drains(control_plane, tmp_path_factory.mktemp("drains"), requests=REQUESTS, seed=1))
    print(report(run))  # noqa: T201 - shown if a test fails
    return run


def test_replicas_that_fall_again_and_again_under_load_cut_no_request(run):
    run.settle(SCALED)
    assert run.done["changes of bounds"] > 1


def test_rolling_updates_and_node_drains_under_load_cut_no_request(run):
    run.settle(ROLLED)
    assert run.done["node drains"]
    assert run.done["rolling updates"] > 1


def test_a_rolling_update_with_one_gpu_left_lets_no_request_wait_longer_than_one_pod_starts(run):
    run.settle(TIGHT)
    assert run.most_pods_waited_for(TIGHT) <= 1


def test_a_pod_of_somebody_else_with_the_same_labels_runs_nothing(run):
    assert run.foreign_runs == 0
