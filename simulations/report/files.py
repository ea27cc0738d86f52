"""Writes a report to the files that a command was given, and checks before the work that it can."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoscaler.report.parts import Section

HTML = (".html", ".htm")
PLOTS = (".png", ".svg")


def output(*endings: str) -> Callable[[str], Path]:
    """Make an argparse type for a file that can be written; it is checked before the work begins."""

    def read(text: str) -> Path:
        path = Path(text)
        if endings and path.suffix not in endings:
            raise argparse.ArgumentTypeError(f"{text}: must end in {', '.join(endings)}")
        if not path.parent.is_dir() or path.is_dir():
            raise argparse.ArgumentTypeError(f"{text}: must be a file in a folder that exists")
        return path

    return read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that can write a report."""
    parser.add_argument("--html", type=output(*HTML), metavar="OUT", help="write a report as one HTML page")
    parser.add_argument("--plot", type=output(*PLOTS), metavar="OUT", help=f"draw the charts: {', '.join(PLOTS)}")


def check(arguments: argparse.Namespace) -> None:
    """Raise ModuleNotFoundError before the work and not after it, if a plot cannot be drawn."""
    if arguments.plot:
        from autoscaler.report import plot  # noqa: PLC0415 - seldom needed

        plot.require()


def write(arguments: argparse.Namespace, page: Callable[[], str], sections: "Callable[[], Sequence[Section]]") -> None:
    """Write what was asked for."""
    if arguments.html:
        arguments.html.write_text(page(), encoding="utf-8")
    if arguments.plot:
        from autoscaler.report.plot import charts_in, save  # noqa: PLC0415 - it loads matplotlib

        save(charts_in(sections()), arguments.plot)
