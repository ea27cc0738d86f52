"""A run of the demo as a report: from what the command writes of it."""

import json
from argparse import Namespace

import pytest

from autoscaler.cli import main
from autoscaler.commands import demo
from autoscaler.demo.load_result import LoadResult, Response
from autoscaler.demo.report import DecisionPoint, Expected, Moment, RunResult, ServedRequest

ORIGIN = {"Version": "0.1.0", "Command": "autoscaler demo --speed 10", "Speed": "10"}
RESULT = RunResult(
    source="by hand",
    load=LoadResult(
        40.0, (Response(30.0, 0, 0, 0, 30.0, 0, 200, 0.0), Response(39.0, 0, 0, 0, 39.0, 0, 504, 1.0)), {"EOF": 1}
    ),
    requests=(ServedRequest(0.0, 20.0, 8.0), ServedRequest(0.5, 18.0, 9.0)),
    timeline=(Moment(0.0, 0, 0, 0, 1), Moment(1.5, 2, 0, 0, 2), Moment(20.0, 2, 2, 2, 0), Moment(70.0, 0, 0, 0, 0)),
    decisions=(
        DecisionPoint(1.5, 2, before=0, why="Two <wait>."),
        DecisionPoint(3.5, 2, before=2),
        DecisionPoint(70.0, 0, before=2),
    ),
    cold_starts_s=(19.5, 18.5),
    gpu_s=138.0,
    idle_s=60.0,
    overlaps=0,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write a run as the command does."""
    folder = tmp_path_factory.mktemp("demo")
    files = Namespace(json=folder / "demo.json", html=folder / "demo.html", plot=folder / "demo.svg")
    demo._Output(Expected(2, 2), files, ORIGIN)(RESULT)
    return files


def test_the_page_has_the_verdict_the_figures_and_the_reasons(written):
    page = written.html.read_text()
    assert "The run is not as expected: 1 of 2 answers were status 200." in page
    assert "<dt>Answered</dt><dd><b>1</b> <span>of 3</span>" in page
    assert "<th scope=row>requests without an answer: EOF</th><td class=n>1</td>" in page
    assert "<th scope=row>cold start</th><td class=n>19.00</td>" in page
    assert "<td>0 → 2</td><td>Two &lt;wait&gt;.</td>" in page
    assert "What changed the number (2)" in page
    assert "10 times as fast as real time" in page
    assert written.plot.read_text().startswith("<?xml")


def test_report_makes_the_same_page_from_what_was_kept(written, tmp_path):
    assert main(["report", str(written.json), "--html", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_bytes() == written.html.read_bytes()


def test_a_run_of_the_demo_stands_beside_nothing_else(written, tmp_path, capsys):
    (tmp_path / "other.json").write_text(json.dumps([]))
    words = ["report", str(written.json), str(tmp_path / "other.json"), "--html", str(tmp_path / "out.html")]
    assert main(words) == 2
    assert "demo.json: is one run of the demo, which stands beside nothing else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--html", "none/out.html"], "--html none/out.html: must be a file in a folder that exists"),
        (["--plot", "out.pdf"], "--plot out.pdf: must end in .png or .svg"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_the_run(capsys, words, said):
    assert main(["demo", *words]) == 2
    assert said in capsys.readouterr().err
