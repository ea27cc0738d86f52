"""Shows the fleet until Ctrl-C; while there is no answer it shows the last one, and for how long. Needs rich."""

import asyncio

from rich.console import Console
from rich.live import Live

from autoscaler.terminal.show_fleet import fleet_table
from autoscaler.terminal.source import Source
from autoscaler.terminal.values import AnswerError, Fleet, read

EVERY_S = 2.0


async def watch(source: Source, console: Console) -> None:
    """Ask again and again, and show each answer; only the first must come.

    Raises:
        AnswerError: the first did not come.
    """
    fleet = read(await source.fleet(), Fleet, source.name)
    clock = asyncio.get_running_loop().time
    answered_s = clock()
    with Live(fleet_table(fleet), console=console, screen=True, auto_refresh=False) as shown:
        while True:
            shown.refresh()
            await asyncio.sleep(EVERY_S)
            try:
                fleet, answered_s = read(await source.fleet(), Fleet, source.name), clock()
                shown.update(fleet_table(fleet))
            except AnswerError as error:
                shown.update(fleet_table(fleet, lost_s=clock() - answered_s, problem=str(error)))
