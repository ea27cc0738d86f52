"""When Python looks for cycles of objects: seldom, because a collection stops everything that goes on."""

import gc

_YOUNG = 50_000
"""Objects that come before a collection; Python's own 700 are a dozen requests, or the policies of fifty services."""


def tune_gc() -> None:
    """Leave what there is alone for ever, and look at what comes seldom: hardly anything here leaves a cycle behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 50, 50)
