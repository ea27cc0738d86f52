"""`autoscaler run` with one more recorder, which writes times that cannot be seen from outside to a file.

Each line of the file is a JSON object: a service with the time of its observation and of the response to its write, or
`all_s`, the time at which every service had a decision. Times are Unix times in seconds.
"""

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import TextIO

from autoscaler.commands import run
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.clock import SystemClock


class Moments:
    """The recorder; `number` is the number of services."""

    def __init__(self, file: TextIO, number: int) -> None:
        self._file = file
        self._number = number
        self._clock = SystemClock()
        self._decided: set[ServiceName] = set()

    def __call__(self, record: Record) -> None:
        """Write the times of a decision."""
        if len(self._decided) < self._number:
            self._decided.add(record.service)
            if len(self._decided) == self._number:
                self._write(all_s=self._clock.now())
        if record.outcome is not None:
            self._write(service=record.service, observed_s=record.observation.now_s, answered_s=self._clock.now())

    def _write(self, **line: object) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


async def _serve(path: Path, number: int, arguments: argparse.Namespace) -> None:
    with path.open("w") as file:
        await run.serve(arguments, Moments(file, number))


def main() -> None:
    """Run with these arguments: the file, the number of services, and the options of `autoscaler run`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    path, number, *options = sys.argv[1:]
    asyncio.run(_serve(Path(path), int(number), parser.parse_args(options)))
