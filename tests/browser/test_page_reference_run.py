"""While the reference load runs, the page shows what `/metrics` and the decision log say."""

import json
import subprocess
import sys
import urllib.request
from bisect import bisect_right
from pathlib import Path

import pytest
from browser_kit import until
from prometheus_client.parser import text_string_to_metric_families

pytestmark = [pytest.mark.real_time, pytest.mark.program]

SPEED = 10.0
SERVICE = "default/knative-sd-demo"
ROOT, PROGRAM = Path(__file__).parents[2], Path(__file__).with_name("reference_run.py")


class Run:
    """The reference run, which sends its load as soon as somebody asks for it."""

    def __init__(self, process, folder):
        self.process, self.folder = process, folder
        told = json.loads(process.stdout.readline())
        self.page, self.metrics = told["page"], told["metrics"]

    def begin(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def metric(self, name, **labels):
        """Give the sum of a metric of the gateway."""
        with urllib.request.urlopen(self.metrics, timeout=20) as answer:  # noqa: S310 - our own server
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(each.value for each in samples if labels.items() <= each.labels.items())

    def counts(self):
        return {name: self.metric("inflight_requests", state=name.lower()) for name in ("Queued", "Running")}

    def quality(self):
        with urllib.request.urlopen(f"{self.page}/api/v1/services/{SERVICE}", timeout=20) as answer:  # noqa: S310
            return json.load(answer)["quality"]

    def log(self):
        lines = (self.folder / "decisions.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if "observation" in line]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, PROGRAM, folder, str(SPEED)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield Run(process, folder)
        process.stdin.close()


def agree(shown, run, holds):
    """Wait until the page and the gateway's metrics show the same numbers, of which something is known."""

    def same():
        before = run.counts()
        figures = shown.figures()
        return (
            holds(figures) and all(figures[name] == f"{before[name]:g}" for name in before) and run.counts() == before
        )

    until(shown, same)
    return shown.figures()


def added(*counts):
    """Add counts up; with one that is unknown the sum is unknown."""
    return None if None in counts else sum(counts)


def at(columns, index, time_s):
    """Give the value that a chart shows at a time."""
    found = bisect_right(columns[0], time_s + 1e-3) - 1  # they are in whole milliseconds
    return columns[index][found] if found >= 0 else None


def test_numbers_and_charts_are_those_of_the_metrics_and_of_the_decision_log(tab, run):
    shown = tab(f"{run.page}/services/{SERVICE}")
    assert shown.figures()["Asked"] == "0"
    run.begin()
    busy = agree(shown, run, lambda figures: figures["Running"] == "5")
    assert (busy["Asked"], busy["Ready"], busy["Starting"]) == ("5", "5", "0")
    shown.until("document.getElementById('first').textContent.startsWith('5 replicas, because')")
    assert len(shown.texts(".pods tbody tr")) == 5
    agree(shown, run, lambda figures: figures["Running"] == "0" and figures["Asked"] in "1234")
    shown.until("document.getElementById('second').textContent.includes('If nothing more arrives')")
    forecast = shown.charts()[1][4]
    assert [value for value in forecast if value is not None][-1] == 0
    agree(shown, run, lambda figures: figures["Asked"] == figures["Ready"] == "0")
    assert json.loads(run.process.stdout.readline()) == [200] * 50
    shown.until("document.getElementById('first').textContent.startsWith('0 replicas, because')")

    charts, log = shown.charts(), run.log()
    inflight, replicas = charts[:2]
    drawn_until = max(time for time, asked in zip(replicas[0], replicas[3], strict=True) if asked is not None)
    compared = [line for line in log if replicas[0][0] <= line["observation"]["now_s"] <= drawn_until]
    assert {line["desired"] for line in compared} >= {0, 5}
    assert any(line["observation"]["queued"] for line in compared)
    for line in compared:
        seen, time_s = line["observation"], line["observation"]["now_s"]
        averages = line["recommendation"]["averages"]
        drawn = (at(inflight, 1, time_s), at(inflight, 2, time_s), at(inflight, 3, time_s))
        decided = (added(seen["queued"], seen["running"]), seen["running"], averages[0]["value"] if averages else None)
        assert drawn == pytest.approx(decided, abs=2e-3), line
        drawn = (at(replicas, 1, time_s), at(replicas, 2, time_s), at(replicas, 3, time_s))
        assert drawn == (added(seen["ready"], seen["starting"]), seen["ready"], line["desired"]), line

    while shown.page.is_visible(".decisions + p button"):
        shown.page.click(".decisions + p button")
    written = [line for line in log if not line.get("unwritten")]
    rows = shown.texts(".decisions tr:has(td:last-child:not([colspan]))")
    changes = [text for row in rows if row.endswith("written") for text in [row]]
    assert len(changes) == len(written)
    for row, line in zip(reversed(changes), written, strict=True):
        assert f"{line['observation']['replicas']} → {line['desired']}" in row

    answers, success, errors, response = charts[2:]
    quality = run.quality()
    assert max(filter(None, quality["count"])) == run.metric("gateway_responses_total") == 50
    assert set(answers[1]) <= {*quality["answers"], None}
    assert {value for value in success[1] if value is not None} == {100}
    assert {value for column in errors[1:] for value in column if value is not None} == {0}
    assert any(value is not None for column in response[1:] for value in column)


def test_the_fleet_shows_the_same_service(tab, run):
    shown = tab(run.page)
    assert shown.texts(".rows .name a") == [SERVICE]
    assert shown.violations() == []
