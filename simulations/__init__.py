"""Offline: the same step, policies and dispatcher as the live system, driven by a heap of events instead of a clock.

`simulate(scenario)` is the way in, and `compare(scenario)` for several policies; what they give is described in
`simulations.study`.
"""

from typing import Any

__all__ = ["Candidate", "Result", "Scenario", "compare", "read_scenario", "simulate"]

_WHERE = {
    "Candidate": "scenario.candidates",
    "Result": "study",
    "Scenario": "scenario.document",
    "compare": "study",
    "read_scenario": "scenario.document",
    "simulate": "study",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is first asked for: the command's help needs none of it."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
