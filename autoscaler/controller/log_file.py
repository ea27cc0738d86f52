"""Reads the file of a decision log. A last line that its writer was still writing is left out."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from autoscaler.documents.document import DocumentError


def read_log(log: Path) -> tuple[Iterator[Any], list[str]]:
    """Give the value of each line, one after the other, and notes about what is left out; `.gz` is unpacked.

    Raises:
        DocumentError: the file is empty. Later, when its lines are taken: one is no JSON.
        OSError: it cannot be read.
    """
    lines, notes = _lines(log)
    return _values(log, lines), notes


def _lines(log: Path) -> tuple[list[bytes], list[str]]:
    text = _unpacked(log) if log.suffix == ".gz" else log.read_bytes()
    *lines, rest = text.split(b"\n")
    if not lines and not rest:
        raise DocumentError([f"{log}: is empty and not a decision log"])
    if lines and rest and not _is_json(rest):
        return lines, [f"{log}:{len(lines) + 1}: the last line is not whole and is left out"]
    return [*lines, rest] if rest else lines, []


def _unpacked(log: Path) -> bytes:
    try:
        return gzip.decompress(log.read_bytes())
    except (gzip.BadGzipFile, EOFError) as error:
        raise DocumentError([f"{log}: cannot be unpacked: {error}"]) from error


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return False
    return True


def _values(log: Path, lines: Iterable[bytes]) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        try:
            yield msgspec.json.decode(line)
        except (ValueError, RecursionError) as error:
            raise DocumentError([f"{log}:{number}: not a line of a decision log: {error}"]) from error
