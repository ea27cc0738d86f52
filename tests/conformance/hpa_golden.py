"""Compares recorded decisions of the Kubernetes HPA, alone and with KEDA: every value that a recording holds.

Conditions and events are compared as well, every letter of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from golden import Comparison, Document, Tally
from hpa_recordings import KINDS, behavior, keda_options, metric, pods, reading, rules
from hpa_replay import RecordedHpa, RecordedKeda

from algorithms.hpa_behavior import Behavior, ScaleEvents, limit, limit_without_behavior
from algorithms.hpa_metrics import Failure, Metric, PodState, Reading, Scale, TargetType, Tolerance, propose
from algorithms.hpa_reconcile import HpaOptions
from algorithms.keda import KedaOptions


def leaves(where: str, value: object) -> dict[str, object]:
    """Flatten nested objects and lists to one entry for each value, and one for each list's length."""
    if isinstance(value, Mapping):
        parts = dict(value)
    elif isinstance(value, list):
        parts = {str(place): part for place, part in enumerate(value)} | {"length": len(value)}
    else:
        return {where: value}
    return {name: leaf for key, part in parts.items() for name, leaf in leaves(f"{where}.{key}", part).items()}


def compare_all(tally: Tally, where: str, got: Mapping[str, object], want: Mapping[str, object]) -> None:
    """Compare every value of both sides; one that only one side has differs."""
    ours, theirs = leaves(where, got), leaves(where, want)
    for name in theirs | ours:
        tally.equal(name, ours.get(name, "(nothing)"), theirs.get(name, "(nothing)"))


def compare_reconcile(document: Document) -> Comparison:
    """Replay a timeline of one HPA."""
    config, tally = document["config"], Tally()
    recorded = RecordedHpa(
        HpaOptions(
            min_replicas=config["min_replicas"],
            max_replicas=config["max_replicas"],
            metrics=tuple(metric(given) for given in config["metrics"]),
            behavior=behavior(config["behavior_effective"]),
            tolerance=config["controller_tolerance"],
            downscale_stabilization_s=config["controller_downscale_stabilization_s"],
            sync_period_s=config["sync_period_s"],
            scale_to_zero=config["scale_to_zero_gate"],
        )
    )
    for step in document["steps"]:
        given = step["in"]
        recorded.hpa.options = replace(
            recorded.hpa.options, min_replicas=given["min_replicas"], max_replicas=given["max_replicas"]
        )
        recorded.hpa.scaled_to_zero = given["scaled_to_zero_condition"] == "True"
        scale = Scale(
            spec=given["spec_replicas"],
            status=given["status_replicas"],
            ready=given["ready_pods"] if given["status_replicas"] else None,
            pods=pods(given.get("pods", ())),
        )
        readings = [reading(one) for one in given["metrics"]]
        out = recorded.step(step["t"], scale, lambda readings=readings: readings, write_fails=given["update_fails"])
        compare_all(tally, f"t={step['t']}", out, step["out"])
    return tally.result()


def _ready(found: Mapping[str, PodState]) -> int | None:
    """Count the pods by which a Value target multiplies: terminating ones are still ready. None: there are none."""
    ready = (PodState.READY, PodState.TERMINATING)
    return sum(state in ready for state in found.values()) if found else None


def compare_table_calc(document: Document) -> Comparison:
    """Compare the proposals of single metrics."""
    tally = Tally()
    for number, row in enumerate(document["rows"]):
        kind, target_type = row["func"].split("_", 1)
        found = pods(row.get("pods", ()))
        current = row["current_replicas"]
        asked = Metric(
            KINDS[kind],
            TargetType.AVERAGE_VALUE if target_type == "average_value" else TargetType.VALUE,
            row["target_milli"],
        )
        result = propose(
            asked,
            Reading(row.get("values_milli", ()), row.get("pod_values_milli", {})),
            Scale(spec=current, status=current, ready=_ready(found), pods=found),
            Tolerance(up=row["tolerance_up"], down=row["tolerance_down"]),
        )
        failed = isinstance(result, Failure)
        where = f"row {number} ({row['func']})"
        tally.equal(f"{where}.out_error", failed, row["out_error"])
        if not failed and not row["out_error"]:
            tally.equal(f"{where}.out_replicas", result.replicas, row["out_replicas"])
            tally.equal(f"{where}.out_usage_milli", result.usage_milli, row["out_usage_milli"])
    return tally.result()


def compare_table_rate(document: Document) -> Comparison:
    """Compare the limits alone, with `behavior` and without."""
    tally = Tally()
    for number, row in enumerate(document["rows"]):
        spec, wanted = row["current_replicas"], row["stabilized_desired"]
        bounds = row["min_replicas"], row["max_replicas"]
        both = Behavior(rules(row["scaleUp"]), rules(row["scaleDown"]))
        events = ScaleEvents()
        events.restore(
            [
                [(-event["age_s"], event["change"]) for event in row[side]]
                for side in ("scale_up_events", "scale_down_events")
            ]
        )
        got = limit(spec, wanted, *bounds, now_s=0.0, behavior=both, events=events)
        legacy = limit_without_behavior(spec, wanted, *bounds)
        tally.equal(f"row {number}.out_desired", got.replicas, row["out_desired"])
        tally.equal(f"row {number}.out_reason", got.reason, row["out_reason"])
        tally.equal(f"row {number}.out_desired_without_behavior", legacy.replicas, row["out_desired_without_behavior"])
        tally.equal(f"row {number}.out_reason_without_behavior", legacy.reason, row["out_reason_without_behavior"])
    return tally.result()


def compare_keda(document: Document, options: KedaOptions | None = None) -> Comparison:
    """Replay a timeline of KEDA and the HPA acting on one Deployment, with its settings or other ones."""
    recorded, tally = RecordedKeda(options or keda_options(document["config"])), Tally()
    actors = {"keda": recorded.keda, "hpa": recorded.sync}
    for step in document["steps"]:
        recorded.loop.last_active_s = step["last_active_t"]
        got = actors[step["actor"]](step) | {"out_last_active_t": recorded.loop.last_active_s}
        want = {name: value for name, value in step.items() if name.startswith("out_")}
        compare_all(tally, f"t={step['t']} {step['actor']}", got, want)
    return tally.result()


COMPARERS: dict[str, Callable[[Document], Comparison]] = {
    "reconcile": compare_reconcile,
    "table_calc": compare_table_calc,
    "table_rate": compare_table_rate,
    "keda_hpa": compare_keda,
}
