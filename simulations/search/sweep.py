"""Simulates many variants of a scenario on the same random streams, each with as many runs as its question needs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulations.results.figures import Estimate, Figures, estimates
from simulations.scenario.candidates import Given, candidates_in, candidates_of
from simulations.scenario.document import Scenario, read_scenario
from simulations.search.executors import Executor, opened, outcomes
from simulations.search.kept import KeptRuns
from simulations.search.runs import Task, figures_of
from simulations.search.sequential import Difference, confidence_of, difference, stages
from simulations.search.space import Settings, combinations, condition
from simulations.search.variants import Variant, variants_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

SETTLE = ("wait_p95_s", "gpu_s")
"""The figures that must be settled, unless others are named."""
WITHIN = 0.05
_WRITE_EVERY = 100
"""Runs between two writes of the file that keeps them."""
Progress = Callable[[float, int], None]


@dataclass(frozen=True, slots=True, repr=False)
class SweptVariant:
    """What was found of one variant."""

    variant: Variant
    replications: tuple[Figures, ...]
    """The figures of each run by name; see `simulations.results.figures`."""
    differences: dict[str, Difference]
    """For each figure to settle, how it differs from that of the first variant, run by run."""

    @property
    def settings(self) -> Settings:
        """Its values by their place in the document."""
        return self.variant.settings

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The mean of every figure over the runs, with its 95 % confidence interval."""
        return estimates(self.replications) if self.replications else {}

    @property
    def more(self) -> int:
        """How many more runs would settle all differences, as an estimate; 0 if they are settled."""
        return max((each.more for each in self.differences.values()), default=0)

    def __repr__(self) -> str:
        """Say in one line what it is."""
        return f"<{self.variant.name or 'the scenario'}: {len(self.replications)} runs>"


@dataclass(frozen=True, slots=True, repr=False)
class Sweep:
    """What was found of all variants, in order."""

    scenario: Scenario
    variants: tuple[SweptVariant, ...]
    settle: tuple[str, ...]
    within: float
    partial: bool = False
    """The sweep was interrupted: runs are missing."""

    def __repr__(self) -> str:
        """Say in one line how much was simulated."""
        runs = sum(len(each.replications) for each in self.variants)
        left = sum(each.more > 0 for each in self.variants)
        state = ", partial" if self.partial else f", {left} not settled" if left else ""
        return f"<Sweep of {self.scenario.metadata.name}: {len(self.variants)} variants, {runs} runs{state}>"

    def frame(self) -> "pd.DataFrame":
        """Give a table with a row for each variant: its settings, the mean of each figure and its half width."""
        import pandas as pd  # noqa: PLC0415  # notebooks have it

        rows = [
            {
                **each.settings,
                "runs": len(each.replications),
                **{name: estimate.mean for name, estimate in each.estimates.items()},
                **{f"{name}_half_width": estimate.half_width for name, estimate in each.estimates.items()},
            }
            for each in self.variants
        ]
        return pd.DataFrame(rows)

    def runs(self) -> "pd.DataFrame":
        """Give a table with a row for each run: settings, number of the replication and figures."""
        import pandas as pd  # noqa: PLC0415  # as above

        return pd.DataFrame(
            [
                {**each.settings, "replication": number, **found}
                for each in self.variants
                for number, found in enumerate(each.replications)
            ]
        )

    def differences(self) -> "pd.DataFrame":
        """Give a table of the differences from the first variant: mean, half width, whether settled, runs it needs."""
        import pandas as pd  # noqa: PLC0415  # as above

        return pd.DataFrame(
            [
                {
                    **each.settings,
                    "figure": figure,
                    "difference": found.mean,
                    "half_width": found.half_width,
                    "settled": found.settled,
                    "more_runs": found.more,
                }
                for each in self.variants
                for figure, found in each.differences.items()
            ]
        )


def sweep(
    scenario: Scenario | Path | str,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    variants: Sequence[Settings] = (),
    where: Sequence[str] = (),
    policies: Sequence[Given] = (),
    replications: int = 3,
    up_to: int | None = None,
    settle: Sequence[str] = SETTLE,
    within: float = WITHIN,
    workers: int = 1,
    on: Executor | str | None = None,
    keep: Path | str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Simulate all combinations of some values, all on the same random streams.

    >>> from simulations import Scenario, sweep
    >>> scenario = Scenario.build(rate=0.05, service_time="8s", cold_start="30s", duration="10m")
    >>> sweep(scenario.with_policy(maxReplicas=4), {"spec.scaleDown.delay": ["0s", "5m"]}, replications=2)
    <Sweep of scenario: 2 variants, 4 runs, 1 not settled>

    Args:
        scenario: the document, or the path of its file, or `demo`.
        grid: values by their place in the scenario or in its policies, such as `spec.scaleDown.delay`.
        variants: settings that belong together; each is combined with the grid.
        where: conditions such as `spec.minReplicas <= spec.maxReplicas`; a variant must satisfy all.
        policies: in place of the scenario's own, as for `compare`.
        replications: runs of each variant, at least.
        up_to: runs of each variant at most: those whose difference from the first variant is not settled get more.
        settle: the figures whose differences must be settled.
        within: a difference below this share of the first variant's figure does not matter.
        workers: processes of this machine.
        on: an executor in their place, or the address of a Dask scheduler such as `dask://host:8786`.
        keep: a Parquet file that keeps every run. Runs that it has are not done again.
        progress: called after every run with the number of runs done and of those planned.

    Returns:
        The results, in order. After Ctrl-C they are those of the runs that were done, and `partial` is true.

    Raises:
        DocumentError: a document, a place or a value is invalid.
        ValueError, TypeError: an argument is invalid, or a figure to settle is in no run.
        RuntimeError: a worker process ended early.
    """
    _check(replications, up_to, workers, within)
    scenario = scenario if isinstance(scenario, Scenario) else read_scenario(scenario)
    candidates = candidates_in(policies) or candidates_of(scenario)
    settings = combinations(grid or {}, variants, [condition(text) for text in where])
    found = variants_of(scenario, candidates, settings)
    kept = KeptRuns(Path(keep) if keep is not None else None)
    study = _Study(found, kept, tuple(settle), within, stages(replications, up_to or replications))
    partial = False
    with opened(on) as executor:
        try:
            for stage in study.stages:
                study.run_up_to(stage, workers=workers, on=executor, progress=progress)
        except KeyboardInterrupt:
            partial = True
        finally:
            kept.write()
    return Sweep(scenario, study.results(), tuple(settle), within, partial)


def _check(replications: int, up_to: int | None, workers: int, within: float) -> None:
    for name, value in (("replications", replications), ("workers", workers)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: {value!r}: must be a whole number of at least 1")
    if up_to is not None and (not isinstance(up_to, int) or up_to < replications):
        raise ValueError(f"up_to: {up_to!r}: must be a whole number of at least replications, which is {replications}")
    if not 0 <= within < 1:
        raise ValueError(f"within: {within!r}: must be at least 0 and below 1")


class _Study:
    """The variants, the runs that are known of each, and which of them need more."""

    def __init__(
        self, variants: Sequence[Variant], kept: KeptRuns, settle: tuple[str, ...], within: float, stages: list[int]
    ) -> None:
        self._variants, self._kept, self._settle, self._within = variants, kept, settle, within
        self._digests = [variant.digest for variant in variants]
        self._runs = [0] * len(variants)
        self._confidence = confidence_of(len(stages))
        self.stages = stages

    def run_up_to(self, stage: int, *, workers: int, on: Executor | None, progress: Progress | None) -> None:
        """Give each variant that is not settled, and the first, this many runs."""
        open_ones = [number for number in range(1, len(self._variants)) if not self._settled(number)]
        chosen = [0, *open_ones] if open_ones or not self._runs[0] else []
        wanted = [(number, replication) for replication in range(stage) for number in chosen]
        missing = [(n, replication) for n, replication in wanted if (self._digests[n], replication) not in self._kept]
        tasks = [self._task(*each, len(wanted)) for each in missing]
        with closing(outcomes(figures_of, tasks, workers=workers, on=on)) as found:  # type: ignore[type-var]
            for done, ((number, replication), figures) in enumerate(zip(missing, found, strict=True), start=1):
                self._kept.add((self._digests[number], replication), self._variants[number].settings, figures)
                if done % _WRITE_EVERY == 0:
                    self._kept.write()
                if progress:
                    progress(done, len(tasks))
        for number in chosen:
            self._runs[number] = stage
        self._check_names()

    def _task(self, number: int, replication: int, total_runs: int) -> Task:
        variant = self._variants[number]
        return Task(variant.scenario, variant.policy, replication, total_runs)

    def _check_names(self) -> None:
        """Refuse a figure that no run has; some runs may lack it, as a wait without a request."""
        known = {name for number in range(len(self._variants)) for found in self._figures(number) for name in found}
        for name in self._settle:
            if name not in known:
                raise ValueError(f"settle: {name!r}: must be one of {', '.join(sorted(known))}")

    def _settled(self, number: int) -> bool:
        return self._runs[number] > 0 and not any(each.more for each in self._differences(number).values())

    def _figures(self, number: int) -> list[Figures]:
        """Give the figures of the first runs, as far as they are known without a gap."""
        found: list[Figures] = []
        while (self._digests[number], len(found)) in self._kept and len(found) < self.stages[-1]:
            found.append(self._kept[self._digests[number], len(found)])
        return found

    def _differences(self, number: int) -> dict[str, Difference]:
        ours, theirs = self._figures(number), self._figures(0)
        return {
            name: difference(
                [each.get(name) for each in ours],
                [each.get(name) for each in theirs],
                confidence=self._confidence,
                within=self._within,
            )
            for name in self._settle
        }

    def results(self) -> tuple[SweptVariant, ...]:
        """Give what is known of each variant."""
        return tuple(
            SweptVariant(variant, tuple(self._figures(number)), self._differences(number) if number else {})
            for number, variant in enumerate(self._variants)
        )
