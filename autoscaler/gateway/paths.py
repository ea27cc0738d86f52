"""Path rules: which requests cost a slot, which are let through, and which may start a pod.

Rules:
1. The first rule that matches wins; a path that none matches counts, as a slot too many is safer than one too few.
2. A pattern is matched against the path as it came, byte for byte and without its query: `%2F` is not `/`.
3. `*` stands for any characters, `/` included; nothing else is special.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from autoscaler.gateway.dispatch import Kind


class PathRule(NamedTuple):
    """What holds for the paths that match one of the patterns."""

    match: tuple[str, ...]
    kind: Kind = Kind.COUNT
    wake: bool = True
    """Whether a request may be held at zero pods, and so start one."""
    max_per_pod: int = 0
    """Pass requests that one pod may have open at a time; 0 is no limit."""
    request_timeout_s: float | None = None
    """From the grant to the response's last byte, for these paths; None is the service's."""


EVERYTHING_COUNTS = PathRule(("*",))

_REMEMBERED = 4096
"""Paths whose rule is remembered; clients choose the paths, so there must be an end."""


class PathRules:
    """Finds the rule of a path."""

    def __init__(self, rules: Sequence[PathRule]) -> None:
        self._rules = [(_pattern(rule.match), rule) for rule in rules]
        self._found: dict[str, PathRule] = {}

    def find(self, target: str) -> PathRule:
        """Give the rule of a request target, with or without a query."""
        path = target.partition("?")[0]
        rule = self._found.get(path)
        if rule is None:
            rule = next((rule for pattern, rule in self._rules if pattern.fullmatch(path)), EVERYTHING_COUNTS)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[path] = rule
        return rule


def _pattern(globs: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, glob.split("*"))) for glob in globs), re.DOTALL)
