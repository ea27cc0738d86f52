"""What becomes of a decision's record: a line that tells why, a line of JSON that reads back, the newest of each."""

import io
import json
import logging

import pytest

from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.controller.recorders import DecisionLog, Latest, OnChange, Recording, log_changes
from autoscaler.controller.records import from_json, to_json
from autoscaler.ports import Outcome, Record

SD, LLM = "default/sd", "default/llm"


def record(desired, replicas=1, *, service=SD, error=None, now_s=1002.0, reasons=()):
    outcome = None if error is None else Outcome(service, error)
    observation = Observation(now_s, now_s - 2, 3.0, replicas, replicas)
    return Record(
        service, observation, Decision(desired, Recommendation(3, "3 in flight / 1"), tuple(reasons)), outcome
    )


LIMITED = [Reason("maxReplicas", 3, 2, "at most 2")]


# The log.


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, logger="autoscaler.decisions")
    return lambda: [(entry.levelname, entry.message) for entry in caplog.records]


def test_a_change_is_logged_with_before_and_after_and_why(logged):
    log_changes(record(2, reasons=LIMITED, error=""))
    assert logged() == [("INFO", "default/sd: 1 -> 2; 3 in flight / 1; maxReplicas: 3 -> 2, at most 2")]


def test_what_could_not_be_written_is_a_warning_with_its_reason(logged):
    log_changes(record(2, error="HTTP 403"))
    assert logged() == [("WARNING", "default/sd: 1 -> 2 (not written: HTTP 403); 3 in flight / 1")]


def test_what_stays_as_it_is_is_not_logged(logged):
    log_changes(record(1))
    assert logged() == []


# The decision log.


def test_every_decision_is_one_line_that_reads_back_as_the_same_record():
    made = [record(2, error=""), record(1), record(3, error="two\nlines", service=LLM, reasons=LIMITED)]
    file = io.StringIO()
    log = DecisionLog(file)
    for one in made:
        log(one)
    lines = file.getvalue().splitlines()
    assert [from_json(json.loads(line)) for line in lines] == made
    assert file.getvalue().endswith("\n")


def test_a_line_is_in_the_file_when_the_call_returns(tmp_path):
    path = tmp_path / "decisions.jsonl"
    with path.open("w") as file:
        DecisionLog(file)(record(2))
        assert from_json(json.loads(path.read_text())) == record(2)


class FullDisk(io.StringIO):
    """A file on a disk that a test fills and empties."""

    full = False

    def write(self, text):
        if self.full:
            raise OSError("no space left on device")
        return super().write(text)


def test_after_decisions_that_could_not_be_written_a_service_begins_anew_with_what_it_knows_by_then():
    known = iter([{"of": "the start"}, {"of": "later"}])
    file = FullDisk()
    log = DecisionLog(file)
    log.begin(SD, {"kind": "ScalingPolicy"}, lambda: next(known))
    log(record(1))
    file.full = True
    with pytest.raises(OSError, match="no space left"):
        log(record(2))
    file.full = False
    log(record(3))
    log(record(4))
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line.get("state") or line["desired"] for line in lines] == [{"of": "the start"}, 1, {"of": "later"}, 4]


def test_in_a_file_that_is_opened_anew_each_service_begins_with_what_it_knows_by_then():
    file = io.StringIO()
    log = DecisionLog(file)
    for service in (SD, LLM):
        log.begin(service, {"kind": "ScalingPolicy"}, lambda service=service: {"of": service})
        log(record(1, service=service))
    file.seek(0)
    file.truncate()
    log.begin_file()
    for service in (SD, LLM, SD):
        log(record(2, service=service))
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line.get("state") or line["desired"] for line in lines] == [{"of": SD}, {"of": LLM}, 2]


# A recorder that fails.


def test_a_policy_that_begins_while_a_number_is_written_stands_behind_the_decision_on_that_number():
    file, writing = io.StringIO(), {SD}
    log = DecisionLog(file)
    log.is_writing = writing.__contains__
    log.begin(SD, {"policy": "second"}, dict)
    log.begin(LLM, {"policy": "of another"}, dict)
    log(record(2, error=""))
    log(record(1, service=LLM))
    writing.clear()
    log(record(1))
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["service"], "policy" in line) for line in lines] == [
        (SD, False),
        (LLM, True),
        (LLM, False),
        (SD, True),
        (SD, False),
    ]


def test_a_recorder_that_fails_keeps_no_other_from_recording_and_each_record_it_missed_counts(logged):
    file, passed = FullDisk(), []
    recording = Recording([DecisionLog(file), passed.append])
    file.full = True
    for _ in range(3):
        recording(record(2))
    assert passed == [record(2)] * 3
    assert recording.failures == {"DecisionLog": 3, "list.append": 0}
    assert logged() == [
        ("ERROR", "DecisionLog does not record, and deciding goes on without it: no space left on device")
    ]
    file.full = False
    recording(record(1))
    assert logged()[1:] == [("WARNING", "DecisionLog records again; 3 records were lost so far")]
    assert from_json(json.loads(file.getvalue())) == record(1)


# Changes, and the newest.


@pytest.mark.parametrize(
    ("second", "is_news"),
    [
        (record(2, now_s=1004.0), False),
        (record(3), True),
        (record(2, replicas=2), True),
        (record(2, reasons=LIMITED), True),
        (record(2, error="HTTP 403"), True),
        (record(2, error=""), False),
        (record(2, service=LLM), True),
    ],
)
def test_only_news_of_a_service_is_passed_on(second, is_news):
    passed = []
    on_change = OnChange(passed.append)
    on_change(record(2))
    on_change(second)
    assert passed == [record(2), *([second] if is_news else [])]


def test_what_comes_back_is_news_again():
    passed = []
    on_change = OnChange(passed.append)
    for desired in (1, 2, 1):
        on_change(record(desired))
    assert [one.decision.desired for one in passed] == [1, 2, 1]


def test_the_newest_record_of_each_service_is_kept():
    latest = Latest()
    for one in (record(2), record(5, service=LLM), record(3)):
        latest(one)
    assert latest.to_json() == {SD: to_json(record(3)), LLM: to_json(record(5, service=LLM))}


def test_before_the_first_decision_there_is_nothing_to_show():
    assert Latest().to_json() == {}


def test_of_services_that_are_gone_nothing_is_shown():
    latest, services = Latest(), {SD, LLM}
    latest.only(services)
    latest(record(1))
    latest(record(1, service=LLM))
    services.remove(LLM)
    assert latest.to_json().keys() == {SD}
