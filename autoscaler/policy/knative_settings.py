"""Reads Knative's own settings: the config map `config-autoscaler` and a revision's annotations.

The rules of knative.dev/serving v0.51.0 (`autoscaler/config`, `apis/autoscaling`):

1. An annotation wins over the config map, and the config map over the default.
2. An annotation has one or two spellings, `min-scale` and `minScale`; the first one wins where both are there.
3. A value out of its range is refused, also if another setting makes it ineffective.
4. Keys that are not listed here are ignored.

Numbers, booleans and durations are written as Go reads them.
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Literal, NamedTuple

from algorithms.kpa_core import ALWAYS_PROXIED
from algorithms.kpa_scale import ScaleOptions
from autoscaler.documents.go_values import SECOND_NS, boolean, duration_ns, int32, number

PREFIX = "autoscaling.knative.dev/"
KPA_CLASS = "kpa.autoscaling.knative.dev"
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
DEFAULT_PROGRESS_DEADLINE_S = 600.0

HOUR_NS = 3600 * SECOND_NS
FULL = 100
TARGET_MIN = 0.01
RPS_UTILISATION = 0.7

Metric = Literal["concurrency", "rps"]
Reachability = Literal["", "Reachable", "Unreachable"]


class SettingError(ValueError):
    """Knative refuses a setting; the message names its key, its value and the allowed values."""

    def __init__(self, key: str, value: object, legal: str) -> None:
        super().__init__(f"{key} is {value!r}: must be {legal}")
        self.key = key
        self.legal = legal


class Resolved(NamedTuple):
    """The effective settings of a revision."""

    options: ScaleOptions
    metric: Metric
    activator_capacity: float

    @property
    def scraped(self) -> bool:
        """Whether replicas are asked for their load; they are not if the activator sees all of it."""
        return self.options.target_burst_capacity != ALWAYS_PROXIED


class _Setting(NamedTuple):
    read: Callable[[str], Any]
    legal: str
    allows: Callable[[Any], bool]

    def value(self, key: str, text: str) -> Any:
        """Read a value; raises SettingError if it is not allowed."""
        try:
            value = self.read(text)
        except ValueError as error:
            raise SettingError(key, text, self.legal) from error
        if not self.allows(value):
            raise SettingError(key, text, self.legal)
        return value


def _number_above(low: float) -> _Setting:
    return _Setting(number, f"a number above {low:g}", lambda value: value > low)


def _number_from(low: float, high: float = inf) -> _Setting:
    legal = f"a number from {low:g} to {high:g}" if high < inf else f"a number from {low:g}"
    return _Setting(number, legal, lambda value: low <= value <= high)


def _whole_from(low: int) -> _Setting:
    return _Setting(int32, f"a whole number from {low} to 2147483647", lambda value: value >= low)


def _time(legal: str, low_ns: int, high_ns: float = inf, *, step_ns: int = 1) -> _Setting:
    return _Setting(duration_ns, legal, lambda ns: low_ns <= ns <= high_ns and ns % step_ns == 0)


def _word(*words: str) -> _Setting:
    return _Setting(str, " or ".join(filter(None, words)), lambda text: text in words)


_FLAG = _Setting(boolean, "true or false", lambda _: True)
_ANY_NUMBER = _Setting(number, "a number", lambda _: True)
_FRACTION = _Setting(number, "a number above 0 up to 100 (up to 1 it is a fraction)", lambda value: 0 < value <= FULL)
_PERCENTAGE = _number_from(1, 100)
_BURST = _Setting(number, "a number from 0, or exactly -1", lambda value: value >= 0 or value == ALWAYS_PROXIED)
_SCALE = _whole_from(0)
_WINDOW = _time("a duration from 6s to 1h in whole seconds", 6 * SECOND_NS, HOUR_NS, step_ns=SECOND_NS)
_POSITIVE_TIME = _time("a duration above 0s", 1)

CONFIG_MAP = {
    "container-concurrency-target-percentage": (_FRACTION, "70"),
    "container-concurrency-target-default": (_ANY_NUMBER, "100"),
    "requests-per-second-target-default": (_number_from(TARGET_MIN), "200"),
    "target-burst-capacity": (_BURST, "211"),
    "stable-window": (_WINDOW, "60s"),
    "panic-window-percentage": (_PERCENTAGE, "10"),
    "panic-threshold-percentage": (_ANY_NUMBER, "200"),
    "max-scale-up-rate": (_number_above(1), "1000"),
    "max-scale-down-rate": (_number_above(1), "2"),
    "enable-scale-to-zero": (_FLAG, "true"),
    "scale-to-zero-grace-period": (_POSITIVE_TIME, "30s"),
    "scale-to-zero-pod-retention-period": (_time("a duration from 0s", 0), "0s"),
    "scale-down-delay": (_time("a duration from 0s in whole seconds", 0, step_ns=SECOND_NS), "0s"),
    "allow-zero-initial-scale": (_FLAG, "false"),
    "initial-scale": (_SCALE, "1"),
    "min-scale": (_SCALE, "0"),
    "max-scale": (_SCALE, "0"),
    "max-scale-limit": (_SCALE, "0"),
    "activator-capacity": (_number_from(1), "100"),
}
"""Keys of `config-autoscaler` of the KPA: how each is read, and its default."""

ANNOTATIONS = {
    "class": _word(KPA_CLASS),
    "metric": _word("concurrency", "rps"),
    "target": _number_from(TARGET_MIN),
    "target-utilization-percentage": _PERCENTAGE,
    "target-burst-capacity": _BURST,
    "window": _WINDOW,
    "panic-window-percentage": _PERCENTAGE,
    "panic-threshold-percentage": _number_from(110, 1000),
    "min-scale": _SCALE,
    "max-scale": _SCALE,
    "initial-scale": _SCALE,
    "activation-scale": _whole_from(2),
    "scale-down-delay": _time("a duration from 0s to 1h in whole seconds", 0, HOUR_NS, step_ns=SECOND_NS),
    "scale-to-zero-pod-retention-period": _time("a duration from 0s to 1h", 0, HOUR_NS),
    "metric-aggregation-algorithm": _word("", "linear", "weighted-exponential", "weightedExponential"),
}
"""Annotations without their prefix: how each is read, and its range."""

_ONE_SPELLING = {"class", "metric", "target", "window", "activation-scale"}


def spellings(name: str) -> tuple[str, ...]:
    """Give the keys of an annotation, the one that wins first."""
    first, *others = name.split("-")
    camel = first + "".join(word.capitalize() for word in others)
    return (PREFIX + name,) if name in _ONE_SPELLING else (PREFIX + name, PREFIX + camel)


def _read_config(config_map: Mapping[str, str]) -> dict[str, Any]:
    values = {key: setting.value(key, config_map.get(key, default)) for key, (setting, default) in CONFIG_MAP.items()}
    _check_target(values)
    _check_config_scales(values)
    return values


def _check_target(values: dict[str, Any]) -> None:
    """Convert the percentage to a fraction, and refuse a default target that becomes too small with it."""
    percentage, default = "container-concurrency-target-percentage", "container-concurrency-target-default"
    if values[percentage] > 1:
        values[percentage] /= 100
    if values[percentage] * values[default] < TARGET_MIN:
        raise SettingError(default, values[default], f"at least 0.01 when multiplied by {values[percentage]:g}")


def _check_config_scales(values: Mapping[str, Any]) -> None:
    lowest, highest, limit = values["min-scale"], values["max-scale"], values["max-scale-limit"]
    if values["initial-scale"] == 0 and not values["allow-zero-initial-scale"]:
        raise SettingError("initial-scale", 0, "at least 1 unless allow-zero-initial-scale is true")
    if limit and not 1 <= highest <= limit:
        raise SettingError("max-scale", highest, f"1 to {limit}, the max-scale-limit")
    if 0 < highest < lowest:
        raise SettingError("min-scale", lowest, f"at most {highest}, the max-scale")


def _read_annotations(annotations: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, setting in ANNOTATIONS.items():
        key = next((spelling for spelling in spellings(name) if spelling in annotations), None)
        if key is not None:
            values[name] = setting.value(key, annotations[key])
    _check_scales(values, config)
    return values


def _check_scales(values: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Compare the scales with each other, without those of the config map, as Knative does."""
    lowest, highest, limit = values.get("min-scale", 0), values.get("max-scale", 0), config["max-scale-limit"]
    if 0 < highest < lowest:
        raise SettingError(f"{PREFIX}min-scale", lowest, f"at most {highest}, the max-scale")
    if "max-scale" in values and limit and not 1 <= highest <= limit:
        raise SettingError(f"{PREFIX}max-scale", highest, f"1 to {limit}, the max-scale-limit")
    activation = values.get("activation-scale", lowest)
    if activation < lowest or 0 < highest < activation:
        raise SettingError(f"{PREFIX}activation-scale", activation, "within min-scale and max-scale")
    if values.get("initial-scale") == 0 and not config["allow-zero-initial-scale"]:
        raise SettingError(f"{PREFIX}initial-scale", 0, "at least 1 unless the cluster allows zero")


def resolve(
    config_map: Mapping[str, str],
    annotations: Mapping[str, str],
    *,
    container_concurrency: int,
    reachability: Reachability = "",
) -> Resolved:
    """Resolve the effective settings of a revision.

    Args:
        config_map: data of `config-autoscaler`.
        annotations: the revision's annotations, with their prefixes.
        container_concurrency: the most requests of one replica; 0 is no limit.
        reachability: whether a route leads to the revision; "" counts as reachable.

    Raises:
        SettingError: a setting is not allowed.
    """
    config = _read_config(config_map)
    given = _read_annotations(annotations, config)
    reachable = reachability != "Unreachable"
    metric: Metric = given.get("metric", "concurrency")
    total, utilisation = _total(config, given, metric, container_concurrency)
    stable_ns = given.get("window", config["stable-window"])
    options = ScaleOptions(
        target=max(TARGET_MIN, total * utilisation),
        total=total,
        panic_threshold=_chosen("panic-threshold-percentage", given, config) / 100,
        max_scale_up_rate=config["max-scale-up-rate"],
        max_scale_down_rate=config["max-scale-down-rate"],
        target_burst_capacity=_chosen("target-burst-capacity", given, config),
        stable_window_s=stable_ns // SECOND_NS,
        panic_window_s=panic_window_s(stable_ns, _chosen("panic-window-percentage", given, config)),
        scale_down_delay_s=_chosen("scale-down-delay", given, config) // SECOND_NS,
        activation_scale=given.get("activation-scale", 0),
        reachable=reachable,
        aggregation="weighted-exponential" if _is_weighted(given) else "linear",
        min_scale=_chosen("min-scale", given, config) if reachable else 0,
        max_scale=_chosen("max-scale", given, config),
        initial_scale=_chosen("initial-scale", given, config),
        enable_scale_to_zero=config["enable-scale-to-zero"],
        scale_to_zero_grace_period_s=config["scale-to-zero-grace-period"] / SECOND_NS,
        scale_to_zero_pod_retention_period_s=_chosen("scale-to-zero-pod-retention-period", given, config) / SECOND_NS,
        progress_deadline_s=_progress_deadline_s(annotations),
    )
    return Resolved(options, metric, config["activator-capacity"])


def _chosen(name: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    return given.get(name, config[name])


def _is_weighted(given: Mapping[str, Any]) -> bool:
    return given.get("metric-aggregation-algorithm") in {"weighted-exponential", "weightedExponential"}


def _total(
    config: Mapping[str, Any], given: Mapping[str, Any], metric: Metric, container_concurrency: int
) -> tuple[float, float]:
    """Give the requests that one replica can have, and the part of them that it should have."""
    if metric == "rps":
        total, utilisation = config["requests-per-second-target-default"], RPS_UTILISATION
        limit = 0
    else:
        total = float(container_concurrency or config["container-concurrency-target-default"])
        utilisation = config["container-concurrency-target-percentage"]
        limit = container_concurrency
    if "target" in given:
        total = min(given["target"], limit) if limit else given["target"]
    if "target-utilization-percentage" in given:
        utilisation = given["target-utilization-percentage"] / 100
    return total, utilisation


def panic_window_s(stable_ns: int, percentage: float) -> int:
    """Give the panic window: that part of the stable one, to the nearest second (half up), at least one."""
    return max(1, (int(stable_ns * percentage / 100) + SECOND_NS // 2) // SECOND_NS)


def _progress_deadline_s(annotations: Mapping[str, str]) -> float:
    if PROGRESS_DEADLINE not in annotations:
        return DEFAULT_PROGRESS_DEADLINE_S
    ns: int = _POSITIVE_TIME.value(PROGRESS_DEADLINE, annotations[PROGRESS_DEADLINE])
    return ns / SECOND_NS
