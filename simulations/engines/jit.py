"""Compiles plain functions over arrays with numba, and caches the results in the user's cache folder.

numba checks only the file of a function to see if a cached result is out of date. These functions also use constants,
tables and rules in other files, so each state of these files has a cache folder of its own.
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

    It must not create arrays. Then numba counts no references, which would cost ten times as much as the functions.
    """
    return _compiled(function)


def compiled_without_nan(function: Function) -> Function:
    """Compile a function whose inputs have no NaN, and where -0 equals 0: it can compare several numbers at once."""
    return _compiled(function, fastmath={"nnan", "nsz"})


def specialised(function: Function, *like: object) -> Function:
    """Give a compiled function that accepts only arguments of the types of `like`.

    A call skips numba's dispatch on the types of the arguments, which costs as much as the rest of the call.
    """
    compile_for = getattr(function, "compile", None)
    return cast("Function", compile_for(tuple(map(typeof, like)))) if compile_for else function


def _compiled(function: Function, **options: object) -> Function:
    decorate = cast("Callable[..., Any]", njit)
    return cast("Function", decorate(cache=True, _nrt=False, **options)(function))
