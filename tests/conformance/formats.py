"""Which comparer reads which golden format: by `schema` (Knative), by `kind` (HPA and KEDA), or by form (simulator)."""

from pathlib import Path

import hpa_golden
import knative_golden
import sim_golden
from golden import BadGoldenError, Comparer, Comparison, Document, UnknownFormatError, format_of, load

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


def compare_file(path: Path) -> Comparison:
    """Compare a golden file; what keeps it from being read is said with its name."""
    try:
        return compare(load(path))
    except (UnknownFormatError, BadGoldenError) as error:
        raise type(error)(f"{path.name}: {error}") from error
    except (LookupError, TypeError) as error:
        problem = f"its form is not that of its format: {type(error).__name__} {error}"
        raise BadGoldenError(f"{path.name}: {problem}") from error
