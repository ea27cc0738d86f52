"""A sweep: its runs, what it keeps, where it runs, and what it says."""

import doctest
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from autoscaler.documents.document import DocumentError
from simulations import Scenario, compare, sweep
from simulations.search import sweep as sweep_module
from simulations.search.kept import KeptRuns
from simulations.search.outcome import sweep_sections, sweep_text, sweep_values, undominated, unsettled

DELAY = "spec.scaleDown.delay"
SCENARIO = Scenario.build("night", rate=0.02, service_time="8s", cold_start="30s", duration="30m", seed=5)
ONE = SCENARIO.with_policy(maxReplicas=3)


def test_the_examples_in_the_docstrings_do_what_they_say():
    failed, attempted = doctest.testmod(sweep_module)
    assert attempted > 0
    assert not failed


def test_the_figures_of_a_variant_are_those_that_compare_gives():
    found = sweep(ONE, {DELAY: ["0s", "10m"]}, replications=2)
    expected = compare(SCENARIO.with_policy(maxReplicas=3, scaleDown={"delay": "10m"}), replications=2)
    assert found.variants[1].replications == expected[0].replications
    assert found.variants[1].settings == {DELAY: "10m"}


def test_a_place_may_be_in_the_scenario_too():
    found = sweep(ONE, {"spec.fleet.pools[0].coldStart.load": ["1s", "5m"]}, replications=1)
    waits = [each.estimates["wait_p95_s"].mean for each in found.variants]
    assert waits[0] < waits[1]


def test_several_policies_are_one_more_setting():
    two = SCENARIO.with_policy(maxReplicas=3).with_policy(
        *[each.policy for each in ONE.spec.policies], *[each.policy for each in ONE.spec.policies]
    )
    found = sweep(two, {DELAY: ["0s", "10m"]}, replications=1)
    assert [list(each.settings) for each in found.variants] == [["policy", DELAY]] * 4


def test_only_what_is_not_settled_gets_more_runs():
    found = sweep(ONE, {DELAY: ["0s", "1s", "20m"]}, replications=2, up_to=6, settle=["gpu_s"], within=0.0)
    runs = {each.settings[DELAY]: len(each.replications) for each in found.variants}
    assert runs == {"0s": 6, "1s": 2, "20m": 6}
    for each in found.variants[1:]:
        assert not each.more or len(each.replications) == 6


def test_a_difference_that_is_not_settled_says_how_many_more_runs_would():
    found = sweep(ONE, {DELAY: ["0s", "20m"]}, replications=2, settle=["gpu_s"], within=0.0)
    (line,) = unsettled(found)
    assert line == f"delay=20m: GPU-seconds: not settled, {found.variants[1].more} more runs would"


def test_a_thread_pool_and_an_object_with_gather_give_what_this_process_gives():
    class Gathering:
        def submit(self, function, argument):
            return lambda: function(argument)

        def gather(self, futures):
            return [future() for future in futures]

    here = sweep(ONE, {DELAY: ["0s", "10m"]}, replications=2)
    with ThreadPoolExecutor(2) as threads:
        for executor in (threads, Gathering()):
            there = sweep(ONE, {DELAY: ["0s", "10m"]}, replications=2, on=executor)
            assert sweep_values(there) == sweep_values(here)


def test_runs_that_are_kept_are_not_done_again(tmp_path):
    file, calls = tmp_path / "runs.parquet", []

    class Counting:
        def submit(self, function, argument):
            calls.append(argument)
            return argument, function

        def gather(self, futures):
            return [function(argument) for argument, function in futures]

    first = sweep(ONE, {DELAY: ["0s", "10m"]}, replications=2, keep=file, on=Counting())
    again = sweep(ONE, {DELAY: ["0s", "10m", "20m"]}, replications=3, keep=file, on=Counting())
    assert len(calls) == 4 + 5
    assert again.variants[0].replications[:2] == first.variants[0].replications
    assert sweep_values(again) == sweep_values(sweep(ONE, {DELAY: ["0s", "10m", "20m"]}, replications=3))


def test_a_sweep_that_is_interrupted_has_its_runs_and_goes_on(tmp_path):
    def interrupt(done, _total):
        if done == 3:
            raise KeyboardInterrupt

    grid, file = {DELAY: ["0s", "10m"]}, tmp_path / "runs.parquet"
    found = sweep(ONE, grid, replications=2, keep=file, progress=interrupt)
    assert found.partial
    assert sum(len(each.replications) for each in found.variants) == 3
    assert "partial" in repr(found)
    assert sweep_values(sweep(ONE, grid, replications=2, keep=file)) == sweep_values(sweep(ONE, grid, replications=2))


def test_a_trace_that_was_changed_is_another_variant(tmp_path):
    trace, file = tmp_path / "t.csv", tmp_path / "runs.parquet"
    scenario = Scenario.build(trace=trace, service_time="2s").with_policy(maxReplicas=2)
    served = []
    for rows in ("1", "1\n2"):
        trace.write_text(f"arrival_s\n{rows}\n")
        found = sweep(scenario, {DELAY: ["0s"]}, replications=1, keep=file)
        served.append(found.variants[0].estimates["served"].mean)
    assert served == [1, 2]


def test_a_file_that_no_sweep_has_written_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"x\.parquet: cannot be read"):
        KeptRuns(tmp_path / "x.parquet")


def test_frames_have_a_row_for_each_variant_each_run_and_each_difference():
    found = sweep(ONE, {DELAY: ["0s", "10m"], "spec.maxReplicas": [1, 3]}, replications=2)
    assert found.frame()[[DELAY, "spec.maxReplicas"]].to_numpy().tolist() == [
        ["0s", 1],
        ["0s", 3],
        ["10m", 1],
        ["10m", 3],
    ]
    assert len(found.runs()) == 8
    assert set(found.differences().columns) >= {DELAY, "figure", "difference", "half_width", "settled", "more_runs"}
    json.dumps(sweep_values(found), allow_nan=False)
    assert repr(found).startswith("<Sweep of night: 4 variants, 8 runs")


def test_what_no_other_variant_is_better_than_is_marked():
    found = sweep(ONE, {DELAY: ["0s", "10m"]}, replications=2)
    points = [(each.estimates["wait_p95_s"].mean, each.estimates["gpu_s"].mean) for each in found.variants]
    for point, marked in zip(points, undominated(found), strict=True):
        assert marked == (not any(o != point and o[0] <= point[0] and o[1] <= point[1] for o in points))
    assert "delay=0s *" in sweep_text(found)
    assert [section.title for section in sweep_sections(found)] == ["Variants", "Differences from the first variant"]


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"replications": 0}, ValueError, "replications: 0: must be a whole number of at least 1"),
        ({"replications": 3, "up_to": 2}, ValueError, "up_to: 2: must be a whole number of at least replications"),
        ({"within": 1.5}, ValueError, "within: 1.5: must be at least 0 and below 1"),
        ({"settle": ["cots"], "replications": 1}, ValueError, "settle: 'cots': must be one of "),
        ({"on": "http://x"}, ValueError, "on: 'http://x': must be an address such as dask://host:8786"),
        ({"on": 7}, TypeError, "on: 7: must be an address such as dask://host:8786, or an object with submit"),
    ],
)
def test_an_argument_that_is_not_legal_is_named(arguments, error, told):
    with pytest.raises(error) as raised:
        sweep(ONE, {DELAY: ["0s"]}, **arguments)
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("spec.scaleDown.dely", "1s", "spec.scaleDown.dely: unknown key; legal here: delay, toZeroDelay"),
        ("spec.maxReplicas", "x", 'spec.maxReplicas: "x": must be'),
        ("spec.nope", 1, "spec.nope: unknown key; legal here: spec.KEY of a policy or of a scenario"),
        ("spec.policies", [], "spec.policies: unknown key"),
        ("spec.fleet.pools[4].speed", 1, "spec.fleet.pools[4].speed: there is no spec.fleet.pools[4]"),
        ("nope", 1, "nope: unknown key"),
        ("a b", 1, "a b: must be a place such as"),
    ],
)
def test_a_place_or_a_value_that_is_not_legal_is_named(place, value, told):
    with pytest.raises(DocumentError) as raised:
        sweep(ONE, {place: [value]})
    assert str(raised.value).startswith(told)
