"""Options of long-running commands: each can also be set in the environment, as is usual for containers."""

import argparse
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autoscaler.documents.fields import parse_duration
from autoscaler.page.address import PageAddress
from autoscaler.runtime.spans import SpanExport

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SIZES = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def adder(parser: argparse.ArgumentParser) -> Callable[..., None]:
    """Make an `add_argument` whose default the environment overrides: `--keep-alive` is `INFLIGHT_KEEP_ALIVE`.

    A variable's value is read like one on the command line; commas separate the values of a repeatable option. An empty
    variable counts as unset. A required option may be missing if its variable is set.
    """

    def add(name: str, *, help: str = "", default: Any = None, **options: Any) -> None:  # noqa: A002 - argparse's name
        variable = "INFLIGHT_" + name.removeprefix("--").replace("-", "_").upper()
        value = os.environ.get(variable)
        if options.get("action") == "append":
            read = options.get("type", str)
            default = [read(each) for each in value.split(",")] if value else []
        elif value:
            default = value
            options.pop("required", None)
        parser.add_argument(name, help=f"{help} [{variable}]", default=default, **options)

    return add


class InvalidValueError(argparse.ArgumentTypeError, ValueError):
    """The value of an option is invalid; argparse prints the message of this error, but not that of a ValueError."""


def duration(text: str) -> float:
    """Read a duration as seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidValueError(f"invalid value {text!r}: {error}") from error


def flag(text: str) -> bool:
    """Read true or false."""
    if text.lower() not in {"true", "false"}:
        raise InvalidValueError(f"invalid value {text!r}: must be true or false")
    return text.lower() == "true"


def memory(text: str) -> int:
    """Read an amount of memory such as 512Mi as bytes."""
    found = re.fullmatch(r"([1-9][0-9]{0,14})(Ki|Mi|Gi|Ti)?", text)
    if found is None:
        raise InvalidValueError(f"invalid value {text!r}: must be an amount of memory such as 512Mi or 1Gi")
    return int(found[1]) * _SIZES[found[2] or ""]


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Make a reader of whole numbers in a range."""

    def read(text: str) -> int:
        if not (re.fullmatch("[0-9]{1,9}", text) and low <= int(text) <= high):
            raise InvalidValueError(f"invalid value {text!r}: must be a whole number of {low} to {high}")
        return int(text)

    return read


def page_address(text: str) -> PageAddress:
    """Read where the page listens."""
    try:
        return PageAddress.parse(text)
    except ValueError as error:
        raise InvalidValueError(f"invalid value {text!r}: {error}") from error


def own_namespace() -> str:
    """Return the namespace of the pod in which this runs; outside a pod `default`."""
    return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else "default"


def receiver(text: str) -> str:
    """Read the base address of a receiver of OpenTelemetry; a message never repeats it: it may have a password."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidValueError("invalid value: must be the address of a receiver, such as http://collector:4318")
    return text


def ratio(text: str) -> float:
    """Read a number from 0 to 1."""
    if not re.fullmatch(r"0?\.[0-9]{1,9}|[01](\.0{1,9})?", text):
        raise InvalidValueError(f"invalid value {text!r}: must be a number from 0 to 1")
    return float(text)


@contextmanager
def span_export(url: str | None, program: str) -> Iterator[SpanExport | None]:
    """Send spans while the block runs; None if neither the option nor a variable of OpenTelemetry names a receiver."""
    named = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not (url or named):
        yield None
        return
    export = SpanExport(url, program)
    try:
        yield export
    finally:
        export.close()
