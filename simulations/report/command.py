"""Make a report of results that were kept: what --json of simulate or demo wrote.

Results of several files stand side by side.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.report import files

if TYPE_CHECKING:
    from simulations.report.kept import Kept

EXIT_STATUS = {0: "the report is written", 2: "a file is no result, or an option is invalid"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="FILE", help="JSON of `simulate` or `demo`; repeatable"
    )
    files.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the report.

    Returns:
        0 if it is written, 2 if not.
    """
    from autoscaler.demo.kept import KeptError  # noqa: PLC0415  # --help reads no files

    try:
        files.check(arguments)
        _write(arguments)
    except (KeptError, OSError) as error:
        sys.stderr.write(f"report: {error}\n")
        return 2
    return 0


def _write(arguments: argparse.Namespace) -> None:
    from autoscaler.demo.html import KeptDemo, demo_page, demo_sections  # noqa: PLC0415  # as above
    from autoscaler.demo.kept import KeptError, converted, read  # noqa: PLC0415
    from simulations.report.content import page_of, sections_of  # noqa: PLC0415

    if not (arguments.html or arguments.plot):
        raise KeptError("--html or --plot: one of them is required")
    documents = {path: read(path) for path in arguments.results}
    demos = [path for path, document in documents.items() if isinstance(document, dict)]
    if not demos:
        results = _kept(documents)
        files.write(arguments, lambda: page_of(results), lambda: sections_of(results))
    elif len(documents) > 1:
        raise KeptError(f"{demos[0]}: is one run of the demo, which stands beside nothing else; name it alone")
    else:
        (path,) = demos
        demo = converted(str(path), documents[path], KeptDemo)
        files.write(arguments, lambda: demo_page(demo), lambda: demo_sections(demo))


def _kept(documents: dict[Path, object]) -> "list[Kept]":
    """Read the results of all files; where names are the same, the file's name goes before."""
    from dataclasses import replace  # noqa: PLC0415  # as above

    from autoscaler.demo.kept import KeptError  # noqa: PLC0415
    from simulations.report.kept import kept_from  # noqa: PLC0415

    found: list[tuple[Path, Kept]] = []
    for path, document in documents.items():
        if not isinstance(document, list):
            raise KeptError(f"{path}: must be a list of results, as `simulate --json` writes it")
        found += [(path, each) for each in kept_from(str(path), document)]
    names = [each.name for _, each in found]
    renamed = [each.name if names.count(each.name) == 1 else f"{path.stem}: {each.name}" for path, each in found]
    if len(set(renamed)) < len(renamed):
        raise KeptError(f"{', '.join(map(str, documents))}: two results have one name; give the files other names")
    return [
        replace(each, name=name, run=replace(each.run, name=name))
        for name, (_, each) in zip(renamed, found, strict=True)
    ]
