"""What an earlier release wrote is read by this one."""

import argparse
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autoscaler.commands import validate
from autoscaler.controller.replay import Replay
from autoscaler.documents.document import DocumentError, read_file
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import ScalingPolicy

RELEASES = Path(__file__).parents[2] / "data" / "releases"


def numbers(decision):
    """Give a decision without its sentences, which are for people and may be said better later."""
    reasons = [(reason.rule, reason.before, reason.after) for reason in decision.reasons]
    return decision.desired, decision.recommendation.replicas, reasons


@pytest.mark.parametrize("log", sorted(RELEASES.glob("*/decisions.jsonl")), ids=lambda log: log.parent.name)
def test_a_decision_log_of_an_earlier_release_replays_to_the_same_decisions(log):
    replayed = list(Replay().lines(map(json.loads, log.read_text().splitlines())))
    assert [numbers(each.decision) for each in replayed] == [numbers(each.recorded.decision) for each in replayed]
    assert max(each.decision.desired for each in replayed) == 5


POLICIES = sorted(RELEASES.glob("*/policies/*.yaml"))
UPGRADING = (Path(__file__).parents[3] / "docs" / "how-to" / "upgrade.md").read_text()


def refused_now(file):
    """Give the problems of each document that is refused now."""
    for document in read_file(file):
        try:
            validated(document, ScalingPolicy)
        except DocumentError as error:
            yield document, error.problems


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: f"{file.parts[-3]} {file.stem}")
def test_a_document_that_an_earlier_release_took_is_legal_or_named_with_what_the_upgrade_page_says(file, capsys):
    release = file.parts[-3]
    command = argparse.Namespace(files=[file], against=release, host_claims=None)
    validate.run(command)
    said = capsys.readouterr().err
    for document, problems in refused_now(file):
        line = document.line(("metadata", "name"))
        assert f"{file}:{line}: {release} accepted it; see docs/how-to/upgrade.md" in said
        for problem in problems:
            key = re.sub(r"\[\d+\]", "", problem.split(": ")[1])
            assert f"| `{key}` |" in UPGRADING


@pytest.mark.parametrize(
    "spec",
    [
        {"scaleTargetRef": {"name": "a"}, "unknown": 1},
        {"scaleTargetRef": {"name": "a"}, "minReplicas": 12},
        {"scaleTargetRef": {"name": "a"}, "algorithm": {"concurrency": {"stableWindow": "2s"}}},
        {"scaleTargetRef": {"name": "a"}, "algorithm": {"concurrency": {"maxScaleUpRate": 0.5}}},
        {"scaleTargetRef": {"name": "a"}, "algorithm": {"mpa": {}, "kpa": {}}},
        {
            "scaleTargetRef": {"name": "a"},
            "traffic": {"hosts": ["a.b"], "onAbort": "Interrupt"},
            "containerConcurrency": 2,
        },
        {"scaleTargetRef": {"name": "a"}, "algorithm": {"kpa": {"initialScale": 0}}},
        {"scaleTargetRef": {"name": "a"}, "algorithm": {"kpa": {"activationScale": 11}}},
        {"scaleTargetRef": {"name": "a"}, "algorithm": {"kpa": {"targetBurstCapacity": -0.5}}},
        {"scaleTargetRef": {"name": "a"}, "algorithm": {"concurrency": {"maxScaleUpRate": 10**400}}},
        {"scaleTargetRef": {"name": "a\n"}},
        {"scaleTargetRef": {"name": "a"}, "scaleDown": {"delay": "1m\n"}},
        {},
    ],
    ids=lambda spec: str(spec)[:100],
)
def test_what_an_earlier_release_refused_too_is_not_blamed_on_the_upgrade(spec, tmp_path, capsys):
    file = tmp_path / "policy.yaml"
    head = {"apiVersion": "inflight.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "a"}}
    file.write_text(json.dumps(head | {"spec": spec}))
    assert validate.run(argparse.Namespace(files=[file], against="0.1.0", host_claims=None)) == 2
    said = capsys.readouterr().err
    assert "spec" in said
    assert "took it" not in said


HEAD = """\
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata:
  name: a
  annotations: {%s}
spec:
  scaleTargetRef: {name: a}
  maxReplicas: %s
"""


def told(text, tmp_path, capsys):
    """Give what is said of a document that comes through a pipe, which can be read once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        writer.submit(pipe.write_text, text)
        assert validate.run(argparse.Namespace(files=[pipe], against="0.1.0", host_claims=None)) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("annotations", "most"),
    [("inflight.dev/paused: yes", "3"), ("inflight.dev/pause-until: 2026-11-30T10:00:00Z", "3"), ("", "010")],
)
def test_a_document_is_named_for_its_annotations_and_numbers_too(annotations, most, tmp_path, capsys):
    assert f"{tmp_path}/pipe:4: 0.1.0 accepted it" in told(HEAD % (annotations, most), tmp_path, capsys)


@pytest.mark.parametrize(
    ("annotations", "most"),
    [
        ("inflight.dev/paused-until: soon", "3"),
        ('inflight.dev/replicas: "3"', "3"),
        ('inflight.dev/replicas: "x", inflight.dev/replicas-until: 2026-11-30T10:00:00Z', "3"),
        ("", "3\n  maxReplicas: 3"),
        ("", "!!int five"),
        ("", ".inf"),
    ],
)
def test_what_nobody_ever_took_is_not_named(annotations, most, tmp_path, capsys):
    assert "took it" not in told(HEAD % (annotations, most), tmp_path, capsys)
