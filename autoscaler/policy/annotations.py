"""Pause and manual override: annotations of a policy that expire.

    inflight.dev/paused-until: "2026-11-23T18:00:00Z"      hold the number
    inflight.dev/replicas: "5"                             set the number, whatever the algorithm recommends
    inflight.dev/replicas-until: "2026-11-23T18:00:00Z"    until then

GitOps does not remove annotations that it did not set, so both need an end. Any other key below `inflight.dev/` is
refused, as an unknown field of the document is: `inflight.dev/paused` would look like a pause and be none.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from difflib import get_close_matches

from autoscaler.policy.spec import GROUP
from autoscaler.ports import Override

PAUSED_UNTIL = f"{GROUP}/paused-until"
REPLICAS = f"{GROUP}/replicas"
REPLICAS_UNTIL = f"{GROUP}/replicas-until"
_KEYS = (PAUSED_UNTIL, REPLICAS, REPLICAS_UNTIL)
_MOST = 10_000
_LONGEST_VALUE = 60
"""Characters of a value that are shown."""


class AnnotationError(ValueError):
    """An annotation of ours is wrong; the message names its key, its value and the allowed values."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"metadata.annotations.{key}: {problem}")
        self.key = key


def overrides_of(annotations: Mapping[str, str]) -> tuple[Override, ...]:
    """Read the overrides in annotations; the manual override wins over a pause.

    Raises:
        AnnotationError: one of ours cannot be read, or its key is unknown.
    """
    for key in annotations:
        if key.startswith(f"{GROUP}/") and key not in _KEYS:
            raise AnnotationError(key, f"unknown key; legal here: {', '.join(_KEYS)}{_nearest(key)}")
    overrides: list[Override] = []
    if PAUSED_UNTIL in annotations:
        until = annotations[PAUSED_UNTIL]
        overrides.append(Override("paused", _unix_s(PAUSED_UNTIL, until), f"paused until {until}"))
    if REPLICAS in annotations or REPLICAS_UNTIL in annotations:
        overrides.append(_override(annotations))
    return tuple(overrides)


def _nearest(key: str) -> str:
    """Ask if another key was meant; empty if none is near."""
    names = [known.partition("/")[2] for known in _KEYS]
    found = get_close_matches(key.partition("/")[2].lower().replace("_", "-"), names, n=1)
    return f"; did you mean {GROUP}/{found[0]}?" if found else ""


def without_effect(keys: Collection[str]) -> str:
    """Say that annotations of a target, or of its pods, have no effect; empty if there are none."""
    if not keys:
        return ""
    said = (key if key in _KEYS else f"{key} (unknown key{_nearest(key)})" for key in keys)
    return f"these annotations have no effect on a target or its pods, annotate the ScalingPolicy: {', '.join(said)}"


def pause_alone(annotations: Mapping[str, str]) -> dict[str, str]:
    """Give only the annotation of a pause, if it can be read; the others may be wrong."""
    if PAUSED_UNTIL not in annotations:
        return {}
    pause = {PAUSED_UNTIL: annotations[PAUSED_UNTIL]}
    try:
        overrides_of(pause)
    except AnnotationError:
        return {}
    return pause


def _override(annotations: Mapping[str, str]) -> Override:
    for key, other in ((REPLICAS, REPLICAS_UNTIL), (REPLICAS_UNTIL, REPLICAS)):
        if key not in annotations:
            raise AnnotationError(key, f"is required beside {other}")
    until = annotations[REPLICAS_UNTIL]
    replicas = _number(REPLICAS, annotations[REPLICAS])
    until_s = _unix_s(REPLICAS_UNTIL, until)
    return Override("override", until_s, f"{replicas} asked for by hand until {until}", replicas)


def _number(key: str, text: str) -> int:
    digits = text.lstrip("0") or text[:1]
    # Python refuses to read a number with thousands of digits.
    is_number = text.isascii() and text.isdecimal() and len(digits) <= len(str(_MOST))
    if not (is_number and int(digits) <= _MOST):
        raise AnnotationError(key, f"{_shown(text)}: must be a whole number of 0 to {_MOST}")
    return int(digits)


def _unix_s(key: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise AnnotationError(key, f"{_shown(text)}: must be a time such as 2026-11-23T18:00:00Z")
    return moment.timestamp()


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}...")
