"""Offline: the same step, policies and dispatcher as the live system, driven by a heap of events instead of a clock.

`simulate(scenario)` is the way in; what it gives is described in `simulations.study`, tables and figures of it are in
`simulations.tables`.
"""

from typing import Any

__all__ = ["Result", "read_scenario", "simulate"]

_WHERE = {"Result": "study", "simulate": "study", "read_scenario": "scenario"}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is first asked for: the command's help needs none of it."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
