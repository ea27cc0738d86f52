"""The command line: finds the sub-commands by the entry-point group `autoscaler.commands`.

So the simulator, a package above this one, adds its own commands, and a small image has only those that it can run. A
new command is a module in `commands` and a line in `pyproject.toml`. The module has a docstring, `EXIT_STATUS`,
`add_arguments(parser)` and `run(arguments) -> exit status`. The name of a command may have two words.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points, requires, version
from pathlib import Path
from typing import Any, Protocol, cast

GROUP = "autoscaler.commands"
PROJECT = "inflight-autoscaler"


class Command(Protocol):
    """The module of a command."""

    __doc__: str | None
    EXIT_STATUS: Mapping[int, str]
    """The meaning of each exit status of this command; Ctrl-C gives 130 besides."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and give the exit status."""
        ...


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 130 after Ctrl-C, 141 if nobody reads the output any more."""
    words = sys.argv[1:] if argv is None else argv
    try:
        found = {entry.name: entry for entry in entry_points(group=GROUP)}
        words = _with_whole_name(words, found)
        arguments = _parser(found, words).parse_args(words)
        command: Command = arguments.command
        status = command.run(arguments)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        # Some commands import large packages only when they run, and a small image does not have them.
        print(f"autoscaler: {lacks(words[0], error)}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `head` has read enough. What Python writes at its end goes nowhere, or it would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _with_whole_name(words: list[str], found: Mapping[str, EntryPoint]) -> list[str]:
    """Join the words of a command's name."""
    name = " ".join(words[:2])
    return [name, *words[2:]] if name in found else words


def _parser(found: dict[str, EntryPoint], words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_program(), description="Scales GPU services on Kubernetes by the number of requests in flight."
    )
    parser.add_argument("--version", action="version", version=f"autoscaler {version(PROJECT)}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    # Only the requested command is imported, so that each starts fast; help needs all of them.
    asked, *_ = [*words, "--help"]
    for name, entry in sorted(found.items()):
        if asked in {name, "-h", "--help"}:
            _add(subparsers, name, entry, parser if asked == name else None)
        else:
            subparsers.add_parser(name)
    return parser


def _program() -> str:
    """Give what the user has typed: kubectl starts a plugin by its file."""
    return "kubectl inflight" if Path(sys.argv[0]).name == "kubectl-inflight" else "autoscaler"


def _add(subparsers: Any, name: str, entry: EntryPoint, asked_by: argparse.ArgumentParser | None) -> None:
    """Add a command with its arguments; if a small image lacks its imports, only that command is an error."""
    try:
        command = cast("Command", entry.load())
    except ModuleNotFoundError as error:
        if asked_by is not None:
            asked_by.error(lacks(name, error))
        subparsers.add_parser(name, help=f"({lacks(name, error)})")
        return
    summary = (command.__doc__ or "").partition("\n")[0]
    subparser = subparsers.add_parser(name, help=summary, description=command.__doc__)
    subparser.epilog = "\n".join(["exit status:", *(f"  {key}  {text}" for key, text in command.EXIT_STATUS.items())])
    subparser.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_arguments(subparser)
    subparser.set_defaults(command=command)


def lacks(command: str, error: ModuleNotFoundError) -> str:
    """Say what a command lacks, and which extra installs it: its own extra if it has one."""
    module = (error.name or "").partition(".")[0]
    extras = [extra for name, extra in _optional() if f"{name.replace('-', '_')}_".startswith(f"{module}_")]
    best = command if command in extras else next(iter(extras), None)
    install = f"; install it by: pip install '{PROJECT}[{best}]'" if best else ""
    return f"{command} cannot be run here: {error}{install}"


def _optional() -> list[tuple[str, str]]:
    """Give each optional requirement, as the name of its distribution and its extra."""
    return re.findall(r"""(?m)^([\w-]+).*; extra == ["'](\w+)["']$""", "\n".join(requires(PROJECT) or ()))
