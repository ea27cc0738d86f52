"""Makes and changes scenarios in Python, by the keys that a document has. Every result is checked as a file is."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic.alias_generators import to_camel

from autoscaler.documents.document import Document, DocumentError, KeyPath, dotted
from autoscaler.documents.fields import Model
from autoscaler.policy.loading import read_alternatives, validated
from autoscaler.policy.spec import ScalingPolicy

API_VERSION = "inflight.dev/v1alpha1"
_Value = Any
ModelT = TypeVar("ModelT", bound=Model)


class Buildable(Model):
    """What a scenario can do in Python besides holding its values."""

    @classmethod
    def build(
        cls,
        name: str = "scenario",
        *,
        rate: float | None = None,
        trace: Path | str | Sequence[float] | None = None,
        service_time: str = "1s",
        cold_start: str = "0s",
        price_per_hour: float = 0.0,
        duration: str | None = None,
        **spec: _Value,
    ) -> Self:
        """Make a scenario of one service on one pool of GPUs; `spec` has any other fields, or these in full.

        >>> from simulations import Scenario
        >>> Scenario.build(rate=0.2, service_time="lognormal(mean=8, sigma=0.3)", cold_start="30s", duration="1h")
        <Scenario scenario: 1 workload, 1 pool, 0 policies, seed 1>

        Args:
            name: its name.
            rate: Poisson arrivals in requests per second; one of this, `trace` and `workloads`.
            trace: recorded arrivals: a file, or times in seconds.
            service_time: a duration or a distribution in seconds.
            cold_start: a duration or a distribution in seconds, from the placement until a replica is ready.
            price_per_hour: of one replica.
            duration: when the run ends, such as `24h`; a trace ends by itself.
            spec: fields of `spec` in the document's spelling or in Python's, such as `seed=7`, `workloads=[...]`.

        Raises:
            DocumentError: a value is invalid, or it is not clear which requests arrive.
        """
        given: dict[str, _Value] = {to_camel(key): value for key, value in spec.items()}
        arrivals = _arrivals(rate, trace)
        if bool(arrivals) + ("workloads" in given) + ("services" in given) != 1:
            raise DocumentError(["Scenario.build: must have exactly one of rate, trace, workloads, services"])
        if arrivals:
            given["workloads"] = [{**arrivals, "serviceTime": service_time}]
        if "fleet" not in given:
            pool = {"name": "gpu", "coldStart": {"load": cold_start}, "pricePerHour": price_per_hour}
            given["fleet"] = {"pools": [pool]}
        if duration is not None:
            given["run"] = {"duration": duration, **given.get("run", {})}
        value = {"apiVersion": API_VERSION, "kind": "Scenario", "metadata": {"name": name}, "spec": given}
        return validated(Document("Scenario.build", plain(value), {}), cls)

    def with_(self, changes: Mapping[str, _Value] | None = None, /, **keys: _Value) -> Self:
        """Give a copy with other values.

        >>> from simulations import Scenario
        >>> scenario = Scenario.build(rate=0.2, duration="1h").with_(seed=7, run__warmUp="5m")
        >>> scenario.with_({"spec.fleet.pools[0].stock": 4}).spec.fleet.pools[0].stock
        4

        Args:
            changes: values by their place in the document, such as `spec.fleet.pools[0].stock`.
            keys: values by their place in `spec`, with two underscores where the document has a dot.

        Raises:
            DocumentError: a place does not exist, or the scenario would be invalid.
        """
        named = {f"spec.{'.'.join(to_camel(part) for part in key.split('__'))}": value for key, value in keys.items()}
        return changed(self, {**(changes or {}), **named}, "Scenario.with_")

    def with_policy(self, *given: "ScalingPolicy | Mapping[str, _Value] | Path | str", **spec: _Value) -> Self:
        """Give a copy with these policies in place of its own.

        >>> from simulations import Scenario
        >>> Scenario.build(rate=0.2, duration="1h").with_policy(maxReplicas=4, scaleDown={"delay": "5m"})
        <Scenario scenario: 1 workload, 1 pool, 1 policy, seed 1>

        Args:
            given: policies, documents of policies, or the paths of their files.
            spec: one more policy, by the fields of its `spec`.

        Raises:
            DocumentError: a policy is invalid, or there is none.
        """
        policies = [policy for each in given for policy in _policies(each)]
        if spec:
            policies.append(_policy(spec))
        if not policies:
            raise DocumentError(["Scenario.with_policy: must have a policy"])
        return changed(
            self, {"spec.policies": [{"policy": written(each)} for each in policies]}, "Scenario.with_policy"
        )


def _arrivals(rate: float | None, trace: Path | str | Sequence[float] | None) -> dict[str, _Value]:
    found: dict[str, _Value] = {} if rate is None else {"poisson": {"rate": rate}}
    if isinstance(trace, str | Path):
        found["trace"] = {"file": str(trace)}
    elif trace is not None:
        found["trace"] = {"arrivals": [float(time) for time in trace]}
    return found


def _policies(given: ScalingPolicy | Mapping[str, _Value] | Path | str) -> list[ScalingPolicy]:
    if isinstance(given, ScalingPolicy):
        return [given]
    if isinstance(given, Mapping):
        return [validated(Document("Scenario.with_policy", plain(dict(given)), {}), ScalingPolicy)]
    return read_alternatives([Path(given)])


def _policy(spec: Mapping[str, _Value]) -> ScalingPolicy:
    fields = {"scaleTargetRef": {"name": "service"}, **{to_camel(key): value for key, value in spec.items()}}
    value = {"apiVersion": API_VERSION, "kind": "ScalingPolicy", "metadata": {"name": "service"}, "spec": fields}
    return validated(Document("Scenario.with_policy", plain(value), {}), ScalingPolicy)


def plain(value: _Value) -> _Value:
    """Give a value as a document has it: models written, paths as texts, tuples as lists."""
    match value:
        case Model():
            return written(value)
        case Path():
            return str(value)
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return value


def written(model: Model) -> dict[str, _Value]:
    """Write a model as its document: what was set, without what is absent."""
    found = _without_absent(model.model_dump(mode="json", exclude_unset=True))
    assert isinstance(found, dict)  # noqa: S101  # for mypy
    return found


def _without_absent(value: _Value) -> _Value:
    if isinstance(value, dict):
        return {key: _without_absent(item) for key, item in value.items() if item is not None}
    return [_without_absent(item) for item in value] if isinstance(value, list) else value


def changed(model: ModelT, changes: Mapping[str, _Value], source: str) -> ModelT:
    """Give a model with other values by their place in its document, checked as a file is; raises DocumentError."""
    value = written(model)
    for place, new in changes.items():
        put(value, parsed_place(place, source), plain(new), source)
    return validated(Document(source, value, {}), type(model))


def put(value: dict[str, _Value], path: KeyPath, new: _Value, source: str) -> None:
    """Set a value of a document; maps on the way to it are made, items of lists must be there.

    Raises:
        DocumentError: the way leads through something that is neither, or past the end of a list.
    """
    at: _Value = value
    for number, part in enumerate(path):
        last = number == len(path) - 1
        if isinstance(part, int) and isinstance(at, list) and part < len(at):
            inner = at[part]
        elif isinstance(part, str) and isinstance(at, dict):
            inner = at.setdefault(part, {})
        else:
            raise DocumentError([f"{_at(source)}{dotted(path)}: there is no {dotted(path[: number + 1])}"])
        if last:
            at[part] = deepcopy(new)
        at = inner


def parsed_place(place: str, source: str) -> KeyPath:
    """Read a place such as `spec.fleet.pools[0].stock`; raises DocumentError."""
    path: list[str | int] = []
    for part in place.split("."):
        name, *numbers = part.replace("]", "").split("[")
        if not name.isidentifier() or not all(number.isdecimal() for number in numbers):
            raise DocumentError([f"{_at(source)}{place}: must be a place such as spec.fleet.pools[0].stock"])
        path += [name, *map(int, numbers)]
    return tuple(path)


def _at(source: str) -> str:
    return f"{source}: " if source else ""
