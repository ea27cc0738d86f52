"""How to hand a service over from another autoscaler that writes the same replicas."""

from collections.abc import Iterable

from autoscaler.convert.draft import Draft
from autoscaler.convert.source import Source


def hand_over(draft: Draft, who: str, *, stop: str, remove: str = "", before: Iterable[str] = ()) -> None:
    """Say how to hand over to the policy without two writers.

    Args:
        draft: the service.
        who: what scales it until then.
        stop: the step after which this writes nothing.
        remove: the step that removes what it used, if anything is left.
        before: steps that come first.
    """
    draft.default("mode", "DryRun", f"so that the policy writes nothing until {who} has stopped")
    policy = f"spol {draft.name}{within(draft)}"
    draft.hand_over = [
        *before,
        *(_keep_number(source) for source in draft.sources if isinstance(source.get("spec", "replicas"), int)),
        "kubectl apply -f this file: with mode: DryRun the policy decides and writes nothing",
        f"send the traffic through the gateway, and wait until INFLIGHT shows it: kubectl get {policy} --watch",
        stop,
        f'kubectl patch {policy} --type merge --patch \'{{"spec": {{"mode": "Active"}}}}\', and the same in this file',
        *([f"{remove}; remove it from GitOps first"] if remove else []),
        f"meanwhile, if {who} writes beside the policy, nothing flaps: the condition ForeignWriter names it",
    ]


def _keep_number(workload: Source) -> str:
    """Word how to take `replicas` out of a manifest, as for any autoscaler."""
    named = f"{workload.kind.lower()}/{workload.name}" + (f" -n {workload.namespace}" if workload.namespace else "")
    return (
        f"if kubectl apply made the {workload.kind}: kubectl apply edit-last-applied {named}, and delete replicas "
        "there, or the next apply sets it to 1"
    )


def within(draft: Draft) -> str:
    """Give kubectl's option for the namespace of a service."""
    return f" -n {draft.namespace}" if draft.namespace else ""
