"""The document's model as a whole: defaults, derived values, and that it survives being written and read again."""

from pathlib import Path
from typing import Annotated

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from autoscaler.documents.document import read_text
from autoscaler.documents.fields import format_duration, format_percent
from autoscaler.policy.loading import read_policies, validated
from autoscaler.policy.metrics import Metrics, Prometheus
from autoscaler.policy.spec import API_VERSION, GROUP, ScalingPolicy
from autoscaler.testing import policy, policy_document

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
DEMO = Path(__file__).parents[3] / "autoscaler" / "demo" / "policy.yaml"


def dumped(model):
    return model.model_dump(mode="json", exclude_none=True)


def all_models(model=ScalingPolicy):
    found = {model}
    for field in model.model_fields.values():
        for part in models_in(field.annotation):
            found |= all_models(part)
    return found


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


# The examples.


def test_the_reference_service_is_spelled_out_in_full():
    (example,) = read_policies([EXAMPLES / "stable-diffusion" / "policy.yaml"])
    written = yaml.safe_load((EXAMPLES / "stable-diffusion" / "policy.yaml").read_text())
    (demo,) = read_policies([DEMO])
    all_that_could_be_said = dumped(example)["spec"]
    all_that_could_be_said["traffic"]["paths"] = example_paths = written["spec"]["traffic"]["paths"]
    del all_that_could_be_said["spillAfter"]  # of a service with pools
    assert set(written["spec"]) == set(all_that_could_be_said)
    assert {rule["class"] for rule in example_paths} == {"Count", "Pass"}
    assert example.service == demo.service == "default/knative-sd-demo"
    assert example.spec.traffic == demo.spec.traffic
    assert example.spec.algorithm == demo.spec.algorithm


def test_the_minimal_example_leaves_everything_else_to_its_default():
    (example,) = read_policies([EXAMPLES / "minimal.yaml"])
    assert example.service == "default/my-model"
    assert (example.spec.min_replicas, example.spec.max_replicas, example.spec.mode) == (0, 10, "Active")
    assert example.spec.algorithm == policy().spec.algorithm
    assert example.spec.traffic.queue.max_length == 100


# Defaults.


@pytest.mark.parametrize(
    "model", sorted(all_models(), key=lambda model: model.__name__), ids=lambda model: model.__name__
)
def test_every_default_is_a_legal_value_of_its_own_field(model):
    for name, field in model.model_fields.items():
        if field.is_required() or (default := field.get_default(call_default_factory=True)) is None:
            continue
        adapter = TypeAdapter(field.annotation if not field.metadata else _annotated(field))
        written = adapter.dump_python(default, mode="json")
        read = adapter.validate_python(tuple(written) if isinstance(default, tuple) else written, strict=True)
        assert read == default, f"{model.__name__}.{name}"


def _annotated(field):
    return Annotated[(field.annotation, *field.metadata)]


def test_the_default_algorithm_is_our_own_with_all_its_safety():
    chosen = policy().spec.algorithm
    assert dumped(chosen) == {
        "concurrency": {
            "stableWindow": "1m",
            "panicWindow": "10%",
            "panicThreshold": "200%",
            "maxScaleUpRate": 1000.0,
            "maxScaleDownRate": 2.0,
            "safety": {"fromZero": True, "goodTime": True, "partialCount": True, "firstWindow": True},
        }
    }


def test_every_model_says_what_it_means():
    silent = [model.__name__ for model in all_models() if not (model.__doc__ or "").strip()]
    assert silent == []


# What is derived.


@pytest.mark.parametrize(
    ("spec", "target"),
    [
        ({}, 1.0),
        ({"containerConcurrency": 4, "targetUtilization": "70%"}, 2.8),
        ({"containerConcurrency": 0}, 100.0),
        ({"containerConcurrency": 0, "targetUtilization": "50%"}, 50.0),
        ({"containerConcurrency": 0, "targetPerReplica": 150}, 150.0),
        ({"containerConcurrency": 8, "targetPerReplica": 2.5, "targetUtilization": "80%"}, 2.0),
        ({"targetPerReplica": 0.01, "targetUtilization": "1%"}, 0.01),
    ],
)
def test_the_target_is_what_is_given_per_replica_or_the_limit_times_utilisation(spec, target):
    assert policy(**spec).spec.target == pytest.approx(target)


@pytest.mark.parametrize(
    ("kpa", "spec", "expected"),
    [
        ({}, {"containerConcurrency": 0, "targetPerReplica": 150}, (105.0, 150.0)),
        ({"target": 10}, {"containerConcurrency": 0, "targetPerReplica": 150}, (7.0, 10.0)),
        ({}, {"containerConcurrency": 0}, (70.0, 100.0)),
        ({}, {"containerConcurrency": 8, "targetPerReplica": 4}, (2.8, 4.0)),
    ],
)
def test_knatives_target_is_its_own_or_that_of_the_policy(kpa, spec, expected):
    options = policy(algorithm={"kpa": kpa}, targetUtilization="70%", **spec).spec.kpa_options()
    assert (options.target, options.total) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("hpa", "bounds"),
    [
        ({}, (1, False)),
        ({"kubernetes": "1.36"}, (1, False)),
        ({"kubernetes": "1.37"}, (0, True)),
        ({"kubernetes": "1.37", "scaleToZero": False}, (1, False)),
        ({"scaleToZero": True}, (0, True)),
    ],
)
def test_since_kubernetes_1_37_an_hpa_scales_to_zero_unless_the_gate_is_off(hpa, bounds):
    spec = policy(algorithm={"hpa": hpa}).spec
    options = spec.algorithm.hpa.options(spec.bounds)
    assert (options.min_replicas, options.scale_to_zero) == bounds


def test_a_policy_is_known_by_namespace_and_name():
    assert policy().service == "default/sd"
    elsewhere = policy_document("gpu/sd")
    assert ScalingPolicy.model_validate(elsewhere).service == "gpu/sd"


@pytest.mark.parametrize(
    ("settings", "series"),
    [
        ({}, "inflight_requests"),
        ({"query": 'sum by (namespace, service) (x{job="a,b"})'}, 'x{job="a,b"}'),
        ({"query": " sum  by(namespace,service)( x:y ) "}, "x:y"),
        ({"query": "max(a) by (namespace, service)", "series": "a"}, "a"),
        ({"query": "sum by (namespace, service) (a)", "series": "b"}, "b"),
    ],
)
def test_the_raw_series_is_read_from_the_query_or_named(settings, series):
    assert Prometheus.model_validate(settings).raw_series() == series


@pytest.mark.parametrize(
    "query",
    [
        "sum by (namespace, service) (rate(x[1m]))",
        "sum by (service, namespace) (x)",
        "sum by (namespace, service) (x) + 1",
        "sum by (namespace, service) (x or y)",
        "up",
        "",
    ],
)
def test_a_query_behind_which_no_series_can_be_seen_needs_it_named(query):
    with pytest.raises(ValueError, match="needs `series` beside it"):
        Prometheus.model_validate({"query": query})


@pytest.mark.parametrize(
    "series",
    [
        'label_replace(vllm, "service", "$1", "model_name", "(.*)")',
        *("(up)", "up + 0", "up or down", "up offset 5m", "up[5m]", "up @ 0", "-up", "sum(up)", "up # of all", "1", ""),
        *(
            "{}",
            "up{",
            "up{a}",
            "up{a=b}",
            'up{a="b" c="d"}',
            "up}",
            'up{a="\\."}',
            "up{a='b\nc'}",
            "up{,}",
            "this is not",
        ),
    ],
)
def test_a_series_is_a_selector_and_nothing_else(series):
    with pytest.raises(ValueError, match="must be a selector such as name"):
        Prometheus.model_validate({"query": "max by (namespace, service) (a)", "series": series})


def test_metrics_may_be_left_out():
    assert policy().spec.metrics == Metrics()
    assert policy().spec.metrics.prometheus is None


def test_the_group_stands_in_the_version():
    assert API_VERSION.partition("/")[0] == GROUP


# What is written can be read.


def durations(low_s, high_s):
    return st.integers(low_s, high_s).map(float).map(format_duration)


def percentages(low, high):
    return st.integers(low, high).map(lambda number: format_percent(number / 100))


BOUNDS = st.tuples(st.integers(0, 50), st.integers(1, 50)).map(sorted)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "stabilizationWindowSeconds": st.integers(0, 3600),
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
        "tolerance": st.sampled_from(["0.05", "50m", "0", "0.000001m", "123456.654321m", "999.999999999"]),
        "policies": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["Pods", "Percent"]),
                    "value": st.integers(1, 1000),
                    "periodSeconds": st.integers(1, 1800),
                }
            ),
            min_size=1,
            max_size=3,
        ),
    },
)
BEHAVIOR = st.fixed_dictionaries({}, optional={"scaleUp": RULES, "scaleDown": RULES})
SAFETY = st.fixed_dictionaries({}, optional=dict.fromkeys(["fromZero", "goodTime"], st.booleans()))
ALGORITHMS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "stableWindow": durations(6, 3600),
            "panicWindow": percentages(1, 100),
            "panicThreshold": percentages(110, 1000),
            "maxScaleUpRate": st.floats(1.01, 1000),
            "safety": SAFETY,
        },
    ).map(lambda settings: {"concurrency": settings}),
    st.fixed_dictionaries(
        {}, optional={"window": durations(6, 3600), "scaleDownDelay": durations(0, 3600), "target": st.floats(1, 50)}
    ).map(lambda settings: {"kpa": settings}),
    st.fixed_dictionaries(
        {},
        optional={"behavior": BEHAVIOR, "kubernetes": st.sampled_from(["1.36", "1.37"]), "scaleToZero": st.booleans()},
    ).map(lambda settings: {"hpa": settings}),
    st.fixed_dictionaries({}, optional={"cooldownPeriod": durations(0, 3600), "behavior": BEHAVIOR}).map(
        lambda settings: {"keda": settings}
    ),
    st.just({"mpa": {}}),
)
TRAFFIC = st.fixed_dictionaries(
    {"hosts": st.lists(st.sampled_from(["a.example.com", "*.example.com"]), min_size=1, max_size=2)},
    optional={
        "port": st.integers(1, 65535),
        "requestTimeout": durations(1, 86400),
        "queue": st.fixed_dictionaries({}, optional={"maxLength": st.integers(0, 1000), "timeout": durations(1, 600)}),
        "affinity": st.fixed_dictionaries({}, optional={"whenBusy": st.sampled_from(["Wait", "Spill"])}),
        "paths": st.lists(
            st.fixed_dictionaries(
                {"match": st.just(["/a/*"]), "class": st.sampled_from(["Count", "Pass"])},
                optional={"wake": st.booleans(), "maxPerPod": st.integers(1, 10_000)},
            ),
            max_size=2,
        ),
    },
)


@st.composite
def specs(draw):
    low, high = draw(BOUNDS)
    rest = st.fixed_dictionaries(
        {},
        optional={
            "algorithm": ALGORITHMS,
            "containerConcurrency": st.integers(0, 1000),
            "targetPerReplica": st.floats(0.01, 1),
            "targetUtilization": percentages(1, 100),
            "scaleDown": st.fixed_dictionaries({}, optional={"delay": durations(0, 3600)}),
            "traffic": TRAFFIC,
            "mode": st.sampled_from(["Active", "DryRun"]),
        },
    )
    return {"minReplicas": low, "maxReplicas": high} | draw(rest)


@given(specs())
def test_a_policy_survives_being_written_and_read_again(spec):
    once = policy(**spec)
    text = yaml.safe_dump(dumped(once))
    (read,) = read_text(text, "a.yaml")
    assert validated(read, ScalingPolicy) == once


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, (0, 10)),
        ({"minReplicas": 2, "maxReplicas": 4}, (2, 4)),
        ({"algorithm": {"kpa": {}}}, (0, 10)),
        ({"algorithm": {"kpa": {"minScale": 1, "maxScale": 3}}}, (1, 3)),
        ({"algorithm": {"kpa": {"maxScale": 0}}, "maxReplicas": 5}, (0, 5)),
        ({"algorithm": {"kpa": {"maxScale": 20}}}, (0, 10)),
    ],
)
def test_the_range_in_force_has_the_defaults_and_is_never_wider_than_the_policys_maximum(spec, expected):
    assert policy(**spec).spec.replica_range(0.0) == expected
