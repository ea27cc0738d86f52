"""What an earlier release wrote is read by this one."""

import json
from pathlib import Path

import pytest

from autoscaler.replay import Replay

RELEASES = Path(__file__).parents[1] / "data" / "releases"


@pytest.mark.parametrize("log", sorted(RELEASES.glob("*/decisions.jsonl")), ids=lambda log: log.parent.name)
def test_a_decision_log_of_an_earlier_release_replays_to_the_same_decisions(log):
    replayed = list(Replay().lines(map(json.loads, log.read_text().splitlines())))
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]
    assert max(each.decision.desired for each in replayed) == 5
