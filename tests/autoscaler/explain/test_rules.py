"""Each rule that can change a number has words for it, and a new rule without words fails here."""

import ast
import re
from pathlib import Path

import pytest
from seen import record, stable, view

from autoscaler.explain.rules import WORDS
from autoscaler.explain.sentences import answer

ROOT = Path(__file__).parents[3]
PASSED_ON = {"rule.rule", "recorded.rule", "override.rule", "line.rule", "_OLD_RULES.get"}
"""Names of rules that are taken from another reason, rule or override."""
MAKES_RULES = re.compile(r"\bReason\(|\bOverride\(|^    rule = |^    rule: ", re.MULTILINE)
WHYS = {
    "fromZero": "no replica is ready and 5 requests are in flight",
    "passing": "2 uncounted requests need a replica",
    "hints": "2 announced within 60 s",
    "scaleUp.worthAStart": "7 wait, 3 replicas clear them in 12 s, a start takes 60 s",
    "standby": "2 spare while there is load",
    "scaleDown.delay": "the highest recommendation within the last 90 s",
    "scaleDown.toZeroDelay": "zero has been recommended for 28.0 of 30 s",
    "firstWindow": "22.0 of 60 s are known since the start",
    "partialCount": "gateway gw-1 does not report: it went silent",
    "maxReplicas": "at most 4 by window night until 06:00 Europe/Berlin",
    "minReplicas": "at least 2, a reserve",
    "maxCold": "2 are ready, and at most 3 may start at once",
    "paused": "paused until 2026-12-01T18:00:00Z",
    "override": "4 asked for by hand until 2026-12-02T18:00:00Z",
    "foreignWriter": "kubectl-scale has written 3; holding until it is quiet for 300 s",
    "replicasContested": "argocd has written 3 over our number, 3 times within 5 minutes",
    "secondPolicy": "Deployment x is scaled by default/y, an older policy",
    "backfill": "the history before the start is being read",
    "deciderFailed": "ValueError: x",
    "budget": "GpuBudget a100: of 8 GPUs default/y has 4",
    "pools": "3 in a100, 1 in l4",
    "podsBusy": "p1 became busy, and no other pod can leave instead",
    "podsUnknown": "Prometheus has no count of p1",
    "drainUnconfirmed": "after 1 s gateway gw-1 does not report: it went silent",
    "drainCancelled": "the service needed a decision before its pods were drained",
}


def _constants(trees):
    """Give the texts of the constants of all modules, by their names."""
    found = {}
    for tree in trees:
        for node in tree.body:
            if not isinstance(node, ast.Assign):
                continue
            for target in node.targets:
                pairs = (
                    zip(target.elts, node.value.elts, strict=True)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else [(target, node.value)]
                )
                for name, value in pairs:
                    if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
                        found.setdefault(name.id, set()).add(value.value)
    return found


def _rule_names():
    """Give each name of a rule in the code: of the classes of rules, and what reasons and overrides are made with."""
    files = [file for package in ("algorithms", "autoscaler") for file in (ROOT / package).rglob("*.py")]
    texts = {file: file.read_text() for file in files if "explain" not in file.parts}
    trees = {file: ast.parse(text) for file, text in texts.items() if MAKES_RULES.search(text)}
    constants = _constants(trees.values())
    names = set()
    for file, tree in trees.items():
        own = _constants([tree])
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names |= {
                    each.value.value
                    for each in node.body
                    if isinstance(each, ast.Assign) and each.targets[0].id == "rule"
                }
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Reason", "Override"}:
                names |= _name(node.args[0], own, constants, file)
    return names


def _name(node, own, constants, file):
    if isinstance(node, ast.Constant):
        return {node.value}
    if isinstance(node, ast.Name):
        found = own.get(node.id) or constants.get(node.id)
        assert found, f"{file}: which rule is {node.id}?"
        return found
    text = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    assert text in PASSED_ON, f"{file}: which rule is {text}?"
    return set()


def test_each_rule_in_the_code_has_words_and_no_words_are_left_of_a_rule_that_is_gone():
    assert _rule_names() == set(WORDS) == set(WHYS)


@pytest.mark.parametrize("rule", sorted(WHYS))
@pytest.mark.parametrize(("before", "after"), [(2, 4), (6, 4), (1, 2), (4, 1)])
def test_each_rule_says_in_25_words_what_it_did_and_names_the_number_first(rule, before, after):
    drained = rule in {"podsBusy", "podsUnknown", "drainUnconfirmed", "drainCancelled"}
    reason = [(rule, before, after, WHYS[rule])]
    now = record(
        replicas=after,
        inflight=float(before),
        recommendation=stable(float(before)),
        reasons=() if drained else reason,
        drain=reason if drained else (),
        passing=2,
    )
    found = answer(view(now))
    assert found.first.startswith(f"{after} replica")
    assert found.first.endswith(".")
    assert len(found.first.split()) <= 25, found.first
    assert "by the rule" not in found.first, "the rule has no words of its own"
    assert found.short.startswith(f"{after}")


def test_what_a_rule_said_in_an_earlier_release_is_shown_as_it_is():
    for rule in WHYS:
        now = record(replicas=4, recommendation=stable(2.0), reasons=[(rule, 2, 4, "because of the moon")])
        found = answer(view(now))
        assert found.first.startswith("4 replicas")


def test_a_rule_that_nobody_knows_is_named():
    now = record(replicas=4, recommendation=stable(2.0), reasons=[("moonPhase", 2, 4, "it is full")])
    assert answer(view(now)).first == "4 replicas, by the rule moonPhase: it is full."
