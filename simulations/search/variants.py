"""Variants of a scenario: each has settings that are put into the scenario's document or the policy's."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from autoscaler.documents.document import Document, DocumentError, to_inline_yaml
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import PolicySpec, ScalingPolicy
from simulations.scenario.building import parsed_place, put, written
from simulations.scenario.candidates import Candidate
from simulations.scenario.document import Scenario, ScenarioSpec
from simulations.search.space import Settings

POLICY = "policy"
"""The name of the setting that tells which of several policies it is."""


class Variant(NamedTuple):
    """One variant."""

    settings: Settings
    scenario: Scenario
    """Without policies."""
    policy: ScalingPolicy

    @property
    def name(self) -> str:
        """Its settings on one line, each with the last part of its place."""
        return " ".join(f"{place.rpartition('.')[2]}={shown(value)}" for place, value in self.settings.items())

    @property
    def digest(self) -> str:
        """Tell it from every other variant: the scenario with the contents of its files, the policy, the version."""
        named = [_with_contents(written(self.scenario)), written(self.policy), version("inflight-autoscaler")]
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]


def shown(value: Any) -> str:
    """Write a value on one line."""
    return to_inline_yaml(value) if isinstance(value, list | dict) else str(value)


def _keys(model: Any) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_OF_THE_POLICY = frozenset(_keys(PolicySpec))
_OF_THE_SCENARIO = frozenset(_keys(ScenarioSpec)) - {"policies", "services", "budgets"}


def variants_of(
    scenario: Scenario, candidates: Sequence[Candidate], settings: Sequence[Settings], where: str = ""
) -> list[Variant]:
    """Give all variants: each settings with each policy.

    Args:
        scenario: of one service.
        candidates: the policies; with several, each variant has a setting that names its own.
        settings: what to change.
        where: stands before a problem's place.

    Raises:
        DocumentError: a place does not exist, or a value is not legal there; each is named once.
    """
    if scenario.spec.services:
        raise DocumentError([f"{scenario.metadata.name}: spec.services: has several services; a sweep has one"])
    if not candidates:
        raise DocumentError([f"{scenario.metadata.name}: spec.policies: is empty"])
    if problems := [_unknown(place) for place in dict.fromkeys(place for each in settings for place in each)]:
        problems = [f"{where}{problem}" for problem in problems if problem]
    found = []
    base = written(scenario)
    base["spec"].pop("policies", None)
    policies = [(name, written(policy)) for name, policy in candidates]
    for each in [] if problems else settings:
        for name, policy in policies:
            label = {POLICY: name} if len(policies) > 1 else {}
            try:
                found.append(Variant({**label, **each}, *_changed(base, policy, each)))
            except DocumentError as error:
                problems += [f"{where}{problem.removeprefix(':1: ')}" for problem in error.problems]
    if problems:
        raise DocumentError(list(dict.fromkeys(problems)))
    return found


def _unknown(place: str) -> str:
    path = parsed_place(place, "")
    if path[0] == "spec" and len(path) > 1 and path[1] in _OF_THE_POLICY | _OF_THE_SCENARIO:
        return ""
    known = ", ".join(sorted(_OF_THE_POLICY | _OF_THE_SCENARIO))
    return f"{place}: unknown key; legal here: spec.KEY of a policy or of a scenario, KEY being one of {known}"


def _changed(
    scenario: Mapping[str, Any], policy: Mapping[str, Any], settings: Settings
) -> tuple[Scenario, ScalingPolicy]:
    changed = [json.loads(json.dumps(document)) for document in (scenario, policy)]
    for place, value in settings.items():
        path = parsed_place(place, "")
        put(changed[path[1] in _OF_THE_POLICY], path, value, "")
    ours, theirs = (Document("", value, {}) for value in changed)
    return validated(ours, Scenario), validated(theirs, ScalingPolicy)


def _with_contents(value: Any) -> Any:
    """Replace the paths of files by what is in them, so that a file that was changed makes another variant."""
    if isinstance(value, dict):
        return {
            key: _contents(item) if key == "file" and isinstance(item, str) else _with_contents(item)
            for key, item in value.items()
        }
    return [_with_contents(item) for item in value] if isinstance(value, list) else value


def _contents(file: str) -> str:
    state = Path(file).stat()
    return _digest(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _digest(file: str, _changed_ns: int, _size: int) -> str:
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
