"""Comparers of what Knative's own packages decided: decisions, windows, scaling to zero, configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from golden import Comparer, Comparison, Document, Tally

from algorithms.kpa_core import KpaCore, KpaDecider, KpaDecision, KpaOptions
from algorithms.kpa_scale import (
    Active,
    Condition,
    Lifecycle,
    Path,
    ScaleOptions,
    Scaling,
    condition_after,
    scale,
)
from autoscaler.policy.knative_settings import SettingError, resolve

Resolved = Mapping[str, Any]

STAMP_TOLERANCE_S = 0.01
"""A condition was stamped while its step ran: one to three milliseconds after the step's own time."""

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

SCALE_OPTIONS = DECISION_OPTIONS | {
    "min_scale": "min_scale",
    "max_scale": "max_scale",
    "initial_scale": "initial_scale",
    "enable_scale_to_zero": "enable_scale_to_zero",
    "scale_to_zero_grace_period_s": "scale_to_zero_grace_period_s",
    "scale_to_zero_pod_retention_period_s": "pod_retention_s",
}


def decision_options(resolved: Resolved) -> KpaOptions:
    """Give the options of a decision that a file calls resolved."""
    return KpaOptions(**{ours: resolved[theirs] for ours, theirs in DECISION_OPTIONS.items()})


def scale_options(resolved: Resolved, progress_deadline_s: float) -> ScaleOptions:
    """Give all options, with the deadline that a file keeps beside them."""
    given = {ours: resolved[theirs] for ours, theirs in SCALE_OPTIONS.items()}
    return ScaleOptions(**given, progress_deadline_s=progress_deadline_s)


def at(document: Document, t_ms: float) -> float:
    """Give Unix seconds of a file's time stamp."""
    return document["time_origin_unix_s"] + t_ms / 1000


def compare_resolution(tally: Tally, where: str, config: Mapping[str, Any], want: Resolved) -> None:
    """Compare what the settings of one revision resolve to, without the deadline that files keep elsewhere."""
    got = resolve(
        config["config_map"],
        config["annotations"],
        container_concurrency=config["container_concurrency"],
        reachability=config["reachability"],
    )
    ours = {theirs: getattr(got.options, name) for name, theirs in SCALE_OPTIONS.items()}
    ours |= {"metric": got.metric, "activator_capacity": got.activator_capacity, "scrape": got.scraped}
    for name in ours | want:
        tally.equal(f"{where} {name}", ours.get(name), want.get(name))


def compare_resolutions(tally: Tally, document: Document) -> None:
    """Compare what a file's settings resolve to, at its start and after each update."""
    for place, settings in enumerate([document, *document.get("updates", [])]):
        compare_resolution(tally, f"settings {place}", settings["config"], settings["resolved"])


def compare_decided(tally: Tally, where: str, got: KpaDecision, decider: KpaDecider, want: Sequence[Any]) -> None:
    """Compare one evaluation with [valid, desired, ebc, panicking, max_panic]."""
    values = (got.valid, got.desired, got.excess_burst_capacity, decider.panicking, decider.max_panic)
    names = ("valid", "desired", "ebc", "panicking", "max_panic")
    for name, value, wanted in zip(names, values, want, strict=True):
        tally.equal(f"{where} {name}", value, wanted)


def compare_decisions(document: Document) -> Comparison:
    """Replay evaluations whose averages are given (kpa-decision/1)."""
    tally = Tally()
    compare_resolutions(tally, document)
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
    compare_resolutions(tally, document)
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
    compare_decided(tally, where, core.decider.decide(now_s, ready, stable, panic), core.decider, want)


def compare_scaling(tally: Tally, where: str, got: Scaling, want: Mapping[str, Any]) -> None:
    """Compare what is to be done about a desired number."""
    tally.equal(f"{where} want", got.want, want["want"])
    tally.equal(f"{where} patched_replicas", got.replicas, want["patched_replicas"])
    tally.equal(f"{where} probed", got.probed, want["probed"])
    tally.equal(f"{where} async_probe_offered", got.probe_again, want["async_probe_offered"])
    requeues = want["requeue_after_s"]
    tally.equal(f"{where} number of requeues", int(got.requeue_s is not None), len(requeues))
    for requeue_s in requeues:
        tally.close(f"{where} requeue_after_s", got.requeue_s, requeue_s, tolerance=0.2)


def compare_scaler_cases(document: Document) -> Comparison:
    """Compare single calls of the scaler, each followed by the condition it leads to (kpa-scaler-cases/1)."""
    tally = Tally()
    for number, case in enumerate(document["cases"]):
        compare_resolution(tally, f"case {number}", case["config"], case["resolved"])
        before, out = case["in"], case["out"]
        options = scale_options(case["resolved"], before["progress_deadline_s"])
        condition = Condition(Active(before["active"]), "NoTraffic", before["scale_target_initialized"])
        path = Path(before["sks_mode"] == "Proxy", before["proxy_for_s"], before["probe_ok"])
        numbers = {"desired": before["desired"], "replicas": before["current_replicas"]}
        got = scale(options, condition, before["in_status_s"], path, **numbers)
        compare_scaling(tally, f"case {number}", got, out)
        after = condition_after(options, condition, want=got.want, ready=before["ready"])
        for name, value in zip(("active_after", "reason_after", "scale_target_initialized_after"), after, strict=True):
            tally.equal(f"case {number} {name}", value, out[name])
    return tally.result()


def compare_scaler_sequence(document: Document) -> Comparison:
    """Live through one revision's life, keeping our own condition and times (kpa-scaler-sequence/1)."""
    tally = Tally()
    compare_resolutions(tally, document)
    options = scale_options(document["resolved"], document["progress_deadline_s"])
    lifecycle = Lifecycle(Condition(Active.ACTIVATING, "", initialised=False), 0.0)
    for number, step in enumerate(document["steps"]):
        row = dict(zip(document["columns"], step, strict=True))
        compare_step(tally, f"step {number} at {row['t_ms']} ms", options, lifecycle, row)
    return tally.result()


def compare_step(tally: Tally, where: str, options: ScaleOptions, lifecycle: Lifecycle, row: Mapping[str, Any]) -> None:
    """Compare one step of a life: where it begins, what is done, and where it leads."""
    now_s = row["t_ms"] / 1000
    tally.equal(f"{where} active_before", lifecycle.condition.active, row["active_before"])
    tally.equal(f"{where} initialized_before", lifecycle.condition.initialised, row["initialized_before"])
    tally.close(f"{where} in_status_s", now_s - lifecycle.since_s, row["in_status_s"], tolerance=STAMP_TOLERANCE_S)
    lifecycle.since_s = now_s - row["in_status_s"]
    path = Path(row["sks_mode"] == "Proxy", row["proxy_for_s"], bool(row["probe_ok"]))
    numbers = {"desired": row["desired"], "replicas": row["current_replicas"], "ready": row["ready"]}
    got = lifecycle.step(options, now_s, path, **numbers)
    compare_scaling(tally, where, got, row)
    for name, value in zip(("active_after", "reason_after", "initialized_after"), lifecycle.condition, strict=True):
        tally.equal(f"{where} {name}", value, row[name])
    mode = "Serve" if got.want > 0 and row["ebc"] >= 0 else "Proxy"  # a burst fits into the replicas
    tally.equal(f"{where} sks_mode_after", mode, row["sks_mode_after"])


def compare_config(document: Document) -> Comparison:
    """Compare what is refused, and what the rest resolves to (kpa-config/1)."""
    tally = Tally()
    for number, case in enumerate(document["cases"]):
        try:
            compare_resolution(tally, f"case {number}", case["config"], case.get("resolved", {}))
        except SettingError:
            tally.equal(f"case {number} valid", got=False, want=case["valid"])
        else:
            tally.equal(f"case {number} valid", got=True, want=case["valid"])
    return tally.result()


COMPARERS: dict[str, Comparer] = {
    "kpa-decision/1": compare_decisions,
    "kpa-pipeline/1": compare_pipeline,
    "kpa-scaler-cases/1": compare_scaler_cases,
    "kpa-scaler-sequence/1": compare_scaler_sequence,
    "kpa-config/1": compare_config,
}
