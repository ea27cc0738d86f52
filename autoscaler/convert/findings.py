"""What became of the values of the input: one finding for each, or for all below one key."""

from dataclasses import dataclass
from enum import StrEnum

from autoscaler.documents.document import KeyPath, dotted, to_inline_yaml

_LONGEST_VALUE = 60
"""Characters of a value that are shown."""


class Effect(StrEnum):
    """What became of a value. The order is that of a report."""

    DECIDE = "decide"
    """A person must decide; what is written is a cautious choice."""
    CHECK = "check"
    """It is written as it probably is; a person can look it up."""
    NONE = "without effect here"
    """It is not in the output, and its purpose is not served."""
    MAPPED = "mapped"
    """Another key of the output has its meaning."""
    KEPT = "kept"
    """It is in the output as it was."""
    ADDED = "added"
    """The output has it and the input has not: what the other system did unasked."""
    LEFT_OUT = "left out"
    """It is no setting: the API server or a controller wrote it, or the autoscaler writes it now."""


STRICT = (Effect.DECIDE, Effect.NONE)
"""The effects that `--strict` does not accept."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a value and of all below it."""

    source: str
    """The file."""
    line: int
    path: KeyPath
    """Where the value is in its document; empty for the whole document, and for what is added."""
    value: object
    effect: Effect
    text: str
    """To what it is mapped, or why it has no effect."""

    def __str__(self) -> str:
        shown = f"{dotted(self.path)}: {_shown(self.value)}".rstrip(": ") if self.path else ""
        return ": ".join(filter(None, [f"{self.source}:{self.line}", shown, self.text]))


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return ""
    text = to_inline_yaml(value).replace("\n", " ")
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
