"""Options of commands that run for long: each can be set in the environment too, as containers are."""

import argparse
import os
import re
from collections.abc import Callable
from typing import Any

from autoscaler.documents.fields import parse_duration

_SIZES = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def adder(parser: argparse.ArgumentParser) -> Callable[..., None]:
    """Give an `add_argument` whose default the environment overrides: `--keep-alive` is `INFLIGHT_KEEP_ALIVE`.

    The value goes through `type` as one on the command line does; commas part the values of an option that can be
    repeated. A variable that is empty is not set. An option that is required is not, if the environment has it.
    """

    def add(name: str, *, help: str = "", default: Any = None, **options: Any) -> None:  # noqa: A002 - argparse's name
        variable = "INFLIGHT_" + name.removeprefix("--").replace("-", "_").upper()
        set_to = os.environ.get(variable)
        if options.get("action") == "append":
            read = options.get("type", str)
            default = [read(value) for value in set_to.split(",")] if set_to else []
        elif set_to:
            default = set_to
            options.pop("required", None)
        parser.add_argument(name, help=f"{help} [{variable}]", default=default, **options)

    return add


def duration(text: str) -> float:
    """Read a duration as seconds; argparse names it in its message."""
    return parse_duration(text)


def flag(text: str) -> bool:
    """Read yes or no; argparse names it in its message."""
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def memory(text: str) -> int:
    """Read an amount of memory as bytes, in the units of Kubernetes: 512Mi; argparse names it in its message."""
    found = re.fullmatch(r"([1-9][0-9]{0,14})(Ki|Mi|Gi|Ti)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no amount of memory such as 512Mi or 1Gi")
    return int(found[1]) * _SIZES[found[2] or ""]
