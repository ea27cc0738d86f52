"""Comparers of what Knative's own packages decided: decisions, windows, scaling to zero, configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from algorithms.kpa import KpaCore, KpaDecider, KpaDecision, KpaOptions
from golden import Comparison, Document, Tally

Resolved = Mapping[str, Any]

DECISION_OPTIONS = {
    "target": "target_value",
    "total": "total_value",
    "panic_threshold": "panic_threshold",
    "max_scale_up_rate": "max_scale_up_rate",
    "max_scale_down_rate": "max_scale_down_rate",
    "target_burst_capacity": "target_burst_capacity",
    "stable_window_s": "stable_window_s",
    "panic_window_s": "panic_window_s",
    "scale_down_delay_s": "scale_down_delay_s",
    "activation_scale": "activation_scale",
    "reachable": "reachable",
    "aggregation": "aggregation",
}
"""Our names of the options of a decision, and theirs."""


def decision_options(resolved: Resolved) -> KpaOptions:
    """Give the options of a decision that a file calls resolved."""
    return KpaOptions(**{ours: resolved[theirs] for ours, theirs in DECISION_OPTIONS.items()})


def at(document: Document, t_ms: float) -> float:
    """Give Unix seconds of a file's time stamp."""
    return document["time_origin_unix_s"] + t_ms / 1000


def compare_decided(tally: Tally, where: str, got: KpaDecision, decider: KpaDecider, want: Sequence[Any]) -> None:
    """Compare one evaluation with [valid, desired, ebc, panicking, max_panic]."""
    values = (got.valid, got.desired, got.excess_burst_capacity, decider.panicking, decider.max_panic)
    names = ("valid", "desired", "ebc", "panicking", "max_panic")
    for name, value, wanted in zip(names, values, want, strict=True):
        tally.equal(f"{where} {name}", value, wanted)


def compare_decisions(document: Document) -> Comparison:
    """Replay evaluations whose averages are given (kpa-decision/1)."""
    tally = Tally()
    updates = {update["before_step"]: update["resolved"] for update in document.get("updates", [])}
    decider = KpaDecider(decision_options(document["resolved"]), at(document, 0), document["ready_at_creation"])
    for number, (t_ms, ready, stable, panic, *want) in enumerate(document["steps"]):
        if number in updates:
            decider.update(decision_options(updates[number]))
        got = decider.decide(at(document, t_ms), ready, stable, panic)
        compare_decided(tally, f"step {number} at {t_ms} ms", got, decider, want)
    return tally.result()


def compare_pipeline(document: Document) -> Comparison:
    """Replay records, evaluations and updates of windows and decider together (kpa-pipeline/1)."""
    tally = Tally()
    core = KpaCore(decision_options(document["resolved"]), at(document, 0), document["ready_at_creation"])
    first_share = 0 if document["resolved"]["metric"] == "concurrency" else 2
    for number, (kind, t_ms, *rest) in enumerate(document["events"]):
        now_s = at(document, t_ms)
        if kind == "r":
            total, proxied = rest[first_share : first_share + 2]
            core.record(int(now_s), total - proxied)
        elif kind == "u":
            core.update(decision_options(document["updates"][rest[0]]["resolved"]), now_s)
        else:
            compare_evaluation(tally, f"event {number} at {t_ms} ms", core, now_s, rest)
    return tally.result()


def compare_evaluation(tally: Tally, where: str, core: KpaCore, now_s: float, row: Sequence[Any]) -> None:
    """Compare the averages and the decision with [ready, stable, panic, valid, ...]."""
    ready, want_stable, want_panic, *want = row
    stable, panic = core.averages(now_s)
    tally.close(f"{where} stable", stable, want_stable)
    tally.close(f"{where} panic", panic, want_panic)
    compare_decided(tally, where, core.decide_at(now_s, ready), core.decider, want)
