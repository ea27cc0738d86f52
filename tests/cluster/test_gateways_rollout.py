"""A short run of what `make rollout-test` does for long: gateways are rolled out under load, and scaled 3 -> 1 -> 3."""

import asyncio

import pytest
from rollout import SERVICES, report, rollout

pytestmark = [pytest.mark.program, pytest.mark.real_time]

A_TURN_S = 1.0
"""Much less than a request waits that has lost its place, and more than a busy machine delays one on its way."""


@pytest.fixture(scope="module")
def run(control_plane, tmp_path_factory):
    run = asyncio.run(rollout(control_plane, tmp_path_factory.mktemp("rollout"), rounds=1, seed=1))
    print(report(run))  # noqa: T201 - shown if a test fails
    return run


def test_no_connection_is_refused_while_gateways_are_replaced_and_scaled(run):
    assert not run.refused()


def test_each_request_is_answered_and_runs_once_and_no_pod_gets_more_than_it_can_take(run):
    for ledger in run.ledgers.values():
        ledger.settle()


def test_requests_that_wait_keep_their_order_while_their_service_changes_its_gateway(run):
    assert max(map(run.overtaken_s, SERVICES)) < A_TURN_S


def test_each_gateway_that_left_ended_well(run):
    assert set(run.kubelet.statuses.values()) == {0}
    assert len(run.kubelet.statuses) == 3 + 3 + 2
