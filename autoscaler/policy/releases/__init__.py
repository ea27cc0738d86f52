"""What earlier releases accepted, one file each: the JSON Schema, and the messages of the rules by key.

The key "" stands for any key.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

RELEASES = ("0.1.0",)
_PROBLEM = re.compile(r".*?:\d+: (?P<key>[\w./\[\]-]+): ")


def took(release: str, document: Any, problems: list[str]) -> bool:
    """Tell whether a release accepted a document that this one refuses.

    Args:
        release: one of `RELEASES`.
        document: the document as it was read.
        problems: why it is refused now, as reported by `loading`.
    """
    schema, rules = _of(release)
    return schema.is_valid(document) and not any(_is_old(problem, rules) for problem in problems)


def _is_old(problem: str, rules: Mapping[str, list[str]]) -> bool:
    """Tell whether the rule behind a problem existed in the release."""
    found = _PROBLEM.match(problem)
    key = re.sub(r"\[\d+\]", "[]", found["key"]) if found else ""
    return any(rule in problem for rule in (*rules.get(key, ()), *rules[""]))


@cache
def _of(release: str) -> tuple["Draft202012Validator", Mapping[str, list[str]]]:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - the image validates without it

    found = json.loads((files(__name__) / f"{release}.json").read_text(), object_hook=_whole)
    return Draft202012Validator(found["schema"]), found["rules"]


def _whole(part: dict[str, Any]) -> dict[str, Any]:
    """Let a pattern end where the text ends: `$` of Python's also stands before a last line break."""
    pattern = part.get("pattern")
    return {**part, "pattern": re.sub(r"\$$", r"\\Z", pattern)} if isinstance(pattern, str) else part
