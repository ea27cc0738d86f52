"""The document `Sweep`: which variants of a scenario are simulated, and what their runs must settle."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from autoscaler.documents.document import Document, DocumentError, dotted, read_file
from autoscaler.documents.fields import Model, Percent, between, exactly_one
from autoscaler.policy.loading import unlisted, validated
from autoscaler.policy.spec import Metadata
from simulations.scenario.candidates import candidates_of
from simulations.scenario.document import DEMO, Scenario, read_scenario
from simulations.search.space import Settings, combinations, condition, spread
from simulations.search.variants import variants_of

Value = Any


class Range(Model):
    """Values from one to another, both included, in the spelling of the first."""

    from_: Annotated[Value, Field(alias="from")]
    """A number, a duration or a percentage."""
    to: Value
    """With a step, no value is above it."""
    step: Value = None
    """The distance between values; exactly one of this and `points`."""
    points: int | None = None
    """How many values."""
    log: bool = False
    """The ratio between values is constant, and not the distance."""

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        self.values()
        return self

    def values(self) -> list[Value]:
        """Give the values; raises ValueError."""
        return spread(self.from_, self.to, step=self.step, points=self.points, log=self.log)


class Vary(Model):
    """The values of one place."""

    set: str
    """The place in the policy or in the scenario, such as `spec.scaleDown.delay`."""
    values: Annotated[tuple[Value, ...], Field(min_length=1)] | None = None
    """One after the other; exactly one of this and `range`."""
    range: Range | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, "values", "range")
        return self

    def found(self) -> list[Value]:
        """Give the values."""
        return list(self.values) if self.values is not None else self.range.values() if self.range else []


class SweepSpec(Model):
    """The variants, and how many runs each gets."""

    scenario: str
    """The file with the Scenario, relative to this one, or `demo`."""
    vary: tuple[Vary, ...] = ()
    """Each combination of these values is a variant."""
    variants: tuple[dict[str, Value], ...] = ()
    """Settings that belong together, by their place; each is combined with `vary`."""
    where: tuple[str, ...] = ()
    """Conditions such as `spec.minReplicas <= spec.maxReplicas`: a variant must satisfy all of them."""
    replications: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Runs of each variant, at least."""
    up_to: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Runs of each variant at most: what is not settled gets more. Without it, none gets more."""
    settle: Annotated[tuple[str, ...], Field(min_length=1)] = ("wait_p95_s", "gpu_s")
    """The figures whose differences from the first variant must be settled."""
    within: Annotated[Percent, between("0%", "99%")] = 0.05
    """A difference below this share of the first variant's figure does not matter."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.up_to is not None and self.up_to < self.replications:
            raise ValueError(f"upTo: must be at least replications, which is {self.replications}")
        places = [each.set for each in self.vary]
        if twice := next((place for place in places if places.count(place) > 1), ""):
            raise ValueError(f"vary: has {twice} twice")
        for number, text in enumerate(self.where):
            try:
                condition(text)
            except ValueError as error:
                raise ValueError(f"where.{number}: {error}") from error
        return self


class SweepDocument(Model):
    """A document of the kind Sweep."""

    api_version: Literal["inflight.dev/v1alpha1"]
    kind: Literal["Sweep"]
    metadata: Metadata
    spec: SweepSpec

    def settings(self) -> list[Settings]:
        """Give the settings of all variants; raises DocumentError."""
        spec = self.spec
        grid = {each.set: each.found() for each in spec.vary}
        return combinations(grid, spec.variants, [condition(text) for text in spec.where])


class Planned(NamedTuple):
    """A sweep as a file has it."""

    document: SweepDocument
    scenario: Scenario
    settings: list[Settings]


def read_sweep(path: Path) -> Planned:
    """Read a file with one Sweep, and the scenario that it names.

    Raises:
        DocumentError: something is invalid; each problem has file, line, key, value and what is legal.
    """
    documents = list(unlisted(read_file(path)))
    if len(documents) != 1:
        raise DocumentError([f"{path}: must have one document, has {len(documents)}"])
    return _planned(documents[0])


def is_sweep(path: Path) -> bool:
    """Tell whether the first document of a file says that it is a Sweep; raises DocumentError."""
    return any(document.value_at(("kind",)) == "Sweep" for document in read_file(path)[:1])


def check(document: Document) -> None:
    """Check a Sweep with its scenario and all its variants, for `autoscaler validate`; raises DocumentError."""
    _planned(document)


def _planned(document: Document) -> Planned:
    found = validated(document, SweepDocument)
    file = found.spec.scenario
    where = f"{document.source}:{document.line(('spec', 'scenario'))}: spec.scenario: {file}"
    path = Path(document.source).parent / file
    if file != DEMO and not path.is_file():
        raise DocumentError([f"{where}: there is no such file"])
    scenario = read_scenario(file if file == DEMO else path)
    try:
        settings = found.settings()
        variants_of(scenario, candidates_of(scenario), settings)
    except DocumentError as error:
        raise DocumentError([f"{_line_of(document, problem)}: {problem}" for problem in error.problems]) from error
    return Planned(found, scenario, settings)


def _line_of(document: Document, problem: str) -> str:
    """Give file, line and key of the values that a problem is about: those of the place with which it begins."""
    spec = document.value["spec"]
    for key, items in (("vary", spec.get("vary") or ()), ("variants", spec.get("variants") or ())):
        for number, item in enumerate(items):
            for place in [item["set"]] if key == "vary" else item:
                if problem.startswith(str(place)):
                    path = ("spec", key, number)
                    return f"{document.source}:{document.line(path)}: {dotted(path)}"
    return f"{document.source}:{document.line(('spec',))}: spec"
