"""Knative's scaling annotations and its ConfigMap `config-autoscaler`, as settings of a policy."""

from collections.abc import Mapping
from typing import NamedTuple

from autoscaler.convert.annotations import unknown
from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.knative.settings_table import DEFAULT, MPA, OTHER, SAME, Row, as_number
from autoscaler.convert.source import Source, Sources
from autoscaler.documents.document import DocumentError, KeyPath
from autoscaler.documents.fields import format_percent
from autoscaler.documents.go_values import int32, number
from autoscaler.policy.knative_settings import (
    ANNOTATIONS,
    CONFIG_MAP,
    KPA_CLASS,
    PREFIX,
    PROGRESS_DEADLINE,
    SettingError,
    resolve,
    spellings,
)

ANNOTATIONS_PATH: KeyPath = ("spec", "template", "metadata", "annotations")
_CONCURRENCY: KeyPath = ("spec", "template", "spec", "containerConcurrency")
MPA_CLASS = "mpa.autoscaling.knative.dev"
HPA_CLASS = "hpa.autoscaling.knative.dev"
_DEFAULT_UTILISATION = 0.7
_CLASS_OF_CONFIG = "pod-autoscaler-class"


class Setting(NamedTuple):
    """A setting as the input has it."""

    source: Source
    path: KeyPath
    text: str


Settings = dict[str, Setting]
"""Settings by the annotation's name without its prefix; those that only the ConfigMap has, by its key."""


_ANNOTATION_OF_CONFIG = {
    "container-concurrency-target-percentage": "target-utilization-percentage",
    "container-concurrency-target-default": "target",
    "stable-window": "window",
}
"""The annotations that replace keys of the ConfigMap; other keys have the same name."""
_NO_EFFECT_IN_CONFIG = {
    "requests-per-second-target-default": "requests in flight are counted, not their rate",
    "max-scale-limit": "maxReplicas is at most 10,000",
    "activator-capacity": "a service's slots are given in one place",
}


def scale(draft: Draft, sources: Sources, options: Options) -> None:
    """Set how the policy decides.

    Raises:
        DocumentError: Knative refuses a setting.
    """
    source = draft.source
    limit = source.whole(*_CONCURRENCY) or 0
    config = _config_map(draft, sources)
    for_all = _of_config(config, limit) if config else Settings()
    settings = for_all | _of_annotations(source)
    chosen = settings["class"].text if "class" in settings else KPA_CLASS
    _check(source, config, chosen, limit)
    _limit(draft, limit)
    if chosen in {KPA_CLASS, MPA_CLASS}:
        _target(draft, settings, limit)
    rows = _choose(draft, settings, chosen, options)
    _bounds(draft, settings, options, at_least=1 if chosen == HPA_CLASS else 0)
    for name, setting in settings.items():
        if name in rows:
            _map(draft, setting, rows[name])
    _account(for_all, settings)
    _make_consistent(draft)


def _of_annotations(source: Source) -> Settings:
    """Collect the annotations in force, and account for those that another one replaces."""
    given, found = source.mapping(*ANNOTATIONS_PATH), Settings()
    keys_of = {name: spellings(name) for name in ANNOTATIONS} | {"progress-deadline": (PROGRESS_DEADLINE,)}
    for name, keys in keys_of.items():
        there = [key for key in keys if key in given]
        for key in there[:1]:
            found[name] = Setting(source, (*ANNOTATIONS_PATH, key), source.text(*ANNOTATIONS_PATH, key))
        for key in there[1:]:
            source.ineffective((*ANNOTATIONS_PATH, key), f"two spellings of one setting: Knative reads {there[0]}")
    known = {key for keys in keys_of.values() for key in keys}
    for key in given:
        if key.startswith(PREFIX) and key not in known:
            text = unknown(key.removeprefix(PREFIX), ANNOTATIONS, "Knative")
            source.ineffective((*ANNOTATIONS_PATH, key), text)
    return found


def _config_map(draft: Draft, sources: Sources) -> Source | None:
    """Take the ConfigMap, if it stands beside; several services may have it, and each accounts for it."""
    for each in sources:
        if (each.group, each.kind, each.name) == ("", "ConfigMap", "config-autoscaler"):
            each.used = True
            config = Source(each.document)
            draft.sources.append(config)
            for key in ("apiVersion", "kind", "metadata"):
                config.note((key,), Effect.LEFT_OUT, "of Knative's settings for all services, read for this one")
            if "_example" in config.mapping("data"):
                config.note(("data", "_example"), Effect.LEFT_OUT, "an example, which Knative does not read")
            return config
    return None


def _of_config(config: Source, limit: int) -> Settings:
    """Collect the settings of the ConfigMap."""
    found = Settings()
    for key in (*CONFIG_MAP, _CLASS_OF_CONFIG):
        if key not in config.mapping("data"):
            continue
        path: KeyPath = ("data", key)
        if key in _NO_EFFECT_IN_CONFIG:
            config.ineffective(path, _NO_EFFECT_IN_CONFIG[key])
        elif key == "container-concurrency-target-default" and limit:
            config.note(path, Effect.LEFT_OUT, "it holds for services without containerConcurrency")
        else:
            name = "class" if key == _CLASS_OF_CONFIG else _ANNOTATION_OF_CONFIG.get(key, key)
            found[name] = Setting(config, path, config.text(*path))
    return found


def _account(for_all: Settings, settings: Settings) -> None:
    """Account for the settings of the ConfigMap of which nothing came."""
    for name, setting in for_all.items():
        if settings[name] is not setting:
            setting.source.note(setting.path, Effect.LEFT_OUT, "an annotation of the service replaces it")
        elif setting.source.finding_of(setting.path) is None:
            setting.source.note(setting.path, Effect.LEFT_OUT, "a service of this class does not use it")


def _check(source: Source, config: Source | None, chosen: str, limit: int) -> None:
    """Refuse what Knative refuses, all at once."""
    annotations = dict(source.mapping(*ANNOTATIONS_PATH))
    not_checked = ("class",) if chosen in {KPA_CLASS, MPA_CLASS} else ("class", "metric", "target")
    for name in not_checked:
        annotations.pop(PREFIX + name, None)
    # Without the ConfigMap nothing says that the cluster refuses to start with 0.
    data = {"allow-zero-initial-scale": "true"}
    if config is not None:
        data = {key: config.text("data", key) for key in config.mapping("data")}
    problems = []
    while (refused := _refused(data, annotations, limit)) is not None:
        key = _drop(refused.key, annotations, data)
        if key is None:
            problems.append(f"{source.where(*ANNOTATIONS_PATH)}: {refused}")
            break
        of_config = config is not None and key in config.mapping("data")
        owner, path = (config, ("data", key)) if config and of_config else (source, (*ANNOTATIONS_PATH, key))
        problems.append(owner.problem(path, f"must be {refused.legal}, or Knative refuses it"))
    if problems:
        raise DocumentError(problems)


def _refused(data: Mapping[str, str], annotations: Mapping[str, str], limit: int) -> SettingError | None:
    try:
        resolve(data, annotations, container_concurrency=limit)
    except SettingError as error:
        return error
    return None


def _drop(key: str, annotations: dict[str, str], data: dict[str, str]) -> str | None:
    """Remove a setting that is refused, so that the next one is found; give its key as it is written, if it is."""
    written = (*spellings(key.removeprefix(PREFIX)), key) if key.startswith(PREFIX) else (key,)
    for given in (annotations, data):
        for each in written:
            if given.pop(each, None) is not None:
                return each
    return None


def _limit(draft: Draft, limit: int) -> None:
    source = draft.source
    if source.get(*_CONCURRENCY) is None:
        draft.default("containerConcurrency", 0, "Knative's default: no limit")
    else:
        draft.map(source, _CONCURRENCY, "containerConcurrency", limit)


def _target(draft: Draft, settings: Settings, limit: int) -> None:
    """Set how many requests a replica should have: Knative plans with 70 % unless it is said otherwise."""
    metric, target = settings.get("metric"), settings.get("target")
    if metric is not None and metric.text == "rps":
        why = "a rate has no equal: how many are in flight depends on the time of a request. Set targetPerReplica"
        metric.source.decide(metric.path, why)
        if target is not None:
            target.source.ineffective(target.path, "it is a rate, not a number in flight")
        target = None
    elif metric is not None:
        metric.source.mapped(metric.path, "to the only metric here, requests in flight")
    if target is not None:
        wanted = as_number(target.text)
        if limit and wanted >= limit:
            target.source.mapped(target.path, f"to containerConcurrency: {limit}, which is not more, as in Knative")
        else:
            draft.map(target.source, target.path, "targetPerReplica", wanted)
    utilisation = settings.get("target-utilization-percentage")
    if utilisation is None:
        draft.default("targetUtilization", format_percent(_DEFAULT_UTILISATION), _by_default(limit, target))
    else:
        ratio = number(utilisation.text)
        is_percentage = ratio > 1 or utilisation.source is draft.source
        text = format_percent(ratio / 100 if is_percentage else ratio)
        draft.map(utilisation.source, utilisation.path, "targetUtilization", text)


def _by_default(limit: int, target: Setting | None) -> str:
    """Say what Knative's default means where the number is so small that it surprises."""
    why = "Knative's default"
    if limit == 1 and (target is None or number(target.text) >= 1):
        why += ". It means 2 replicas for 1 request; write 100% if that was not meant"
    return why


def _choose(draft: Draft, settings: Settings, chosen: str, options: Options) -> Mapping[str, Row]:
    """Choose the algorithm; give the rows of the table of its settings."""
    is_same = options.algorithm == "same"
    name, rows = {KPA_CLASS: ("kpa", SAME), MPA_CLASS: ("mpa", MPA)}.get(chosen, ("concurrency", OTHER))
    if not is_same and chosen in {KPA_CLASS, MPA_CLASS}:
        name, rows = "concurrency", DEFAULT
    draft.set(f"algorithm.{name}", {})
    setting = settings.get("class")
    if setting is None:
        draft.source.added(f"the policy's spec.algorithm.{name}; without a class, Knative's is {KPA_CLASS}")
    elif chosen in {KPA_CLASS, MPA_CLASS}:
        setting.source.mapped(setting.path, f"to the policy's spec.algorithm.{name}")
    else:
        setting.source.decide(setting.path, _not_the_same(draft, settings, chosen))
    return rows


def _not_the_same(draft: Draft, settings: Settings, chosen: str) -> str:
    metric = settings["metric"].text if "metric" in settings else "cpu"
    what = f"{metric} is not measured here" if chosen == HPA_CLASS else "the class is not Knative's own"
    target = draft.spec["containerConcurrency"] or 100
    text = f"{what}, so the same decisions cannot be had: algorithm.concurrency plans {target:g} requests for a replica"
    return text if draft.spec["containerConcurrency"] else f"{text}. For a GPU server, consider containerConcurrency: 1"


def _bounds(draft: Draft, settings: Settings, options: Options, *, at_least: int) -> None:
    lowest, highest = settings.get("min-scale"), settings.get("max-scale")
    if lowest is not None:
        number_ = max(at_least, int32(lowest.text))
        note = "it never goes to zero" if number_ else ""
        draft.map(lowest.source, lowest.path, "minReplicas", number_, note)
    elif at_least:
        draft.default("minReplicas", at_least, "the HPA's default")
    if highest is None:
        draft.limit_replicas(draft.source, (), None, options)
    else:
        draft.limit_replicas(highest.source, highest.path, int32(highest.text), options)


def _map(draft: Draft, setting: Setting, row: Row) -> None:
    if row.key is None:
        setting.source.note(setting.path, row.effect, row.why)
    else:
        draft.map(setting.source, setting.path, row.key, row.write(setting.text))


def _make_consistent(draft: Draft) -> None:
    """Add what makes the settings legal together: Knative may have no maximum, and may allow to start with 0."""
    kpa = draft.spec["algorithm"].get("kpa", {})
    if kpa.get("initialScale") == 0 and "allowZeroInitialScale" not in kpa:
        draft.default("algorithm.kpa.allowZeroInitialScale", value=True, why="or Knative had refused initial-scale")
    if kpa.get("activationScale", 0) > draft.spec["maxReplicas"]:
        draft.default("algorithm.kpa.maxScale", 0, "no limit of Knative's own, as activation-scale needs it")
