"""The starts of pods as spans: each once, with the decision that asked for the pod, under ids that others can know."""

import pytest

from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.accounts import Start, Starts
from autoscaler.controller.start_spans import StartSpans
from autoscaler.ports import Outcome, Record
from autoscaler.runtime.spans import start_context

SD = "default/sd"
STAGES = (("scheduled", 1.0), ("image", 8.0), ("container", 3.0), ("model", 16.0))


def decided(at_s, before, after, *, error=""):
    observation = Observation(at_s, at_s - 2.0, 3.0, replicas=before, ready=0)
    reasons = (Reason("fromZero", 3, after, ""),)
    decision = Decision(after, Recommendation(3, "3 in flight / 1"), reasons)
    return Record(SD, observation, decision, None if before == after else Outcome(SD, error))


class World:
    def __init__(self):
        self.starts, self.leads, self.made = (), True, []
        self.recorder = StartSpans(self.made.append, starts=lambda _: Starts(self.starts), leads=lambda: self.leads)

    def spans(self):
        made, self.made[:] = list(self.made), []
        return [list(make()) for make in made]


@pytest.fixture
def world():
    return World()


def test_a_start_has_the_decision_before_it_and_its_stages_in_a_row(world):
    world.recorder(decided(100.0, 0, 2))
    world.recorder(decided(102.0, 2, 2))
    world.recorder(decided(110.0, 2, 5))
    assert world.spans() == []
    world.starts = (Start("sd-a", 129.0, STAGES, 28.0),)
    world.recorder(decided(130.0, 5, 5))
    ((whole, *stages),) = world.spans()
    assert (whole.name, whole.start_s, whole.end_s, whole.parent_id) == ("decision", 100.0, 129.0, "")
    assert whole.context == start_context(SD, "sd-a")
    known = ("pod", "replicas.before", "replicas.after", "rules")
    assert {key: whole.attributes[f"inflight.{key}"] for key in known} == {
        "pod": "sd-a",
        "replicas.before": 0,
        "replicas.after": 2,
        "rules": "fromZero",
    }
    assert [(span.name, span.start_s, span.end_s) for span in stages] == [
        ("scheduled", 101.0, 102.0),
        ("image", 102.0, 110.0),
        ("container", 110.0, 113.0),
        ("model", 113.0, 129.0),
    ]
    assert {span.parent_id for span in stages} == {whole.context[1]}
    assert len({span.context for span in (whole, *stages)}) == 5
    world.recorder(decided(132.0, 5, 5))
    assert world.spans() == [], "each start once"


def test_a_stage_of_unknown_length_is_a_gap_that_no_span_fills(world):
    world.starts = (Start("sd-a", 129.0, STAGES[2:], 28.0),)
    world.recorder(decided(130.0, 1, 1))
    ((whole,),) = world.spans()
    assert (whole.name, whole.start_s) == ("start", 101.0), "nobody is known who asked for it"
    assert whole.attributes["inflight.start.model_seconds"] == 16.0


def test_a_decision_that_could_not_be_written_asked_for_nothing(world):
    world.recorder(decided(100.0, 0, 2, error="409"))
    world.starts = (Start("sd-a", 129.0, STAGES, 28.0),)
    world.recorder(decided(130.0, 1, 1))
    assert [span.name for span in world.spans()[0]][:1] == ["start"]


def test_a_controller_that_stands_by_tells_nothing_and_a_new_leader_tells_what_is_not_told(world):
    world.leads = False
    world.starts = (Start("sd-a", 129.0, STAGES, 28.0),)
    world.recorder(decided(130.0, 1, 1))
    assert world.spans() == []
    world.leads = True
    world.recorder(decided(132.0, 1, 1))
    assert len(world.spans()) == 1


def test_nothing_is_kept_of_a_service_that_is_gone(world):
    world.recorder(decided(100.0, 0, 2))
    world.recorder.forget(SD)
    assert not world.recorder._raises
    assert not world.recorder._sent_s
