"""A cron trigger of KEDA's: a window of the policy's schedule, in which the trigger's replicas are the least."""

import re
from typing import Any

from pydantic import ValidationError

from autoscaler.convert.draft import Draft
from autoscaler.convert.source import Source
from autoscaler.documents.document import KeyPath
from autoscaler.policy.schedule.windows import Window


def map_window(draft: Draft, path: KeyPath, title: str) -> None:
    """Map a cron trigger to a window, if a policy can have such a window."""
    source = draft.source
    window = _window(draft, path)
    try:
        Window.model_validate(window)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        why = first["msg"].removeprefix("Value error, ")
        source.ineffective(path, f"{title}: no window of spec.schedule can have it: {key}: {why}")
        return
    draft.set("schedule", [*draft.spec.get("schedule", []), window])
    source.mapped(
        path,
        f"{title}: to the window {window['name']} of the policy's spec.schedule: at least {window['minReplicas']} "
        f"replicas from {window['start']} to {window['end']}, {window['timeZone']}",
    )


def _window(draft: Draft, path: KeyPath) -> dict[str, Any]:
    source = draft.source
    metadata = source.mapping(*path, "metadata")
    return {
        "name": _name(draft, source, path),
        "timeZone": metadata.get("timezone"),
        **{key: _cron(metadata.get(key)) for key in ("start", "end")},
        "minReplicas": _replicas(draft, metadata.get("desiredReplicas")),
    }


def _name(draft: Draft, source: Source, path: KeyPath) -> str:
    """Name a window as its trigger, as far as a window may have this name and no other one has it."""
    given = re.sub(r"[^a-z0-9]+", "-", str(source.get(*path, "name", default="")).lower()).strip("-")[:50].rstrip("-")
    taken = {window["name"] for window in draft.spec.get("schedule", [])}
    return given if given and given not in taken else "-".join(filter(None, [given or "cron", str(path[-1])]))


def _cron(text: object) -> object:
    """Write a time of cron as a policy has it: in capitals, with one space between its parts."""
    return " ".join(text.upper().split()) if isinstance(text, str) else text


def _replicas(draft: Draft, desired: object) -> object:
    """Give the least replicas in the window: KEDA keeps them within the ScaledObject's bounds, outside of it too."""
    if not re.fullmatch("[0-9]{1,6}", str(desired)):
        return desired
    return min(max(int(str(desired)), draft.spec.get("minReplicas", 0)), draft.spec["maxReplicas"])
