"""Compilation of plain functions over arrays, once for a machine: the results are kept in the user's cache folder.

numba looks only at the file of a function to see whether its result is out of date. Ours use constants, tables and
rules of other files as well, so there is one folder for each state of these files.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import config, njit, typeof

from autoscaler import wake_up
from autoscaler.runtime.programs import cache_folder

Function = TypeVar("Function", bound=Callable[..., Any])


def _fingerprint() -> str:
    sources = [*sorted(Path(__file__).parents[1].rglob("*.py")), Path(wake_up.__file__)]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


if not config.CACHE_DIR:  # type: ignore[attr-defined]  # read from NUMBA_CACHE_DIR
    config.CACHE_DIR = str(cache_folder() / "compiled" / _fingerprint())  # type: ignore[attr-defined]


def compiled(function: Function) -> Function:
    """Compile a function when it is first called; with NUMBA_DISABLE_JIT=1 it stays as it is.

    It may not make arrays. So nothing has to be counted for their release, which costs ten times what these functions
    do themselves.
    """
    return _compiled(function)


def compiled_without_nan(function: Function) -> Function:
    """Compile a function that meets no NaN and tells no -0 from 0, so that it may compare several numbers at once."""
    return _compiled(function, fastmath={"nnan", "nsz"})


def specialised(function: Function, *like: object) -> Function:
    """Give a compiled function, to be called with arguments of the types of these and no others.

    It does without the look at what it is given, by which numba chooses among the forms of a function, and which costs
    as much as the rest of a call.
    """
    compile_for = getattr(function, "compile", None)
    return cast("Function", compile_for(tuple(map(typeof, like)))) if compile_for else function


def _compiled(function: Function, **options: object) -> Function:
    decorate = cast("Callable[..., Any]", njit)
    return cast("Function", decorate(cache=True, _nrt=False, **options)(function))
