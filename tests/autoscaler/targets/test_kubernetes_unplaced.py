"""How many replicas of a pool have no place, by what Kubernetes says of its pods."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.kubernetes.objects import NotReady, Pod, Scale
from autoscaler.targets.kubernetes_unplaced import pool_state

UNSCHEDULABLE = NotReady("Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
GATED = NotReady("SchedulingGated", "waits for a gate")
QUOTA = NotReady("FailedCreate", 'pods "sd-1" is forbidden: exceeded quota: gpus')
LATE = NotReady("ProgressDeadlineExceeded", "has timed out progressing")
PULLING = NotReady("ImagePullBackOff", "not found")


def pod(why=None, *, ready=False):
    return Pod("sd", {}, "", ready, terminating=False, created_s=0.0, cost="", not_ready=why)


def scale(why=None):
    return Scale(0, "1", (), "", not_ready=why)


@pytest.mark.parametrize(
    ("asked", "of_workload", "pods", "found"),
    [
        pytest.param(3, None, [pod(ready=True)] * 3, (0, False, ""), id="all are ready"),
        pytest.param(3, None, [pod()] * 3, (0, False, ""), id="all start"),
        pytest.param(3, None, [pod(), pod(PULLING)], (0, False, ""), id="one cannot start, and has its place"),
        pytest.param(
            3, None, [pod(ready=True), pod(UNSCHEDULABLE), pod(UNSCHEDULABLE)], (2, False, UNSCHEDULABLE), id="no node"
        ),
        pytest.param(1, None, [pod(GATED)], (1, False, GATED), id="a gate"),
        pytest.param(3, None, [pod()], (0, False, ""), id="two are about to be created"),
        pytest.param(3, QUOTA, [pod(ready=True)], (2, True, QUOTA), id="a quota"),
        pytest.param(3, LATE, [pod(ready=True)], (0, False, ""), id="late, and no more is known"),
        pytest.param(3, QUOTA, [pod(ready=True)] * 3, (0, False, ""), id="a quota that was full a moment ago"),
        pytest.param(3, QUOTA, [pod(UNSCHEDULABLE)], (3, True, QUOTA), id="a quota and no node"),
        pytest.param(
            2, None, [pod(ready=True)] * 2 + [pod(UNSCHEDULABLE)], (0, False, ""), id="the extra pod of a rollout"
        ),
        pytest.param(
            2, None, [pod(ready=True), pod(UNSCHEDULABLE), pod(UNSCHEDULABLE)], (1, False, UNSCHEDULABLE), id="both"
        ),
    ],
)
def test_pods_have_no_place_once_kubernetes_says_so(asked, of_workload, pods, found):
    unplaced, refused, why = found
    state = pool_state(asked, scale(of_workload), pods)
    assert (state.unplaced, state.refused) == (unplaced, refused)
    assert state.why == (f"{why.reason}: {why.message}" if why else "")
    assert (state.asked, state.ready) == (asked, sum(each.ready for each in pods))


def test_an_object_that_is_not_read_yet_says_nothing():
    assert pool_state(2, None, []).unplaced == 0


pods = st.lists(st.one_of(st.builds(pod, st.sampled_from([None, UNSCHEDULABLE, PULLING])), st.just(pod(ready=True))))


@given(asked=st.integers(0, 8), why=st.sampled_from([None, QUOTA, LATE]), pods=pods)
def test_never_more_have_no_place_than_are_not_ready_and_a_reason_comes_with_each(asked, why, pods):
    state = pool_state(asked, scale(why), pods)
    assert 0 <= state.unplaced <= max(asked - state.ready, 0)
    assert bool(state.why) == bool(state.unplaced)
    assert not state.refused or state.unplaced
