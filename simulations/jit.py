"""Compilation of plain functions over arrays, once for a machine: the results are cached beside the code."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function when it is first called; with NUMBA_DISABLE_JIT=1 it stays as it is."""
    return cast("Function", njit(cache=True)(function))
