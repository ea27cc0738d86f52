"""Show all services live: what runs, what waits, and why each has its number.

It asks the page of a running controller or gateway (`--page`). Without --address it reaches that of the controller in
the cluster through `kubectl port-forward`, if kubectl is there. With --log it shows the services at the end of a
decision log. Ctrl-C ends it.
"""

import argparse
import asyncio
import json
import sys

from autoscaler.commands.connection_options import add_connection, connection
from autoscaler.terminal.source import Source
from autoscaler.terminal.values import AnswerError, Fleet, read

_WIDTH_OF_FILES = 200
EXIT_STATUS = {0: "it was shown", 2: "there is no page, it does not answer, or a log is invalid"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the answers come from, and the form."""
    parser.add_argument(
        "--once", action="store_true", help="print the table once and end (so too if it is no terminal)"
    )
    parser.add_argument("--json", action="store_true", help="print the fleet once, as the page's JSON")
    add_connection(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show the fleet; 2 if there is no answer."""
    try:
        asyncio.run(_run(arguments))
    except AnswerError as error:
        print(f"top: {error}", file=sys.stderr)
        return 2
    return 0


async def _run(arguments: argparse.Namespace) -> None:
    async with connection(arguments) as source:
        for note in source.notes:
            print(note, file=sys.stderr)
        if arguments.json:
            print(json.dumps(await source.fleet(), indent=1))
        elif arguments.once or arguments.log or not sys.stdout.isatty():
            _print(read(await source.fleet(), Fleet, source.name))
        else:
            await _watch_here(source)


def _print(fleet: Fleet) -> None:
    # Here, so that all but the table works without the extra.
    from rich.console import Console  # noqa: PLC0415

    from autoscaler.terminal.show_fleet import fleet_table  # noqa: PLC0415

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
    console.print(fleet_table(fleet))


async def _watch_here(source: Source) -> None:
    from rich.console import Console  # noqa: PLC0415

    from autoscaler.terminal.watch_fleet import watch  # noqa: PLC0415

    await watch(source, Console(highlight=False))
