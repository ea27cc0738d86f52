"""The policies that are compared, each with a unique name."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoscaler.documents.document import Document
from autoscaler.policy.loading import read_alternatives
from autoscaler.policy.spec import ScalingPolicy
from simulations.scenario.document import Scenario, scenario_of


class Candidate(NamedTuple):
    """A policy, and its name in the comparison."""

    name: str
    policy: ScalingPolicy


def candidates_of(scenario: Scenario) -> list[Candidate]:
    """Give the policies of a scenario; raises DocumentError."""
    found: list[_Named] = []
    for choice in scenario.spec.policies:
        if choice.policy:
            found.append(_Named(choice.name, "", choice.policy))
        else:
            found += _in_file(Path(str(choice.file)), choice.name)
    return _with_unique_names(found)


def check(document: Document) -> None:
    """Check a Scenario and its files, for `autoscaler validate`; raises DocumentError."""
    candidates_of(scenario_of(document))


def candidates_in(paths: Sequence[Path]) -> list[Candidate]:
    """Give all policies in some files; several may be for one service. Raises DocumentError."""
    return _with_unique_names([named for path in paths for named in _in_file(path, None)])


class _Named(NamedTuple):
    given: str | None
    file: str
    policy: ScalingPolicy


def _in_file(path: Path, given: str | None) -> list[_Named]:
    return [_Named(given, path.stem, policy) for policy in read_alternatives([path])]


def _with_unique_names(found: Sequence[_Named]) -> list[Candidate]:
    """Name each policy: by its given or own name, else by its file, else by its name and number, until all differ."""
    choices = [
        [each.given or each.policy.metadata.name for each in found],
        [each.given or each.file or each.policy.metadata.name for each in found],
        [f"{each.given or each.policy.metadata.name}-{number}" for number, each in enumerate(found, start=1)],
    ]
    names = next(names for names in choices if max(Counter(names).values(), default=1) == 1 or names is choices[-1])
    return [Candidate(name, each.policy) for name, each in zip(names, found, strict=True)]
