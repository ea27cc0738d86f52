"""What a golden file of the simulator may say, how a refusal reads, and when a case counts as decided."""

import copy
import json

import numpy as np
import pytest
import sim_golden
from formats import compare_file
from golden import BadGoldenError, Tally, load
from sim_form import check
from sim_golden import Found, judge, replication
from test_golden_option import ROOT

PUBLIC = load(ROOT / "tests/conformance/data/sim/public.json")


def case(model, /, **changes):
    """Give a file with the first public case of a model, some of its values changed; None takes one away."""
    found = copy.deepcopy(next(each for each in PUBLIC["cases"] if each["model"] == model))
    for path, value in changes.items():
        *way, last = path.split("__")
        place = found
        for step in way:
            place = place[step]
        place[last] = value
        if value is None:
            del place[last]
    return {"format": 1, "set": "ours", "cases": [found]}


@pytest.mark.parametrize("model", sorted({each["model"] for each in PUBLIC["cases"]}))
def test_every_model_of_the_public_file_is_known_in_any_order_of_its_fields(model):
    document = case(model)
    check(document)
    check({"cases": [dict(reversed(each.items())) for each in document["cases"]], "format": 1})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (case("M/M/c", model="M/M/q"), "case mmc_c1_rho0.5: model: 'M/M/q': must be one of M/M/c, M/D/1"),
        (case("M/M/c", params__lam=None), "params.lam: is missing"),
        (case("M/M/c", params__speed=2), "params.speed: 2: must be a known key, which are c, lam, mu"),
        (case("M/M/c", params__lam=-1), "params.lam: -1: must be a number above 0"),
        (case("M/M/c", params__lam="1"), "params.lam: '1': must be a number above 0"),
        (case("M/M/c", params__lam=True), "params.lam: True: must be a number above 0"),
        (case("M/M/c", params__c=1.5), "params.c: 1.5: must be a whole number from 1"),
        (case("M/M/c", params__lam=2.0), "load per server: 2.0: must be below 1"),
        (case("M/M/c", expect__Wx=2.0), "expect.Wx: 2.0: must be a known key, which are ES"),
        (case("M/M/c", expect__Wq="much"), "expect.Wq: 'much': must be a number from 0"),
        (case("M/M/c", expect={}), "expect: {}: must be an object that is not empty"),
        (case("M/G/1", params__service__kind="erlang"), "params.service.kind: 'erlang': must be one of exponential"),
        (case("M/G/1", params__service__sigma=None), "params.service.sigma: is missing"),
        (case("M/D/1", expect__P_wait_le={"x": 0.5}), "expect.P_wait_le: time: 'x': must be a number from 0"),
        (case("M/M/c/K", params__K=0), "params.K: 0: must be a whole number from 1"),
        (case("exact FIFO trace", params__service=[1.0]), "params.service: [1.0]: must be 40 numbers, as arrivals"),
        (case("scripted_scale_up", params__desired_by_tick=[]), "must be a list that is not empty"),
        ({"format": 1, "cases": [1]}, "cases[0]: 1: must be an object"),
        ({"format": 1, "cases": [], "seed": 4}, "file.seed: 4: must be a known key"),
    ],
)
def test_what_the_format_does_not_have_is_refused_with_file_key_value_and_what_is_legal(document, message, tmp_path):
    path = tmp_path / "others.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BadGoldenError) as refusal:
        compare_file(path)
    assert str(refusal.value).startswith("others.json: ")
    assert message in str(refusal.value)


def test_two_cases_of_one_name_are_refused():
    with pytest.raises(BadGoldenError, match="a name of its own"):
        check({"format": 1, "cases": PUBLIC["cases"][:1] * 2})


def test_a_recorded_file_that_lacks_a_field_is_refused_by_its_name(tmp_path):
    recorded = json.loads((ROOT / "tests/conformance/data/knative/decision_ramp.json").read_text())
    del recorded["steps"]
    path = tmp_path / "ramp.json"
    path.write_text(json.dumps(recorded))
    with pytest.raises(BadGoldenError, match=r"ramp\.json: .*'steps'"):
        compare_file(path)


@pytest.mark.parametrize(("seen", "tries"), [(lambda _rng: 0.0, 2), (lambda rng: rng.normal() ** 2 * 1e6, 1)])
def test_a_case_that_no_run_can_decide_says_so(seen, tries):
    lengths = []

    def replicate(run, _expect):
        lengths.append(run.requests)
        return {"Wq": seen(run.rng)}

    tally = Tally()
    judge(tally, {"id": "x", "model": "M/M/c", "params": {"lam": 0.5, "mu": 1}, "expect": {"Wq": 1e-9}}, 0, replicate)
    assert "cannot be decided: the rule allows 1e-11" in tally.result().first_difference
    assert len(set(lengths)) == tries


def test_nothing_seen_of_what_is_expected_is_not_agreement():
    assert Found(0.0, 0.0).short_of(1e-9, 0.01) > 1
    assert Found(0.0, 0.0).short_of(0.0, 0.01) == 0
    assert Found(1.0, 0.02).short_of(1.0, 0.01) == pytest.approx(2.0)


def test_a_case_is_run_with_more_requests_until_it_is_known_well_enough():
    lengths = []

    def replicate(run, _expect):
        lengths.append(run.requests)
        return {"Wq": 1 + run.rng.normal() * 160 / run.requests**0.5}

    tally = Tally()
    judge(tally, {"id": "x", "model": "M/M/c", "params": {"lam": 0.5, "mu": 1}, "expect": {"Wq": 1.0}}, 0, replicate)
    assert tally.result() == (1, None, 0)
    assert lengths[:30] == [sim_golden.REQUESTS] * 30
    assert sum(lengths[30:]) > 10 * 30 * sim_golden.REQUESTS
    assert max(lengths) <= sim_golden.PIECE


def test_a_long_replication_is_the_mean_of_pieces_of_the_same_length(monkeypatch):
    monkeypatch.setattr(sim_golden, "PIECE", 1000)
    lengths = []

    def replicate(run, _expect):
        lengths.append(run.requests)
        return {"Wq": float(len(lengths))}

    case = {"params": {}, "expect": {}}
    assert replication(case, replicate, 1, np.random.SeedSequence(1), 2500) == {"Wq": 2.0}
    assert lengths == [834] * 3
