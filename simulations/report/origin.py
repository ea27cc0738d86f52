"""What a result was made from: settings and names that are the same on each machine."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autoscaler.policy.spec import ScalingPolicy
from simulations.scenario.document import Scenario

MOST_NUMBERS = 20
"""Longer lists of numbers, such as the arrivals of a trace, are not repeated in a report."""
_DIGITS = 16


def origin_of(scenario: Scenario, engine: str, command: str) -> dict[str, str]:
    """Say what a result was made from: version, scenario with its digest, seed, engine and command."""
    return {
        "Version": version("inflight-autoscaler"),
        "Scenario": scenario.metadata.name,
        "Digest": digest(scenario),
        "Seed": str(scenario.spec.seed),
        "Engine": engine,
        **({"Command": command} if command else {}),
    }


def digest(scenario: Scenario) -> str:
    """Give a text that differs if the scenario or a file of requests that it names differs.

    Its policies and its seed do not count, and neither do the folders in which its files are.
    """
    document = scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for key in ("policies", "seed"):
        document["spec"].pop(key, None)
    text = json.dumps(_with_contents(document), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _with_contents(value: Any) -> Any:
    """Replace the name of each file by the hash of what is in it."""
    if isinstance(value, Mapping):
        return {key: _content(each) if key == "file" else _with_contents(each) for key, each in value.items()}
    return [_with_contents(each) for each in value] if isinstance(value, list) else value


def _content(name: Any) -> str:
    file = Path(str(name))
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else file.name


def settings_of(scenario: Scenario, policy: ScalingPolicy | None) -> dict[str, Any]:
    """Give scenario and policy as they are set, as JSON-ready values, without folders and long lists of numbers."""
    set_ = {"scenario": scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)}
    if policy is not None:
        set_["policy"] = policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {name: _shown(document) for name, document in set_.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: Path(each).name if key == "file" and isinstance(each, str) else _shown(each)
            for key, each in value.items()
            if each is not None and each != []
        }
    if not isinstance(value, list):
        return value
    if len(value) > MOST_NUMBERS and all(isinstance(each, int | float) for each in value):
        return f"{len(value):,} numbers, left out here"
    return [_shown(each) for each in value]
