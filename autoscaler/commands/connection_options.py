"""Options of the commands that ask a page: where it is, or decision logs instead, and what they ask."""

import argparse
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from autoscaler.commands.options import InvalidValueError
from autoscaler.documents.document import DocumentError
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.terminal.connection import DEFAULT, connected
from autoscaler.terminal.page_client import checked_address
from autoscaler.terminal.port_forward import NAMESPACE
from autoscaler.terminal.source import Source
from autoscaler.terminal.values import AnswerError

_MOST_DIGITS = 5


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--address",
        type=_address,
        metavar="URL",
        help=f"the page (the controller's in the cluster, through kubectl; {DEFAULT} without kubectl)",
    )
    where.add_argument(
        "--log",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a decision log instead, such as after an incident; repeatable, for a log that was rotated",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the page's bearer tokens, one per line; the first is sent (none)",
    )
    parser.add_argument("--namespace", default=NAMESPACE, metavar="NAME", help=f"the controller's ({NAMESPACE})")


def connection(arguments: argparse.Namespace, until_s: float | None = None) -> AbstractAsyncContextManager[Source]:
    """Connect as these options say; what logs have after `until_s` is left out.

    Raises:
        AnswerError: the file of tokens has none, or cannot be read.
    """
    tokens = _tokens(arguments.token_file)
    return connected(arguments.address, arguments.namespace, arguments.log, until_s, tokens=tokens)


def _tokens(file: Path | None) -> BearerTokens | None:
    try:
        return None if file is None else BearerTokens(file)
    except (OSError, DocumentError) as error:
        raise AnswerError(f"--token-file: {error}") from error


def _address(text: str) -> str:
    try:
        return checked_address(text)
    except ValueError as error:
        raise InvalidValueError(str(error)) from error


def number_from(least: int) -> Callable[[str], int]:
    """Make the type of an option that is a whole number, `least` or more."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) >= least):
            raise InvalidValueError(f"{text!r}: legal is a whole number of {least} to {10**_MOST_DIGITS - 1}")
        return int(text)

    return read
