"""Reports of simulated results: from the result, from what was kept, and on the command line."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoscaler.cli import main
from autoscaler.documents.document import to_yaml
from autoscaler.testing import policy, policy_document
from simulations import compare, html_report, simulate, timeline_figure, waits_figure
from simulations.report.content import answer_of, page_of, sections_of
from simulations.report.kept import NOT_KEPT, document_of, kept, kept_from
from simulations.report.origin import digest
from simulations.scenario.document import read_scenario, seeded

ROOT = Path(__file__).parents[3]
LEAN = policy("default/lean", maxReplicas=2)
WIDE = policy("default/wide", maxReplicas=8)


@pytest.fixture(scope="module")
def results():
    return compare("demo", [LEAN, WIDE], replications=2)


def cells(section, title):
    """Give the rows of a table by their first cell."""
    (table,) = [part for part in section.parts if getattr(part, "title", None) == title and hasattr(part, "rows")]
    return {first: rest for first, *rest in table.rows}


def test_a_report_of_what_was_kept_is_that_of_the_result_itself(results):
    written = json.loads(json.dumps([document_of(each, "autoscaler simulate demo") for each in results]))
    assert page_of(kept_from("out.json", written)) == page_of(
        [kept(each, "autoscaler simulate demo") for each in results]
    )


def test_the_figures_on_the_page_are_those_of_the_results(results):
    figures, *_ = sections_of([kept(each) for each in results])
    lean, wide = (each.estimates["wait_mean_s"].mean for each in results)
    row = [float(cell.split()[0]) for cell in cells(figures, "")["wait, mean (s)"]]
    assert row == pytest.approx([lean, wide], rel=0.01)
    (difference,) = cells(figures, "Difference from lean, run by run")["wait, mean (s)"]
    assert float(difference.split()[0]) == pytest.approx(wide - lean, rel=0.01)


def test_the_charts_are_those_of_the_first_run(results):
    charts = {
        part.title: part
        for section in sections_of([kept(each) for each in results])
        for part in section.parts
        if hasattr(part, "series")
    }
    distribution = charts["Share of requests that waited at most so long"]
    for series, result in zip(distribution.series, results, strict=True):
        requests = result.history.requests
        waits_s = (requests.start_s - requests.arrival_s)[~np.isnan(requests.start_s)]
        assert series.values == pytest.approx([100 * np.mean(waits_s <= x) for x in distribution.x])
    peaks = [max(series.values) for series in charts["Replicas asked for"].series]
    assert peaks == [max(change.asked for change in result.history.changes) for result in results]
    frontier = charts["What a shorter wait costs"]
    assert sorted(frontier.names) == ["lean", "wide"]


def test_the_first_sentence_names_who_waits_least_and_who_uses_least(results):
    said = answer_of([kept(each) for each in results])
    assert said.startswith("Of 2 policies wide has the shortest mean wait, ")
    assert "; lean needs the least GPU time, " in said
    assert "50 of 50 requests were served after a mean wait of " in answer_of([kept(results[1])])


def test_each_change_of_the_number_has_its_reason_in_words(results):
    for result in results:
        run = kept(result).run
        number = run.changes[0].before
        for change in run.changes:
            assert change.before == number
            assert change.why.endswith(".")
            number = change.after
        assert number == result.history.decisions[-1].decision.desired


def test_a_page_says_what_it_was_made_from(results):
    page = html_report(results, "autoscaler simulate demo --seed 1")
    for told in ("autoscaler simulate demo --seed 1", digest(results[0].scenario), "maxReplicas: 2", "reference-load"):
        assert told in page
    assert str(ROOT) not in page


def test_the_digest_depends_on_what_arrives_and_not_on_where_it_is_kept(tmp_path):
    made = {}
    for folder, arrivals in (("one", "1"), ("two", "1"), ("three", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "trace.csv").write_text(f"arrival_s\n{arrivals}\n")
        (tmp_path / folder / "s.yaml").write_text(
            "apiVersion: inflight.dev/v1alpha1\nkind: Scenario\nmetadata: {name: t}\nspec:\n"
            "  workloads: [{trace: {file: trace.csv}, serviceTime: 8s}]\n  fleet: {pools: [{name: gpu}]}\n"
        )
        made[folder] = read_scenario(tmp_path / folder / "s.yaml")
    assert digest(made["one"]) == digest(made["two"]) == digest(seeded(made["one"], 9))
    assert digest(made["three"]) != digest(made["one"])


def test_a_run_whose_requests_are_not_kept_says_so(results):
    (result, _) = results
    history = replace(result.history, streaming_figures={})
    page = html_report(replace(result, history=history))
    assert NOT_KEPT.partition(".")[0] in page


def test_services_of_one_fleet_have_no_differences_and_their_sum_has_no_decisions(tmp_path):
    services = [
        {
            "policy": policy_document(f"default/{name}", maxReplicas=2),
            "workloads": [{"closedLoop": {"requests": 4, "clients": 2}, "serviceTime": "5s"}],
        }
        for name in ("a", "b")
    ]
    fleet = {"pools": [{"name": "gpu", "coldStart": {"load": "5s"}}]}
    head = {"apiVersion": "inflight.dev/v1alpha1", "kind": "Scenario", "metadata": {"name": "two"}}
    (tmp_path / "s.yaml").write_text(to_yaml({**head, "spec": {"fleet": fleet, "services": services}}))
    *services, total = map(kept, compare(tmp_path / "s.yaml"))
    assert all(each.run.changes for each in services)
    assert not total.run.changes
    written = json.loads(json.dumps([document_of(each) for each in compare(tmp_path / "s.yaml")]))
    assert page_of(kept_from("f", written)) == page_of([*services, total])
    assert "8 of 8 requests were served" in answer_of([*services, total])


def test_a_notebook_gets_figures_back(results):
    assert len(waits_figure(results).axes[0].lines) == 2
    assert len(timeline_figure(results[0]).axes) == 2
    with pytest.raises(ValueError, match="there is no result"):
        html_report([])


def test_the_command_writes_the_page_of_the_run_and_report_writes_it_again(tmp_path, capsys):
    out = {name: str(tmp_path / name) for name in ("a.html", "a.json", "a.svg", "b.html")}
    assert main(["simulate", "demo", "--html", out["a.html"], "--json", out["a.json"], "--plot", out["a.svg"]]) == 0
    assert main(["report", out["a.json"], "--html", out["b.html"]]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert "autoscaler simulate demo" in (tmp_path / "a.html").read_text()


def test_results_of_two_files_stand_side_by_side_under_names_of_their_own(tmp_path, results):
    for name, seed in (("monday", 1), ("tuesday", 2)):
        made = simulate(seeded(read_scenario("demo"), seed))
        (tmp_path / f"{name}.json").write_text(json.dumps([document_of(made)]))
    out = tmp_path / "out.html"
    assert main(["report", str(tmp_path / "monday.json"), str(tmp_path / "tuesday.json"), "--html", str(out)]) == 0
    heads = re.findall(r"<th scope=col class=n>(.*?)</th>", out.read_text())
    assert heads[:2] == ["monday: knative-sd-demo", "tuesday: knative-sd-demo"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "kept.json: is no JSON, as --json of simulate, compare or demo writes it"),
        ("[]", "kept.json: has no result"),
        ("7", "kept.json: must be a list of results, as `simulate --json` writes it"),
        ('[{"name": "a"}]', "kept.json: is no result of this release: Object missing required field"),
        ('[{"name": 3}]', "Expected `str`, got `int` - at `$.name`; make it again with --json"),
        ("{}", "kept.json: is no result of this release: Object missing required field"),
    ],
)
def test_a_file_that_is_no_result_is_named_with_what_is_wrong(tmp_path, capsys, text, said):
    (tmp_path / "kept.json").write_text(text)
    assert main(["report", str(tmp_path / "kept.json"), "--html", str(tmp_path / "out.html")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--html or --plot: one of them is required"),
        (["--html", "none/out.html"], "must be a file in a folder that exists"),
        (["--html", "out.txt"], "must end in .html, .htm"),
        (["--plot", "out.pdf"], "must end in .png, .svg"),
    ],
)
def test_an_option_that_cannot_be_followed_is_refused_first(capsys, words, said):
    try:
        status = main(["report", "none.json", *words])
    except SystemExit as refused:
        status = refused.code
    assert status == 2
    assert said in capsys.readouterr().err
