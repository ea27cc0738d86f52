"""A schedule in the simulator: every engine follows it, from the scenario's date on, and its log gives the same."""

import argparse
import json

import pytest
import yaml

from autoscaler.controller.replay import Replay
from autoscaler.documents.document import DocumentError
from autoscaler.testing import policy
from simulations import command, simulate
from simulations import run as runs
from simulations.scenario.document import Scenario

SCHEDULE = [
    {"name": "w", "timeZone": "Europe/Berlin", "start": "30 2 * * *", "end": "45 2 * * *", "minReplicas": 3},
]
IN_WINTER = "2026-03-28T01:20:00Z"
"""02:20 in Berlin, on the day before the clocks change."""
LEFT_OUT = "2026-03-29T00:50:00Z"
"""01:50 in Berlin: ten minutes later it is 03:00."""


def document(start, **changes):
    spec = {
        "start": start,
        "workloads": [{"poisson": {"rate": 0.05}, "serviceTime": "8s"}],
        "fleet": {"pools": [{"name": "gpu", "coldStart": {"load": "30s"}}]},
        "run": {"duration": "40m"},
        **changes,
    }
    return {"apiVersion": "inflight.dev/v1alpha1", "kind": "Scenario", "metadata": {"name": "s"}, "spec": spec}


def scenario(start, **changes):
    return Scenario.model_validate(document(start, **changes))


def floors(result):
    """Give the seconds of the run at which the window raised the number, first and last."""
    times = [
        record.observation.now_s
        for record in result.history.decisions
        if any(reason.rule == "minReplicas" for reason in record.decision.reasons)
    ]
    return min(times), max(times)


@pytest.mark.parametrize(("start", "opens_s"), [(IN_WINTER, 600), (LEFT_OUT, 600)])
def test_a_window_opens_at_its_local_time_also_where_that_does_not_exist(start, opens_s):
    first, last = floors(simulate(scenario(start), policy("web", schedule=SCHEDULE)))
    assert first == opens_s
    assert opens_s + 14 * 60 <= last < opens_s + 15 * 60


WITHOUT_STREAM = {"controller": {"stream": {"enabled": False}, "prometheus": {"scrapeInterval": "1s"}}}


@pytest.mark.parametrize(("changes", "engine"), [({}, "compiled"), (WITHOUT_STREAM, "fifo")], ids=["compiled", "fifo"])
def test_the_compiled_engines_follow_a_schedule_spare_replicas_and_a_ramp_as_the_reference_does(
    changes, engine, monkeypatch
):
    monkeypatch.setattr(runs, "MIN_REQUESTS_TO_COMPILE", 0)
    follows = policy("web", schedule=SCHEDULE, standby=2, maxCold=2)
    fast = simulate(scenario(IN_WINTER, **changes), follows)
    exact = simulate(scenario(IN_WINTER, **changes), follows, engine="reference")
    assert fast.history.engine == engine
    assert fast.history.changes == exact.history.changes
    rules = {reason.rule for record in exact.history.decisions for reason in record.decision.reasons}
    assert {"minReplicas", "standby", "maxCold"} <= rules


def test_the_log_of_a_run_has_the_dates_that_a_schedule_needs(tmp_path):
    follows = policy("web", schedule=SCHEDULE).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(document(IN_WINTER, policies=[{"policy": follows}])))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(tmp_path / "s.yaml"), "--decisions", str(tmp_path / "d.jsonl")])) == 0
    replayed = list(Replay().lines(map(json.loads, (tmp_path / "d.jsonl").read_text().splitlines())))
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]
    assert any(reason.rule == "minReplicas" for each in replayed for reason in each.decision.reasons)


def test_without_a_schedule_the_date_changes_nothing():
    plain = policy("web")
    assert simulate(scenario(IN_WINTER), plain).history.changes == simulate(scenario(LEFT_OUT), plain).history.changes


def test_replicas_that_follow_every_request_follow_no_schedule():
    with pytest.raises(DocumentError, match=r"default/web: spec\.schedule: a scenario with controller\.immediate"):
        simulate(scenario(IN_WINTER, controller={"immediate": True}), policy("web", schedule=SCHEDULE))


@pytest.mark.parametrize("start", ["2026-03-29", "2026-03-29T00:00:00", "yesterday", "2026-03-29T00:00:00.5Z"])
def test_a_date_without_its_zone_is_refused(start):
    with pytest.raises(ValueError, match="must be a time in whole seconds with its zone"):
        scenario(start)
