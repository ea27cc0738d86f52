"""Knative's own settings: what they resolve to, and how a refusal reads; recorded cases are in tests/conformance."""

import re

import pytest

from autoscaler.policy.knative_settings import ANNOTATIONS, CONFIG_MAP, PREFIX, SettingError, resolve


def resolved(annotations=(), config_map=(), container_concurrency=1, reachability=""):
    return resolve(
        dict(config_map),
        {PREFIX + name: value for name, value in dict(annotations).items()},
        container_concurrency=container_concurrency,
        reachability=reachability,
    )


def options(annotations=(), config_map=(), **given):
    return resolved(annotations, config_map, **given).options


def test_by_default_one_request_on_one_slot_asks_for_two_replicas():
    found = options()
    assert (found.total, found.target) == (1.0, 0.7)
    assert (found.stable_window_s, found.panic_window_s, found.panic_threshold) == (60, 6, 2.0)
    assert (found.initial_scale, found.min_scale, found.max_scale) == (1, 0, 0)
    assert found.progress_deadline_s == 600.0


def test_without_a_concurrency_limit_a_hundred_requests_stand_for_it():
    assert options(container_concurrency=0).target == 70.0


def test_the_smaller_of_target_and_limit_counts():
    assert options({"target": "3"}, container_concurrency=10).total == 3.0
    assert options({"target": "30"}, container_concurrency=10).total == 10.0
    assert options({"target": "30"}, container_concurrency=0).total == 30.0


def test_the_limit_is_no_matter_to_requests_per_second():
    found = resolved({"metric": "rps", "target": "30"}, container_concurrency=10)
    assert found.metric == "rps"
    assert (found.options.total, found.options.target) == (30.0, 21.0)
    assert options({"metric": "rps"}, {"container-concurrency-target-percentage": "50"}).target == 140.0


def test_a_target_is_never_below_a_hundredth():
    assert options({"target": "0.01"}).target == 0.01


@pytest.mark.parametrize(("percentage", "target"), [("1", 1.0), ("1.5", 0.015), ("0.5", 0.5), ("100", 1.0)])
def test_percentages_up_to_one_in_the_config_map_are_fractions(percentage, target):
    assert options(config_map={"container-concurrency-target-percentage": percentage}).target == target


def test_an_annotation_wins_over_the_config_map():
    config_map = {"stable-window": "2m", "min-scale": "2", "target-burst-capacity": "0"}
    found = options({"window": "90s", "min-scale": "0", "target-burst-capacity": "10"}, config_map)
    assert (found.stable_window_s, found.min_scale, found.target_burst_capacity) == (90, 0, 10.0)


def test_the_first_spelling_wins():
    assert options({"minScale": "3"}).min_scale == 3
    assert options({"minScale": "3", "min-scale": "1"}).min_scale == 1
    assert options({"minScale": "never read", "min-scale": "1"}).min_scale == 1


@pytest.mark.parametrize("name", ["activationScale"])
def test_what_never_had_a_second_spelling_is_passed_over(name):
    assert options({name: "5"}).activation_scale == 0


def test_keys_that_mean_nothing_to_the_autoscaler_are_passed_over():
    assert options({"something-else": "x"}, {"_example": "stable-window: 1s"}) == options()


def test_an_unreachable_revision_has_no_lowest_scale():
    assert options({"min-scale": "3"}, reachability="Unreachable").min_scale == 0
    assert options({"min-scale": "3"}, reachability="Reachable").min_scale == 3


@pytest.mark.parametrize(
    ("window", "percentage", "panic_s"), [("45s", "10", 5), ("44s", "10", 4), ("6s", "1", 1), ("6s", "100", 6)]
)
def test_the_panic_window_is_rounded_half_up_and_at_least_a_second(window, percentage, panic_s):
    assert options({"window": window, "panic-window-percentage": percentage}).panic_window_s == panic_s


@pytest.mark.parametrize(
    ("word", "aggregation"),
    [
        ("", "linear"),
        ("linear", "linear"),
        ("weighted-exponential", "weighted-exponential"),
        ("weightedExponential", "weighted-exponential"),
    ],
)
def test_the_kind_of_average_is_chosen_by_its_name(word, aggregation):
    assert options({"metric-aggregation-algorithm": word}).aggregation == aggregation


def test_replicas_are_not_scraped_where_the_activator_sees_all():
    assert resolved().scraped
    assert not resolved({"target-burst-capacity": "-1"}).scraped


def test_the_progress_deadline_has_a_prefix_of_its_own():
    annotations = {"serving.knative.dev/progress-deadline": "2m"}
    assert resolve({}, annotations, container_concurrency=1).options.progress_deadline_s == 120.0
    with pytest.raises(
        SettingError, match=r"serving\.knative\.dev/progress-deadline is '0s': must be a duration above"
    ):
        resolve({}, {"serving.knative.dev/progress-deadline": "0s"}, container_concurrency=1)


EDGES = {
    "target": (["0.01"], ["0.009", "abc", ""]),
    "target-utilization-percentage": (["1", "100"], ["0.99", "100.1"]),
    "target-burst-capacity": (["0", "-1", "1e6"], ["-0.5", "-1.5"]),
    "window": (["6s", "1h"], ["5s", "3601s", "6500ms", "10"]),
    "panic-window-percentage": (["1", "100"], ["0.99", "101"]),
    "panic-threshold-percentage": (["110", "1000"], ["109", "1001"]),
    "min-scale": (["0", "2147483647"], ["-1", "2147483648", "1.0"]),
    "max-scale": (["0", "2147483647"], ["-1", "x"]),
    "initial-scale": (["1", "7"], ["0", "-1", "x"]),
    "activation-scale": (["2"], ["1", "0", "-3", "z"]),
    "scale-down-delay": (["0s", "1h"], ["-1s", "3601s", "2500ms"]),
    "scale-to-zero-pod-retention-period": (["0s", "1h", "1500ms"], ["-1s", "61m"]),
    "metric-aggregation-algorithm": (["linear"], ["median"]),
    "metric": (["concurrency", "rps"], ["cpu", ""]),
    "class": (["kpa.autoscaling.knative.dev"], ["hpa.autoscaling.knative.dev"]),
}

CONFIG_EDGES = {
    "container-concurrency-target-percentage": (["0.1", "100"], ["0", "-1", "100.1", "0.0000001"]),
    "container-concurrency-target-default": (["0.02"], ["0.01", "-1"]),
    "requests-per-second-target-default": (["0.01"], ["0.001"]),
    "target-burst-capacity": (["0", "-1"], ["-2"]),
    "stable-window": (["6s", "1h"], ["5s", "61m", "6500ms"]),
    "panic-window-percentage": (["1", "100"], ["0.9", "100.5"]),
    "panic-threshold-percentage": (["0", "50", "-5"], ["x"]),
    "max-scale-up-rate": (["1.01"], ["1", "0.5"]),
    "max-scale-down-rate": (["1.01"], ["1"]),
    "enable-scale-to-zero": (["true", "F"], ["yes"]),
    "scale-to-zero-grace-period": (["1ns"], ["0s", "-1s"]),
    "scale-to-zero-pod-retention-period": (["0s", "1500ms", "100h"], ["-1s"]),
    "scale-down-delay": (["0s", "100h"], ["-1s", "1500ms"]),
    "allow-zero-initial-scale": (["false"], ["no"]),
    "initial-scale": (["1"], ["0", "-1"]),
    "min-scale": (["0", "9"], ["-1"]),
    "max-scale": (["0", "9"], ["-1"]),
    "max-scale-limit": (["0"], ["-1", "5"]),
    "activator-capacity": (["1"], ["0.9"]),
}


def test_the_edges_of_every_setting_are_tested():
    assert set(EDGES) == set(ANNOTATIONS)
    assert set(CONFIG_EDGES) == set(CONFIG_MAP)


def sides(edges, legal):
    return [(key, value) for key, both in edges.items() for value in both[0 if legal else 1]]


@pytest.mark.parametrize(("name", "value"), sides(EDGES, legal=True))
def test_a_legal_annotation_is_accepted(name, value):
    assert resolved({name: value}).options.stable_window_s >= 6


@pytest.mark.parametrize(("name", "value"), sides(EDGES, legal=False))
def test_an_illegal_annotation_is_refused_by_its_name_and_value(name, value):
    with pytest.raises(SettingError) as refused:
        resolved({name: value})
    number = re.escape(value)
    assert re.fullmatch(rf"{PREFIX}{name} is '?{number}'?: must be .+", str(refused.value))


@pytest.mark.parametrize(("key", "value"), sides(CONFIG_EDGES, legal=True))
def test_a_legal_key_is_accepted(key, value):
    assert resolved(config_map={key: value}).options.stable_window_s >= 6


@pytest.mark.parametrize(("key", "value"), sides(CONFIG_EDGES, legal=False))
def test_an_illegal_key_is_refused(key, value):
    with pytest.raises(SettingError, match="must be"):
        resolved(config_map={key: value})


@pytest.mark.parametrize(
    ("annotations", "config_map", "message"),
    [
        ({"min-scale": "3", "max-scale": "2"}, {}, "min-scale is 3: must be at most 2, the max-scale"),
        ({"activation-scale": "4", "min-scale": "5"}, {}, "activation-scale is 4: must be within"),
        ({"activation-scale": "4", "max-scale": "3"}, {}, "activation-scale is 4: must be within"),
        ({"max-scale": "0"}, {"max-scale": "3", "max-scale-limit": "5"}, "max-scale is 0: must be 1 to 5"),
        ({"max-scale": "6"}, {"max-scale": "3", "max-scale-limit": "5"}, "max-scale is 6: must be 1 to 5"),
        ({}, {"max-scale": "6", "max-scale-limit": "5"}, "max-scale is 6: must be 1 to 5"),
        ({}, {"min-scale": "3", "max-scale": "2"}, "min-scale is 3: must be at most 2"),
        ({"initial-scale": "0"}, {}, "initial-scale is 0: must be at least 1 unless the cluster"),
    ],
)
def test_scales_that_contradict_each_other_are_refused(annotations, config_map, message):
    with pytest.raises(SettingError, match=message):
        resolved(annotations, config_map)


def test_scales_of_the_config_map_do_not_bind_the_annotations():
    found = options({"min-scale": "5", "activation-scale": "9"}, {"max-scale": "3"})
    assert (found.min_scale, found.max_scale, found.activation_scale) == (5, 3, 9)


def test_an_initial_scale_of_zero_needs_leave():
    allowed = {"allow-zero-initial-scale": "true", "initial-scale": "0"}
    assert options(config_map=allowed).initial_scale == 0
    assert options({"initial-scale": "0"}, {"allow-zero-initial-scale": "true"}).initial_scale == 0
