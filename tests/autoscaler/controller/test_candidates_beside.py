"""Candidates decide beside the active policy on the same observations; nothing that they do changes the active one."""

import json
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from legal_policies import legal_policies, observations

from algorithms.decider import FAILED
from algorithms.observation import Observation
from autoscaler.controller import candidates as module
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.replay import Replay
from autoscaler.controller.services import PolicyEntry, ServiceRegistry, service_of
from autoscaler.controller.step import step
from autoscaler.policy.candidates import MOST
from autoscaler.ports import Fleet, Record
from autoscaler.testing import policy

SERVICE = "default/sd"
SHORT = {"name": "short", "algorithm": {"concurrency": {"stableWindow": "10s"}}}
FEW = {"name": "few", "maxReplicas": 2}
WARM = {"name": "warm", "minReplicas": 1}


def looked(now_s, count, *, replicas=5, **more):
    return Observation(float(now_s), float(now_s - 1), count, replicas, replicas, **more)


def decided(service, *seen):
    """Give the last step of a service."""
    for observation in seen:
        (taken,) = step({SERVICE: service}, {SERVICE: (observation, Fleet(observation.replicas, ()))})
    return taken


def numbers(taken):
    return {name: decision.desired for name, decision in taken.candidates}


def falling():
    """Five requests for a minute, then one."""
    return [looked(second, 5.0) for second in range(1, 61)] + [looked(second, 1.0) for second in range(61, 81)]


def test_a_candidate_asks_for_what_its_own_settings_say():
    taken = decided(service_of(policy(candidates=[SHORT, FEW])), *falling())
    assert (taken.decision.desired, numbers(taken)) == (4, {"short": 2, "few": 2})


def test_a_candidate_decides_as_it_would_as_the_active_policy_on_the_same_observations():
    whole = policy(candidates=[SHORT])
    beside, alone = service_of(whole), service_of(whole.candidates["short"])
    for observation in falling():
        assert decided(beside, observation).candidates == (("short", decided(alone, observation).decision),)


def test_only_the_active_number_is_requested():
    taken = decided(service_of(policy(candidates=[FEW])), looked(1, 7.0))
    assert (taken.request.replicas, numbers(taken)) == (7, {"few": 2})


def test_an_override_holds_the_active_number_and_not_the_candidates():
    paused = policy(annotations={"inflight.dev/paused-until": "2026-11-23T18:00:00Z"}, candidates=[FEW])
    registry = ServiceRegistry()
    registry.put(PolicyEntry(paused))
    taken = decided(registry.services[SERVICE], looked(1, 7.0))
    assert (taken.decision.desired, numbers(taken)) == (5, {"few": 2})


@settings(max_examples=60, deadline=None)
@given(legal_policies(), observations(longest=6), st.data())
def test_no_candidate_changes_the_active_decisions_not_even_one_that_fails(whole, seen, data):
    beside, alone = service_of(whole), service_of(whole.alone())
    failing = data.draw(st.sampled_from([None, *beside.candidates]))
    if failing is not None:
        failing.decider = Broken()
    for observation in seen:
        taken, expected = decided(beside, observation), decided(alone, observation)
        assert taken._replace(candidates=(), candidate_failure=None) == expected
        assert [name for name, _ in taken.candidates] == list(whole.candidates)


class Broken:
    is_settled = False

    def decide(self, _observation):
        raise ZeroDivisionError("by design")

    def export(self):
        return {}


def test_a_candidate_that_fails_shows_the_present_number_and_starts_again():
    service = service_of(policy(candidates=[FEW]))
    service.candidates[0].decider = Broken()
    taken = decided(service, looked(1, 7.0))
    ((_, decision),) = taken.candidates
    assert (decision.desired, [reason.rule for reason in decision.reasons]) == (5, [FAILED])
    assert isinstance(taken.candidate_failure, ZeroDivisionError)
    assert numbers(decided(service, looked(2, 7.0))) == {"few": 2}


# Their state is kept as that of the active decider.


@pytest.fixture
def registry():
    made = ServiceRegistry("http://prometheus:9090")
    made.put(PolicyEntry(policy(candidates=[SHORT])))
    return made


def test_a_changed_policy_goes_on_with_what_its_candidates_have_seen(registry):
    decided(registry.services[SERVICE], *falling()[:60])
    registry.put(PolicyEntry(policy(maxReplicas=9, candidates=[{**SHORT, "minReplicas": 1}])))
    assert numbers(decided(registry.services[SERVICE], looked(61, 5.0))) == {"short": 5}


def test_a_candidate_that_does_not_change_stays_the_same_one(registry):
    before = registry.services[SERVICE]
    registry.put(PolicyEntry(policy(candidates=[SHORT, FEW])))
    after = registry.services[SERVICE]
    assert after.decider is before.decider, "candidates change nothing of the active one"
    assert after.candidates[0] is before.candidates[0]


def test_a_new_candidate_begins_with_what_the_active_policy_has_seen(registry):
    decided(registry.services[SERVICE], *falling())
    registry.put(PolicyEntry(policy(candidates=[FEW, {**SHORT, "name": "new"}])))
    # One that starts afresh would hold five for its first window.
    assert numbers(decided(registry.services[SERVICE], looked(81, 1.0)))["new"] < 5


def test_a_new_candidate_of_another_algorithm_starts_without_state(registry):
    decided(registry.services[SERVICE], *falling())
    registry.put(PolicyEntry(policy(candidates=[{"name": "knative", "algorithm": {"kpa": {}}}])))
    assert numbers(decided(registry.services[SERVICE], looked(81, 1.0))) == {"knative": 5}


def test_a_candidate_that_becomes_the_active_policy_goes_on_with_what_the_policy_has_seen(registry):
    decided(registry.services[SERVICE], *falling())
    registry.put(PolicyEntry(policy(algorithm=SHORT["algorithm"])))
    taken = decided(registry.services[SERVICE], looked(81, 1.0))
    assert (taken.decision.desired, taken.candidates) == (2, ())


def test_history_fills_the_windows_of_candidates_too():
    registry = ServiceRegistry("http://prometheus:9090", backfills=True)
    registry.put(PolicyEntry(policy(candidates=[SHORT])))
    registry.remember(SERVICE, falling())
    assert numbers(decided(registry.services[SERVICE], looked(81, 1.0))) == {"short": 2}


def test_who_takes_over_has_decided_with_the_candidates_all_along(registry):
    registry.set_writing(False)
    decided(registry.services[SERVICE], *falling()[:60])
    before = registry.services[SERVICE].candidates
    registry.set_writing(True)
    assert registry.services[SERVICE].candidates == before


def test_a_fresh_decider_of_the_policy_leaves_its_candidates_as_they_are(registry):
    before = registry.services[SERVICE]
    registry.renew(SERVICE)
    assert registry.services[SERVICE].decider is not before.decider
    assert registry.services[SERVICE].candidates == before.candidates


@given(st.integers(0, 80))
@settings(max_examples=15, deadline=None)
def test_an_exported_state_goes_on_with_the_same_decisions(moment):
    whole, seen = policy(candidates=[SHORT, FEW]), falling()
    first, second = service_of(whole), service_of(whole)
    for observation in seen[:moment]:
        decided(first, observation)
    second.restore(json.loads(json.dumps(first.export())))
    for observation in seen[moment:]:
        assert decided(first, observation) == decided(second, observation)


def test_a_state_of_other_candidates_is_refused():
    with pytest.raises(ValueError, match="candidates: the state has others"):
        service_of(policy(candidates=[SHORT])).restore(service_of(policy(candidates=[FEW])).export())


# The decision log repeats them.


def written(seen, *, breaks_at=None):
    whole = policy(candidates=[SHORT, FEW])
    service, file = service_of(whole), StringIO()
    log = DecisionLog(file)
    log.begin(SERVICE, whole.model_dump(mode="json", exclude_unset=True), service.export)
    for number, observation in enumerate(seen):
        if number == breaks_at:
            service.candidates[0].decider = Broken()
        taken = decided(service, observation)
        log(Record(SERVICE, observation, taken.decision, None, candidates=taken.candidates))
    return [json.loads(line) for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("breaks_at", [None, 0, 40, 80])
def test_a_log_replays_what_candidates_decided_to_the_bit(breaks_at):
    seen = [*falling(), looked(81, None, problem="the gateway is silent"), looked(82, 2.0)]
    replayed = list(Replay().lines(written(seen, breaks_at=breaks_at)))
    assert len(replayed) == len(seen)
    assert [each.candidates for each in replayed] == [each.recorded.candidates for each in replayed]
    assert not any(each.differs for each in replayed)


def test_a_candidate_that_was_recorded_otherwise_is_found():
    lines = written(falling()[:3])
    lines[-1]["candidates"][1]["desired"] = 7
    *same, last = Replay().lines(lines)
    assert not any(each.differs for each in same)
    assert last.differing_candidates == [("few", 7, 2)]


def test_with_another_policy_candidates_of_the_log_are_as_recorded():
    replayed = list(Replay([policy(maxReplicas=3)]).lines(written(falling()[:3])))
    assert not any(each.differing_candidates for each in replayed)


# Idle services.


def idle_after(service, *, seconds):
    services, idle = {SERVICE: service}, IdleServices()
    idle.active(services, {}, 0.0, gateways=0, complete=True)
    for second in range(1, seconds + 1):
        observation = looked(second, 0.0, replicas=0)
        decided(service, observation)
        idle.mark_idle(SERVICE, service, observation, Fleet(0, ()))
    return not idle.active(services, {}, float(seconds), gateways=0, complete=True)


@pytest.mark.parametrize(
    ("candidates", "is_idle"),
    [([], True), ([SHORT, FEW], True), ([{"name": "warm", "minReplicas": 1}], False)],
    ids=str,
)
def test_a_service_is_idle_when_its_candidates_ask_for_nothing_either(candidates, is_idle):
    assert idle_after(service_of(policy(candidates=candidates)), seconds=200) == is_idle


def test_without_candidates_nothing_is_made_for_them(monkeypatch):
    monkeypatch.setattr(module, "decided", lambda *_: pytest.fail("there are none"))
    service = service_of(policy())
    assert (decided(service, looked(1, 7.0)).candidates, "candidates" in service.export()) == ((), False)


def test_the_most_candidates_decide():
    many = [{"name": f"c-{number}", "standby": number} for number in range(MOST)]
    assert numbers(decided(service_of(policy(candidates=many)), looked(1, 2.0)))["c-7"] == 9
