"""How a pod has started and what it holds, as Kubernetes tells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.accounts import STAGES
from autoscaler.kubernetes.objects import pod
from autoscaler.kubernetes.pod_start import gpus, start_times

CREATED_S = 1_800_000_000.0


def at(seconds):
    """Write a time of some seconds after the creation."""
    return f"2027-01-15T08:{seconds // 60:02}:{seconds % 60:02}Z"


def condition(kind, seconds, status="True"):
    return {"type": kind, "status": status, "lastTransitionTime": at(seconds)}


def container(seconds=None, *, restarts=0, state="running"):
    begun = {} if seconds is None else {state: {"startedAt": at(seconds)}}
    return {"name": "c", "restartCount": restarts, "state": begun or {"waiting": {"reason": "ContainerCreating"}}}


def status(*conditions, containers=(), init=()):
    return {
        "conditions": [condition(*each) for each in conditions],
        "containerStatuses": list(containers),
        "initContainerStatuses": list(init),
    }


def test_a_whole_start_has_four_stages():
    found = status(("PodScheduled", 2), ("Ready", 40), containers=[container(12)])
    assert start_times(CREATED_S, found) == (
        (("scheduled", 2.0), ("image", 10.0), ("container", 0.0), ("model", 28.0)),
        40.0,
    )


def test_init_containers_and_the_images_of_others_are_in_the_stage_of_containers():
    found = status(
        ("PodScheduled", 2),
        ("Ready", 40),
        init=[container(5, state="terminated")],
        containers=[container(12), container(15)],
    )
    assert dict(start_times(CREATED_S, found).stages) == {"scheduled": 2, "image": 3, "container": 10, "model": 25}


def test_a_stage_that_is_not_over_is_not_there():
    found = status(("PodScheduled", 2), ("Ready", 2, "False"), containers=[container(12), container()])
    assert start_times(CREATED_S, found) == ((("scheduled", 2.0), ("image", 10.0)), None)


def test_after_a_restart_the_stages_of_the_first_run_are_unknown_and_the_whole_is_known():
    found = status(("PodScheduled", 2), ("Ready", 40), containers=[container(30, restarts=1)])
    assert start_times(CREATED_S, found) == ((("scheduled", 2.0),), 40.0)


def test_clocks_that_differ_make_no_stage_shorter_than_nothing():
    found = status(("PodScheduled", 4), ("Ready", 3), containers=[container(2)])
    assert dict(start_times(CREATED_S, found).stages) == {"scheduled": 4, "image": 0, "container": 0, "model": 0}


seconds = st.none() | st.integers(0, 600)


@given(seconds, st.lists(seconds, max_size=3), seconds)
def test_no_stage_is_negative_and_a_monotonous_start_adds_up(scheduled, begun, ready):
    conditions = [each for each in (("PodScheduled", scheduled), ("Ready", ready)) if each[1] is not None]
    found = start_times(CREATED_S, status(*conditions, containers=[container(each) for each in begun]))
    assert all(length >= 0 for _, length in found.stages)
    assert [name for name, _ in found.stages] == [name for name in STAGES if name in dict(found.stages)]
    bounds = [0, scheduled, *(sorted(begun) if begun and None not in begun else [None]), ready]
    if len(found.stages) == len(STAGES) and bounds == sorted(bounds):
        assert sum(length for _, length in found.stages) == found.total_s


@pytest.mark.parametrize(
    ("resources", "number"),
    [
        ([{"limits": {"nvidia.com/gpu": "2", "memory": "8Gi"}}], 2),
        ([{"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}}, {"limits": {"amd.com/gpu": "1"}}], 2),
        ([{"limits": {"nvidia.com/mig-1g.5gb": "1"}}], 1),
        ([{"limits": {"nvidia.com/gpu.shared": "1"}}], 1),
        ([{"limits": {"gpu.intel.com/xe": "1"}}], 1),
        ([{"limits": {"cpu": "4", "example.com/gpus": "4"}}], None),
        ([{"limits": {"nvidia.com/gpu": "0"}}], None),
        ([{"limits": {"nvidia.com/gpu": "9" * 5000}}], None),
        ([{}], None),
    ],
)
def test_a_pods_gpus_are_those_that_its_containers_ask_for(resources, number):
    assert gpus({"containers": [{"resources": each} for each in resources]}) == number


@pytest.mark.parametrize(
    ("spec", "conditions", "placed"),
    [
        ({}, [], False),
        ({"nodeName": "n"}, [], True),
        ({}, [condition("PodScheduled", 1)], True),
        ({}, [{**condition("PodScheduled", 1, "False"), "reason": "Unschedulable"}], False),
        ({}, [condition("Ready", 1)], True),
    ],
)
def test_a_pod_has_a_place_once_a_node_was_found(spec, conditions, placed):
    metadata = {"name": "a", "creationTimestamp": at(0)}
    assert pod({"metadata": metadata, "spec": spec, "status": {"conditions": conditions}}).placed == placed
