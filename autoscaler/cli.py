"""The command line: finds the sub-commands by the entry-point group `autoscaler.commands`.

So the packages above this one (the simulator) bring their own, and a small image has only what it can run. A command
is a module with a first docstring line, `add_arguments(parser)` and `run(arguments) -> exit status`.
"""

import argparse
import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import Protocol, cast

GROUP = "autoscaler.commands"


class Command(Protocol):
    """What a command's module has."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and give the exit status."""
        ...


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 130 after Ctrl-C."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    arguments = _parser(found, sys.argv[1:] if argv is None else argv).parse_args(argv)
    command: Command = arguments.command
    try:
        return command.run(arguments)
    except KeyboardInterrupt:
        return 130


def _parser(found: dict[str, EntryPoint], argv: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autoscaler", description="Scales GPU services on Kubernetes by the number of requests in flight."
    )
    parser.add_argument("--version", action="version", version=f"autoscaler {version('inflight-autoscaler')}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    # Only the command that was asked for is imported, so that each starts as fast as it can; help needs all of them.
    wanted = [name for name in argv[:1] if name in found] or sorted(found)
    for name in wanted:
        command = cast("Command", found[name].load())
        summary = (command.__doc__ or "").partition("\n")[0]
        subparser = subparsers.add_parser(name, help=summary, description=command.__doc__)
        subparser.formatter_class = argparse.RawDescriptionHelpFormatter
        command.add_arguments(subparser)
        subparser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
