"""Hints in the simulator: what they save, what false ones cost, and that nothing changes without them."""

from itertools import islice

import numpy as np
import pytest

from autoscaler.controller.records import from_json, to_json
from autoscaler.documents.document import DocumentError
from autoscaler.policy.decider_factory import decider
from autoscaler.testing import policy
from simulations import simulate
from simulations.model.random_streams import RandomStreams
from simulations.scenario.announcements import announcements
from simulations.scenario.document import Scenario

COLD_S = 60.0
TRAFFIC = {"hosts": ["sd.example.com"]}
PLAIN = policy("web", maxReplicas=10, traffic=TRAFFIC, algorithm={"mpa": {}})
HINTED = policy("web", maxReplicas=10, traffic=TRAFFIC, algorithm={"mpa": {}}, hints={"max": 5})


def scenario(*workloads, **more):
    spec = {
        "workloads": list(workloads),
        "fleet": {"pools": [{"name": "gpu", "coldStart": {"load": f"{COLD_S:g}s"}}]},
        **more,
    }
    kind = {"apiVersion": "inflight.dev/v1alpha1", "kind": "Scenario", "metadata": {"name": "s"}}
    return Scenario.model_validate({**kind, "spec": spec})


def single(at_s=200.0, **hints):
    return {"trace": {"arrivals": [at_s]}, "serviceTime": "8s", "hints": hints}


def waits(result):
    requests = result.history.requests
    return (requests.start_s - requests.arrival_s).tolist()


def gpu_s(result):
    replicas = result.history.replicas
    return float(np.nansum(np.nan_to_num(replicas.gone_s, nan=4200.0) - replicas.placed_s))


@pytest.mark.parametrize(("lead_s", "wait_s"), [(0, 60.0), (20, 40.0), (60, 0.0), (100, 0.0)])
def test_a_hint_saves_as_much_of_the_start_as_it_comes_before_the_request(lead_s, wait_s):
    (waited_s,) = waits(simulate(scenario(single(leadTime=f"{lead_s}s")), HINTED))
    assert waited_s == pytest.approx(wait_s, abs=0.1)


def test_a_policy_without_hints_hears_none_and_decides_as_if_there_were_none():
    announced, silent = scenario(single()), scenario({**single(), "hints": None})
    first, second = (simulate(each, PLAIN).history for each in (announced, silent))
    assert first.decisions == second.decisions
    assert first.changes == second.changes


def test_a_hint_without_its_request_starts_a_replica_that_ends_with_it():
    hints = {"hitRate": "10%", "leadTime": "20s", "within": "90s"}
    end_early = {"run": {"duration": "1h10m"}}
    history = simulate(scenario(single(**hints), **end_early), HINTED).history
    words = {reason.why for record in history.decisions for reason in record.decision.reasons if reason.rule == "hints"}
    assert any(why.startswith("1 announced within ") for why in words)
    last = history.decisions[-1]
    assert (last.decision.desired, last.observation.hinted) == (0, 0.0)
    assert gpu_s(simulate(scenario(single(**hints), **end_early), HINTED)) > gpu_s(
        simulate(scenario(single(leadTime="20s"), **end_early), HINTED)
    )


def test_the_log_of_a_run_with_hints_gives_the_same_numbers_again():
    load = {"poisson": {"rate": 0.02}, "serviceTime": "8s", "hints": {"hitRate": "60%", "leadTime": "20s"}}
    history = simulate(scenario(load, run={"duration": "30m"}), HINTED).history
    assert any(record.observation.hinted for record in history.decisions)
    again = decider(HINTED)
    for record in history.decisions:
        read = from_json(to_json(record))
        assert read.observation == record.observation
        assert again.decide(read.observation).desired == record.decision.desired


def test_the_engine_says_that_only_it_knows_hints():
    load = {"poisson": {"rate": 0.1}, "serviceTime": "1s", "requests": 5, "hints": {}}
    assert "requests are announced" in simulate(scenario(load), HINTED).history.engine
    assert "requests are announced" not in simulate(scenario(load), PLAIN).history.engine


def found(*workloads, count=2000):
    made = announcements(scenario(*workloads, run={"duration": "1h"}).spec.workloads, RandomStreams(7))
    return list(islice(made, count))


LOAD = {"poisson": {"rate": 0.5}}


def test_hints_come_in_order_of_time_with_the_shares_that_are_asked_for():
    made = found({**LOAD, "hints": {"hitRate": "25%", "coverage": "50%", "leadTime": "30s"}}, count=40_000)
    times = [each.t_s for each in made]
    assert times == sorted(times)
    hits = [each for each in made if each.request[1] >= 0]
    tail_s = times[-1]
    assert len(hits) / len(made) == pytest.approx(0.25, abs=0.02)
    assert len(hits) / (0.5 * tail_s) == pytest.approx(0.5, abs=0.02)
    assert all(each.request[1] - each.t_s == pytest.approx(30.0) for each in hits if each.t_s)


def test_all_policies_hear_the_same_hints_of_several_workloads():
    several = ({**LOAD, "hints": {}}, LOAD, {**LOAD, "start": "10s", "hints": {"leadTime": "5s"}})
    assert found(*several) == found(*several)
    assert {each.request[0] for each in found(*several)} == {0, 2}


def test_a_hint_of_one_that_is_announced_at_the_beginning_is_heard_then():
    (waited_s,) = waits(simulate(scenario(single(5.0, leadTime="20s")), HINTED))
    assert waited_s == pytest.approx(COLD_S - 5.0, abs=0.1)


@pytest.mark.parametrize(
    ("workload", "why"),
    [
        ({"closedLoop": {"requests": 5, "clients": 1}, "hints": {}}, "hints: is not allowed beside closedLoop"),
        (single(leadTime="30s", within="20s"), "within: must be longer than leadTime"),
        (single(hitRate="0%"), "hitRate"),
    ],
)
def test_hints_that_cannot_be_are_refused(workload, why):
    with pytest.raises(ValueError, match=why):
        scenario(workload)


def test_a_run_that_decides_at_once_refuses_a_policy_with_hints():
    with pytest.raises(DocumentError, match=r"spec\.hints: a scenario with controller\.immediate"):
        simulate(scenario(single(), controller={"immediate": True}), HINTED)


def test_two_replications_have_other_hints():
    load = scenario({**LOAD, "hints": {"hitRate": "50%"}}, run={"duration": "1h"}).spec.workloads
    first, second = (list(islice(announcements(load, RandomStreams(7, n)), 50)) for n in (0, 1))
    assert first != second
