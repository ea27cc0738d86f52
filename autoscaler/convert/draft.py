"""One service on its way to a policy: the objects that come out, and the documents of which they are made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autoscaler.convert.findings import STRICT, Effect, Finding
from autoscaler.convert.source import Source, inline
from autoscaler.documents.document import KeyPath
from autoscaler.policy.spec import API_VERSION, PolicySpec

MOST_UNLESS_SAID = 10
"""maxReplicas where neither the input nor `--max` says one, unless minReplicas is more."""
_MOST = 10_000
"""The largest maxReplicas of a policy."""

_ORDER = [field.alias for field in PolicySpec.model_fields.values()]
"""The keys of a policy's spec, in the order of the reference page."""

Object = dict[str, Any]
"""An object that comes out, as it is written."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    algorithm: Literal["same", "concurrency"] = "same"
    """same: decide as before. concurrency: the default algorithm."""
    max_replicas: int | None = None
    """For services of which the input says no maximum."""
    route: Literal["ingress", "gateway-api"] | None = None
    """The route to write."""
    nodes: Literal["cloud", "ours"] = "cloud"
    """Who chooses the nodes among the GPU kinds that an annotation names."""


@dataclass(eq=False)
class Draft:
    """One service."""

    source: Source
    """The document that says how the service is scaled."""
    name: str
    namespace: str | None
    """None: the input says none, and neither does the output."""
    sources: list[Source] = field(default_factory=list)
    """All documents of which it is made."""
    spec: Object = field(default_factory=dict)
    """The policy's spec."""
    annotations: dict[str, str] = field(default_factory=dict)
    """The policy's annotations."""
    objects: list[Object] = field(default_factory=list)
    """Deployment and Service, if the input has them or implies them."""
    routes: list[Object] = field(default_factory=list)
    """What leads requests to the gateway."""
    lines: dict[KeyPath, int] = field(default_factory=dict)
    """The lines of the input from which keys of the policy come, for messages."""
    hand_over: list[str] = field(default_factory=list)
    """The steps of the hand-over, in this order."""

    def __post_init__(self) -> None:
        self.use(self.source)

    @property
    def service(self) -> str:
        """The key of the service: `namespace/name`."""
        return f"{self.namespace or 'default'}/{self.name}"

    @property
    def hosts(self) -> list[str]:
        """The hosts of the policy."""
        return list(self.spec.get("traffic", {}).get("hosts", []))

    def use(self, source: Source) -> None:
        """Take a document as a part of this service; its identity is accounted for."""
        source.used = True
        self.sources.append(source)
        for path in (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")):
            if source.get(*path) is not None and source.finding_of(path) is None:
                source.mapped(path, f"a part of the service {self.service}")

    def metadata(self, name: str | None = None, **more: Any) -> Object:
        """Give the metadata of an object of this service."""
        found = {"name": name or self.name, **({"namespace": self.namespace} if self.namespace else {})}
        return found | {key: value for key, value in more.items() if value}

    def set(self, key: str, value: Any) -> None:
        """Set a key of the policy's spec, such as `traffic.port`."""
        place = self.spec
        *above, last = key.split(".")
        for each in above:
            place = place.setdefault(each, {})
        place[last] = value

    def map(self, source: Source, path: KeyPath, key: str, value: Any, note: str = "") -> None:
        """Set a key of the policy's spec to what a value of the input means, and say so."""
        self.set(key, value)
        self.lines["spec", *key.split(".")] = source.document.line(path)
        to = f"spec.{key}" if isinstance(value, dict | list) else f"spec.{key}: {inline(value)}"
        source.mapped(path, "; ".join(filter(None, [f"to the policy's {to}", note])))

    def default(self, key: str, value: Any, why: str) -> None:
        """Write out a default of the other system that differs from ours."""
        self.set(key, value)
        self.source.added(f"the policy's spec.{key}: {inline(value)}, {why}")

    def limit_replicas(self, source: Source, path: KeyPath, value: int | None, options: Options) -> None:
        """Set maxReplicas; without one in the input it is a decision of the user."""
        if value:
            notes = [f"a policy has at most {_MOST}"] * (value > _MOST)
            notes += ["--max is for a service without a maximum"] * (options.max_replicas not in {None, value})
            self.map(source, path, "maxReplicas", min(value, _MOST), "; ".join(notes))
        elif options.max_replicas is not None:
            self.set("maxReplicas", options.max_replicas)
            source.added(f"the policy's spec.maxReplicas: {options.max_replicas}, of --max; the input says no maximum")
        else:
            most = max(MOST_UNLESS_SAID, self.spec.get("minReplicas", 0))
            self.set("maxReplicas", most)
            self.source.findings.insert(0, _no_maximum(source, path, most))

    def policy(self) -> Object:
        """Give the policy as a document."""
        return {
            "apiVersion": API_VERSION,
            "kind": "ScalingPolicy",
            "metadata": self.metadata(annotations=self.annotations),
            "spec": {key: self.spec[key] for key in sorted(self.spec, key=_ORDER.index)},
        }


def _no_maximum(source: Source, path: KeyPath, most: int) -> Finding:
    there = bool(path) and source.get(*path) is not None
    text = f"the input says no maximum: maxReplicas: {most} is written; --max N sets another one"
    value = source.get(*path) if there else None
    return Finding(
        source.document.source, source.document.line(path), path if there else (), value, Effect.DECIDE, text
    )


@dataclass(frozen=True, slots=True)
class Converted:
    """One service of the output."""

    service: str
    """`namespace/name`."""
    origin: str
    """The kind and the name of the document that said how it was scaled, with file and line."""
    objects: tuple[Mapping[str, Any], ...]
    """All objects, in the order in which they are written."""
    findings: tuple[Finding, ...]
    hand_over: tuple[str, ...]

    @property
    def strict_findings(self) -> Iterator[Finding]:
        """The findings that `--strict` does not accept."""
        return (finding for finding in self.findings if finding.effect in STRICT)
