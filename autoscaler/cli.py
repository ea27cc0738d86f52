"""The command line: finds the sub-commands by the entry-point group `autoscaler.commands`.

So the packages above this one (the simulator) bring their own, and a small image has only what it can run. A command
is a module with a first docstring line, `EXIT_STATUS`, `add_arguments(parser)` and `run(arguments) -> exit status`.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points, requires, version
from typing import Any, Protocol, cast

GROUP = "autoscaler.commands"
PROJECT = "inflight-autoscaler"


class Command(Protocol):
    """What a command's module has."""

    __doc__: str | None
    EXIT_STATUS: Mapping[int, str]
    """What each exit status of this command says; Ctrl-C gives 130 besides."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and give the exit status."""
        ...


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 130 after Ctrl-C."""
    words = sys.argv[1:] if argv is None else argv
    try:
        arguments = _parser({entry.name: entry for entry in entry_points(group=GROUP)}, words).parse_args(words)
        command: Command = arguments.command
        return command.run(arguments)
    except ModuleNotFoundError as error:
        # Some commands load what is large only when they run, and a small image does not have it.
        print(f"autoscaler: {lacks(words[0], error)}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130


def _parser(found: dict[str, EntryPoint], words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autoscaler", description="Scales GPU services on Kubernetes by the number of requests in flight."
    )
    parser.add_argument("--version", action="version", version=f"autoscaler {version(PROJECT)}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    # Only the command that was asked for is imported, so that each starts as fast as it can; help needs all of them.
    asked, *_ = [*words, "--help"]
    for name, entry in sorted(found.items()):
        if asked in {name, "-h", "--help"}:
            _add(subparsers, name, entry, parser if asked == name else None)
        else:
            subparsers.add_parser(name)
    return parser


def _add(subparsers: Any, name: str, entry: EntryPoint, asked_by: argparse.ArgumentParser | None) -> None:
    """Add a command with its arguments; a small image may lack what it imports, which matters to who asks for it."""
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
    """Say what a command lacks, and which extra brings it: its own where it has one."""
    module = (error.name or "").partition(".")[0]
    extras = [extra for name, extra in _optional() if name.replace("-", "_") == module]
    best = command if command in extras else next(iter(extras), None)
    install = f"; install it by: pip install '{PROJECT}[{best}]'" if best else ""
    return f"{command} cannot be run here: {error}{install}"


def _optional() -> list[tuple[str, str]]:
    """Give each optional requirement by the name of its distribution, with its extra."""
    return re.findall(r"""(?m)^([\w-]+).*; extra == ["'](\w+)["']$""", "\n".join(requires(PROJECT) or ()))
