"""The answer for all services."""

from seen import record, stable, view

from algorithms.observation import PoolState
from autoscaler.explain.fleet import fleet_answer
from autoscaler.explain.view import ServiceFigures

RUNS = record(replicas=3, inflight=3.0, recommendation=stable(3.0))
ZERO = record(replicas=0, inflight=0.0, recommendation=stable(0.0))


def one(last, name, **known):
    return view(last, **known)._replace(service=name)


def stocked_out():
    pool = PoolState("a100", 6, 3, 3, unplaced=3, why="Unschedulable: 3 Insufficient nvidia.com/gpu")
    return record(replicas=6, ready=3, inflight=14.0, recommendation=stable(6.0), pools=(pool,))


def lost():
    return record(replicas=4, inflight=None, recommendation=stable(4.0)._replace(replicas=None), problem="silence")


def at_max():
    return record(
        replicas=4,
        inflight=11.0,
        recommendation=stable(11.0),
        reasons=[("maxReplicas", 11, 4, "at most 4")],
        queued=7.0,
    )


def test_it_says_who_needs_attention_and_what_waits():
    views = [
        one(stocked_out(), "media/flux-dev", figures=ServiceFigures(11, 3, 252.0)),
        one(lost(), "llm/qwen-72b"),
        one(at_max(), "media/wan-video", figures=ServiceFigures(7, 4, 158.0)),
        *(one(RUNS, f"default/s{number}") for number in range(9)),
    ]
    first, second = fleet_answer(views)
    assert first == (
        "3 of 12 services need attention: one waits for GPUs, one has an unknown count, one is at its maximum."
    )
    assert second == (
        "38 replicas are ready of 41 asked for; 18 requests wait, not counting llm/qwen-72b. "
        "The oldest has waited 4 min 12 s, at media/flux-dev."
    )


def test_one_in_need_is_named():
    first, _ = fleet_answer([one(lost(), "llm/qwen-72b"), one(RUNS, "default/a")])
    assert first == "1 of 2 services needs attention: llm/qwen-72b has an unknown count."


def test_if_nobody_needs_attention_it_says_what_they_do():
    first, second = fleet_answer([one(RUNS, "default/a"), one(ZERO, "default/b"), one(ZERO, "default/c")])
    assert first == "None of 3 services needs attention: 1 runs and 2 are at zero."
    assert second == "3 replicas are ready of 3 asked for; 0 requests wait."


def test_what_is_unknown_everywhere_is_not_zero():
    _, second = fleet_answer([one(lost(), "default/a")])
    assert second == "4 replicas are ready of 4 asked for; how many requests wait is unknown."


def test_without_a_policy_it_says_how_to_begin():
    first, second = fleet_answer([], namespaces=3)
    assert first == "No ScalingPolicy is known in the 3 namespaces that this controller sees."
    assert "kubectl apply" in second
    assert fleet_answer([])[0] == "No ScalingPolicy is known."


def test_a_single_service_that_needs_no_attention_is_not_said_to_need_some():
    assert fleet_answer([one(RUNS, "default/a")])[0] == "1 service, which needs no attention: default/a runs."
    assert fleet_answer([one(ZERO, "default/a")])[0] == "1 service, which needs no attention: default/a is at zero."
