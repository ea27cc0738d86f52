"""Which comparer reads which golden format: by `schema` (Knative), by `kind` (HPA and KEDA), or by form (simulator)."""

import hpa_golden
import knative_golden
from golden import Comparer, Comparison, Document, UnknownFormatError, format_of


def not_compared_yet(document: Document) -> Comparison:
    """Recognise a format that nothing here can run yet, and say how much of it was left."""
    return Comparison(0, None, not_compared=len(document["cases"]))


COMPARERS: dict[str, Comparer] = {
    **knative_golden.COMPARERS,
    **hpa_golden.COMPARERS,
    "simulation/1": not_compared_yet,
}


def compare(document: Document) -> Comparison:
    """Compare a golden document by the comparer of its format; raises UnknownFormatError where there is none."""
    name = format_of(document)
    if name not in COMPARERS:
        raise UnknownFormatError(f"unknown format {name!r}; known are {', '.join(sorted(COMPARERS))}")
    return COMPARERS[name](document)
