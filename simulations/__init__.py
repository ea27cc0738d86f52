"""The simulator: the live system's step, policies and dispatcher, driven by events in simulated time.

Call `simulate(scenario)` for one policy, and `compare(scenario)` for several. Both return results, which
`simulations.study` describes.
"""

from typing import Any

__all__ = [
    "Candidate",
    "Result",
    "Scenario",
    "Sweep",
    "compare",
    "html_report",
    "read_scenario",
    "simulate",
    "sweep",
    "timeline_figure",
    "waits_figure",
]

_WHERE = {
    "Candidate": "scenario.candidates",
    "Result": "study",
    "Scenario": "scenario.document",
    "Sweep": "search.sweep",
    "compare": "study",
    "html_report": "report.figures",
    "read_scenario": "scenario.document",
    "simulate": "study",
    "sweep": "search.sweep",
    "timeline_figure": "report.figures",
    "waits_figure": "report.figures",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: the command's help needs none of them."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
