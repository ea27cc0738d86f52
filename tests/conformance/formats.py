"""Which comparer reads which golden format: by `schema` (Knative), by `kind` (HPA and KEDA), or by form (simulator)."""

import hpa_golden
import knative_golden
import sim_golden
from golden import Comparer, Comparison, Document, UnknownFormatError, format_of

COMPARERS: dict[str, Comparer] = {
    **knative_golden.COMPARERS,
    **hpa_golden.COMPARERS,
    **sim_golden.COMPARERS,
}


def compare(document: Document) -> Comparison:
    """Compare a golden document by the comparer of its format; raises UnknownFormatError where there is none."""
    name = format_of(document)
    if name not in COMPARERS:
        raise UnknownFormatError(f"unknown format {name!r}; known are {', '.join(sorted(COMPARERS))}")
    return COMPARERS[name](document)
