"""Python's garbage collector: rare collections, because each one stops the whole process."""

import gc

_YOUNG = 50_000
"""New objects before a collection; Python's default of 700 is a dozen requests, or the policies of fifty services."""


def tune_gc() -> None:
    """Exclude all current objects from collection, and collect new ones rarely: this program creates few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 50, 50)
