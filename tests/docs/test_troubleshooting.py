"""The page on symptoms names each rule, reason and refusal that there is, and no message that there is not."""

import re
from http import HTTPStatus

import pytest
from documentation import DOCS, ROOT

from autoscaler.gateway.counts import RequestOutcome
from autoscaler.kubernetes import policy_status

PAGE = (DOCS / "how-to" / "troubleshooting.md").read_text()
SOURCE = "\n".join(
    file.read_text() for folder in ("algorithms", "autoscaler") for file in (ROOT / folder).rglob("*.py")
)
NO_REFUSAL = {
    RequestOutcome.SERVED,
    RequestOutcome.ABANDONED_QUEUED,
    RequestOutcome.ABANDONED_RUNNING,
    RequestOutcome.PREFLIGHT,
    RequestOutcome.WAITING_PAGE,
}


def section(heading):
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(heading):
    """Give the cells of a section's table, without its head."""
    found = re.findall(r"^\| (.*) \|$", section(heading), re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in found[1:]]


def codes(text):
    return set(re.findall(r"`([\w.]+)`", text))


def test_each_rule_that_can_change_a_number_is_explained():
    rules = set(re.findall(r'\brule = "([\w.]+)"', SOURCE)) | set(re.findall(r'Override\(\s*"(\w+)"', SOURCE))
    rules |= set(re.findall(r'Reason\("(\w+)"', SOURCE)) | {
        "foreignWriter",
        "replicasContested",
        "deciderFailed",
        "backfill",
    }
    explained = set().union(*(codes(rule) for rule, *_ in rows("Why are there five pods?")))
    assert explained == rules


@pytest.mark.parametrize("outcome", [each for each in RequestOutcome if each not in NO_REFUSAL], ids=str)
def test_each_refusal_of_the_gateway_is_explained_by_status_and_reason(outcome):
    (status,) = re.findall(rf"RequestOutcome\.{outcome.name}: \(\s*HTTPStatus\.(\w+),", SOURCE)
    explained = [row for row in rows("Errors from the gateway") if outcome.value in codes(row[1])]
    assert [str(HTTPStatus[status].value) in row[0] for row in explained] == [True]


def test_each_reason_that_keeps_a_service_from_scaling_is_explained():
    overriding = set(policy_status._OVERRIDING_RULES.values())
    overriding |= {"FailedGetExternalMetric", "HostConflict", "HostNotAllowed"}
    others = {"NotDecidedYet", "DryRun", "FailedGetScale", "FailedUpdateScale", "InvalidPolicy"}
    assert overriding | others <= codes(PAGE)
    for reason in overriding | others:
        assert f'"{reason}"' in SOURCE


@pytest.mark.parametrize("message", [row[0].strip("`") for row in rows("FailedGetExternalMetric")])
def test_each_message_of_an_unknown_count_is_one_that_the_controller_writes(message):
    parts = [part.strip() for part in re.split(r"\.\.\.|\b\d+\b", message)]
    assert [part for part in parts if part not in SOURCE] == []
