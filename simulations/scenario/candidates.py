"""The policies that are compared, each with a unique name."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoscaler.documents.document import Document, DocumentError
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.loading import read_alternatives, read_budgets
from autoscaler.policy.spec import ScalingPolicy
from simulations.scenario.document import PolicyChoice, Scenario, SimulatedService, scenario_of


class Candidate(NamedTuple):
    """A policy, and its name in the comparison."""

    name: str
    policy: ScalingPolicy


Given = Candidate | ScalingPolicy | Path | str
"""How a caller may name policies: with a name, alone, or by the path of a file."""


def candidates_of(scenario: Scenario) -> list[Candidate]:
    """Give the policies of a scenario; raises DocumentError."""
    found: list[_Named] = []
    for choice in scenario.spec.policies:
        if choice.policy:
            found.append(_Named(choice.name, "", choice.policy))
        else:
            found += _chosen(choice, Path(str(choice.file)))
    return _with_unique_names(found)


def services_of(scenario: Scenario) -> list[Candidate]:
    """Give the policy of each of several services, named by the service.

    Raises:
        DocumentError: a file is invalid or has not exactly one policy, or two services have one name.
    """
    policies = [_policy_of(service) for service in scenario.spec.services]
    twice = [name for name, count in Counter(policy.service for policy in policies).items() if count > 1]
    if twice:
        raise DocumentError([f"{scenario.metadata.name}: spec.services: has {name} twice" for name in twice])
    return [Candidate(policy.service, policy) for policy in policies]


def _policy_of(service: SimulatedService) -> ScalingPolicy:
    if service.policy is not None:
        return service.policy
    found = _chosen(service, Path(str(service.file)))
    if len(found) != 1:
        raise DocumentError([f"{service.where}: must have one policy, has {len(found)}"])
    return found[0].policy


def budgets_of(scenario: Scenario) -> list[GpuBudget]:
    """Give the budgets of a scenario; raises DocumentError."""
    files = [Path(choice.file) for choice in scenario.spec.budgets if choice.file is not None]
    inline = [choice.budget for choice in scenario.spec.budgets if choice.budget is not None]
    budgets = [*read_budgets(files), *inline]
    twice = [name for name, count in Counter(budget.name for budget in budgets).items() if count > 1]
    if twice:
        raise DocumentError([f"{scenario.metadata.name}: spec.budgets: has {name} twice" for name in twice])
    return budgets


def check(document: Document) -> None:
    """Check a Scenario and its files, for `autoscaler validate`; raises DocumentError."""
    scenario = scenario_of(document)
    candidates_of(scenario)
    services_of(scenario)
    budgets_of(scenario)


def candidates_in(given: Sequence[Given]) -> list[Candidate]:
    """Give all policies that a caller names; several may be for one service.

    Raises:
        DocumentError: a file is invalid.
        TypeError: something is neither a policy nor a path.
    """
    if isinstance(given, str | Path | ScalingPolicy | Candidate):
        raise TypeError(f"candidates: {given!r}: must be a list")
    return _with_unique_names([named for each in given for named in _from(each)])


class _Named(NamedTuple):
    given: str | None
    file: str
    policy: ScalingPolicy


def _from(given: Given) -> list[_Named]:
    match given:
        case Candidate(name, policy):
            return [_Named(name, "", policy)]
        case ScalingPolicy():
            return [_Named(None, "", given)]
        case Path() | str():
            return _in_file(Path(given), None)
    raise TypeError(f"{given!r}: must be a ScalingPolicy, a Candidate, or the path of a file")


def _chosen(choice: PolicyChoice, path: Path) -> list[_Named]:
    """Read a file that a scenario names; problems in the file have a place of their own."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise DocumentError([f"{choice.where}: cannot be read: {error}"]) from error
    return _in_file(path, choice.name)


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
