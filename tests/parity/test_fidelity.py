"""The simulator against a real run of the demo: its predictions, and the decisions that its log replays to.

`make bench-fidelity` makes five runs in real time; this is one run at ten times the speed.
"""

import json
from dataclasses import replace
from math import inf

import pytest

from autoscaler.controller.replay import Replay
from autoscaler.demo.report import ServedRequest
from benchmarks.fidelity import Change, compared, demo_run, largest_difference, service_times_by_round

pytestmark = pytest.mark.slow


@pytest.mark.program
@pytest.mark.real_time
def test_a_run_is_predicted_from_its_load_its_service_times_and_its_cold_starts(tmp_path):
    speed = 10.0
    measured = demo_run(tmp_path, speed)
    row = compared(measured, speed)
    assert row["within"], row
    assert row["peak"] == 5

    lines = [json.loads(line) for line in (tmp_path / "decisions.jsonl").read_text().splitlines()]
    replayed = list(Replay().lines(lines))
    assert len(replayed) > 100
    for each in replayed:
        assert each.decision == each.recorded.decision

    slower = tuple(request._replace(service_s=2 * request.service_s) for request in measured.requests)
    with pytest.raises(ValueError, match="cannot be assigned to clients"):
        compared(replace(measured, requests=slower), speed)
    late = replace(measured, cold_starts_s=tuple(2 * each for each in measured.cold_starts_s))
    assert not compared(late, speed)["within"], "the comparison can fail"


def test_a_request_is_of_the_client_that_had_its_answer_just_before():
    first, second = ServedRequest(0.0, 3.0, 2.0), ServedRequest(0.0, 3.0, 4.0)
    third, fourth = ServedRequest(5.0, 0.0, 7.0), ServedRequest(7.0, 0.0, 1.0)
    assert service_times_by_round([first, second, third, fourth], 2) == (2.0, 4.0, 7.0, 1.0)


def test_of_two_that_had_their_answers_at_once_it_is_the_one_that_lets_all_send_as_many():
    first, second = ServedRequest(0.0, 3.0, 2.0), ServedRequest(0.0, 3.0, 2.001)
    third, fourth = ServedRequest(5.0011, 0.0, 2.0), ServedRequest(5.0012, 0.0, 3.0)
    fifth, sixth = ServedRequest(7.0012, 0.0, 1.0), ServedRequest(8.0013, 0.0, 1.5)
    assert service_times_by_round([first, second, third, fourth, fifth, sixth], 2) == (2.0, 2.001, 3.0, 2.0, 1.5, 1.0)


def test_changes_are_compared_by_the_numbers_that_were_asked_for():
    measured = [Change(0.0, 0), Change(0.1, 1), Change(0.2, 5), Change(60.0, 4), Change(60.0, 5), Change(90.0, 0)]
    prediction = [Change(0.0, 0), Change(0.1, 5), Change(88.0, 4), Change(89.0, 0)]
    assert largest_difference(measured, prediction) == pytest.approx(2.0)
    assert largest_difference(measured, prediction[:-1]) == inf
