"""What a policy comes to: every value in force, and whether it was given, is a default, or follows from others."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any, NamedTuple

from autoscaler.documents.document import Document, KeyPath, to_inline_yaml
from autoscaler.documents.go_values import SECOND_NS
from autoscaler.policy.knative_settings import panic_window_s
from autoscaler.policy.spec import PolicySpec, ScalingPolicy

COMMENT_COLUMN = 60


class Value(NamedTuple):
    """One value that is in force."""

    value: Any
    origin: str
    """`given, line 8`, `default`, or what it follows from."""


Tree = Mapping[str, Any]
"""Keys with values, trees, or lists of trees."""


def explained(document: Document, policy: ScalingPolicy) -> Tree:
    """Give every value of a policy with its origin; under `derived` those that the document cannot say."""
    effective = policy.model_dump(mode="json", exclude_none=True)
    told = {key: _told(document, (key,), value) for key, value in effective.items()}
    return {**told, "derived": _derived(policy)}


def _told(document: Document, path: KeyPath, value: Any) -> Any:
    if isinstance(value, dict) and value:
        return {key: _told(document, (*path, key), inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_told(document, (*path, index), inner) for index, inner in enumerate(value)]
    given = document.value_at(path) is not None
    return Value(value, f"given, line {document.line(path)}" if given else "default")


def _derived(policy: ScalingPolicy) -> Tree:
    spec = policy.spec
    limit = "containerConcurrency" if spec.container_concurrency else "100, for there is no limit,"
    found = {"requestsPerReplica": Value(spec.target, f"{limit} x targetUtilization")}
    prometheus = spec.metrics.prometheus
    if prometheus and prometheus.series is None:
        found["series"] = Value(prometheus.raw_series(), "the series that metrics.prometheus.query sums up")
    return {**found, **_of_the_algorithm(spec, policy.metadata.annotations)}


def _of_the_algorithm(spec: PolicySpec, annotations: Mapping[str, str]) -> Tree:
    chosen = spec.algorithm
    if chosen.concurrency:
        window_ns = round(chosen.concurrency.stable_window * SECOND_NS)
        seconds = panic_window_s(window_ns, chosen.concurrency.panic_window * 100)
        return {"panicWindow": Value(f"{seconds}s", "panicWindow of stableWindow, in whole seconds")}
    if kpa := spec.kpa_options():
        return {"kpa": _options(kpa, "Knative's rules")}
    if chosen.hpa:
        return {"hpa": _options(chosen.hpa.options(spec.bounds), "the HPA's rules")}
    if chosen.keda:
        return {"keda": _options(chosen.keda.options(spec.bounds, annotations), "KEDA's rules")}
    return {}


def _options(options: Any, origin: str) -> Tree:
    """Give what the algorithm is built from."""
    return {name: Value(value, origin) for name, value in _plain(options).items() if value is not None}


def _plain(value: Any) -> Any:
    """Give named values as a dict, and names as texts."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value


def to_yaml(tree: Tree) -> str:
    """Write it as YAML that can be read again, with the origins as comments."""
    lines = ((f"{text:<{COMMENT_COLUMN}} # {origin}" if origin else text) for text, origin in _lines(tree))
    return "".join(f"{line}\n" for line in lines)


def _lines(tree: Tree) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        match value:
            case Value():
                yield f"{key}: {to_inline_yaml(value.value)}", value.origin
            case list():
                yield f"{key}:", ""
                for item in value:
                    yield from _indented(_lines(item), first="  - ", rest="    ")
            case _:
                yield f"{key}:", ""
                yield from _indented(_lines(value), first="  ", rest="  ")


def _indented(lines: Iterator[tuple[str, str]], first: str, rest: str) -> Iterator[tuple[str, str]]:
    for number, (text, origin) in enumerate(lines):
        yield (rest if number else first) + text, origin
