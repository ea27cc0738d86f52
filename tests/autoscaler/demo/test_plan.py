"""Making the demo faster: every duration is divided once, none goes below its floor, and nothing else changes."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from algorithms.distributions import Constant, parse
from autoscaler.commands.demo import POLICY
from autoscaler.demo.plan import Plan, faster
from autoscaler.documents.fields import DURATION_PATTERN, metadata_of
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.testing import policy

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "stable-diffusion" / "policy.yaml"
RULES = {
    "stabilizationWindowSeconds": 600,
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 60},
        {"type": "Percent", "value": 9, "periodSeconds": 30},
    ],
}
BEHAVIOR = {"scaleUp": RULES, "scaleDown": RULES}
MANAGER = {"syncPeriod": "2m", "downscaleStabilization": "20m"}
ALGORITHMS = {
    "concurrency": {"stableWindow": "20m"},
    "kpa": {
        "window": "20m",
        "scaleDownDelay": "10m",
        "scaleToZeroPodRetentionPeriod": "10m",
        "scaleToZeroGracePeriod": "10m",
        "progressDeadline": "10m",
    },
    "mpa": {},
    "hpa": {"behavior": BEHAVIOR, "controllerManager": MANAGER},
    "keda": {
        "pollingInterval": "2m",
        "cooldownPeriod": "10m",
        "initialCooldownPeriod": "10m",
        "behavior": BEHAVIOR,
        "controllerManager": MANAGER,
    },
}


def policy_of(algorithm, **settings):
    """Every duration there is, long enough that none meets its floor at a tenfold speed."""
    takes_hints = algorithm in {"concurrency", "mpa"}
    return policy(
        algorithm={algorithm: ALGORITHMS[algorithm] | settings},
        scaleDown={"delay": "10m", "toZeroDelay": "10m"},
        metrics={"prometheus": {"maxSampleAge": "10m"}},
        pools=[{"name": "gpu", "coldStart": "10m"}],
        spillAfter="10m",
        **({"hints": {"leadTime": "10m"}} if takes_hints else {}),
        schedule=[
            {
                "name": "day",
                "timeZone": "Europe/Berlin",
                "start": "0 8 * * *",
                "end": "0 18 * * *",
                "minReplicas": 2,
                "leadTime": "10m",
            }
        ],
        traffic={
            "hosts": ["sd.example.com"],
            "queue": {"timeout": "10m", "noneReady": {"timeout": "10m"}, "allBusy": {"timeout": "10m"}},
            "coldStart": {"keepPlace": "5m"},
            "waiting": {"events": {"after": "10m", "every": "10m"}},
            "requestTimeout": "10m",
            "affinity": {"cookie": {"timeout": "10m"}, "spillAfter": "10m"},
            "paths": [{"match": ["/"], "requestTimeout": "10m"} | ({"hint": {"within": "10m"}} if takes_hints else {})],
            "timeouts": {"responseStart": "10m"},
            "cors": {"origins": ["*"], "maxAge": "10m"},
            "warmUp": {"path": "/warm", "timeout": "10m"},
            "busy": {"path": "/queue", "jsonPointers": [""], "interval": "50s", "timeout": "50s"},
        },
    )


def leaves(model, path=()):
    """Give every value of a model that is no model itself: its path, whether it is a duration, and itself."""
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*path, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, here)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for number, item in enumerate(value):
                yield from leaves(item, (*here, number))
        elif value is not None:
            yield here, is_duration(name, field), value


def is_duration(name, field):
    schemas = [getattr(said, "json_schema", None) or {} for said in metadata_of(field)]
    return name.endswith("_seconds") or any(schema.get("pattern") == DURATION_PATTERN for schema in schemas)


def all_durations():
    """Give the paths of every duration that the document knows, by its models alone."""

    def below(model, path):
        for name, field in model.model_fields.items():
            if is_duration(name, field):
                yield (*path, name)
            # A candidate has the models of the policy around it.
            for inner in models_in(field.annotation) if name != "candidates" else ():
                yield from below(inner, (*path, name))

    return set(below(ScalingPolicy, ()))


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def names(path):
    return tuple(part for part in path if isinstance(part, str))


# The policy.


def test_these_policies_have_every_duration_there_is():
    seen = {names(path) for algorithm in ALGORITHMS for path, timed, _ in leaves(policy_of(algorithm)) if timed}
    assert seen == all_durations()


def test_the_durations_of_a_candidate_are_divided_too():
    slow = policy(candidates=[{"name": "a", "algorithm": {"kpa": ALGORITHMS["kpa"]}, "scaleDown": {"delay": "10m"}}])
    (fast,) = faster(Plan(slow), 10.0).policy.spec.candidates
    assert (fast.algorithm.kpa.window, fast.scale_down.delay) == (120.0, 60.0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(max_examples=20)
@given(speed=st.floats(1, 10) | st.integers(1, 10).map(float))
def test_every_duration_is_divided_once_and_nothing_else_changes(algorithm, speed):
    slow = policy_of(algorithm)
    fast = faster(Plan(slow), speed).policy
    before, after = list(leaves(slow)), list(leaves(fast))
    assert [path for path, _, _ in after] == [path for path, _, _ in before]
    for (path, timed, old), (_, _, new) in zip(before, after, strict=True):
        if not timed:
            assert new == old, path
        elif isinstance(old, int) or path[-1] in {"stable_window", "window", "scale_down_delay", "max_age"}:
            assert abs(new - old / speed) <= 0.5, path
            assert new == int(new), path
        else:
            assert new == pytest.approx(old / speed, rel=1e-9, abs=1e-9), path


@settings(max_examples=50)
@given(st.sampled_from(sorted(ALGORITHMS)), st.floats(1, 100), st.floats(1, 100))
def test_twice_is_as_good_as_once(algorithm, first, second):
    # Where numbers are rounded to whole seconds, twice is off by one at most.
    slow = Plan(policy_of(algorithm))
    once, twice = faster(slow, first * second), faster(faster(slow, first), second)
    assert twice.speed == pytest.approx(once.speed)
    assert twice.tick_s == pytest.approx(once.tick_s)
    for (path, timed, left), (_, _, right) in zip(leaves(once.policy), leaves(twice.policy), strict=True):
        assert not timed or abs(left - right) <= 1.0, path


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        ("spec.algorithm.concurrency.stable_window", 6.0),
        ("spec.metrics.prometheus.max_sample_age", 5.0),
        ("spec.traffic.queue.timeout", 1.0),
        ("spec.traffic.request_timeout", 1.0),
        ("spec.traffic.affinity.cookie.timeout", 1.0),
        ("spec.traffic.affinity.spill_after", 0.6),
        ("spec.scale_down.delay", 0.6),
    ],
)
def test_at_a_thousandfold_speed_durations_stop_at_their_floors(path, seconds):
    fast = {".".join(names(p)): value for p, _, value in leaves(faster(Plan(policy_of("concurrency")), 1000.0).policy)}
    assert fast[path] == seconds


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_speed_makes_a_policy_illegal(algorithm):
    for speed in (1.0, 3.7, 100.0, 1e6):
        faster(Plan(policy_of(algorithm)), speed)


def test_what_is_below_its_floor_already_stays_as_it_is():
    short = policy_of("concurrency", stableWindow="6s")
    young = short.model_copy(update={"spec": short.spec.model_copy(update={"metrics": example().spec.metrics})})
    fast = faster(Plan(young), 50.0).policy.spec
    assert fast.algorithm.concurrency.stable_window == 6.0
    assert fast.metrics.prometheus.max_sample_age == 5.0


def example():
    (read,) = read_policies([EXAMPLE])
    return read


def test_the_demos_own_policy_at_its_default_speed():
    (read,) = read_policies([POLICY])
    fast = faster(Plan(read), 10.0).policy.spec
    assert (fast.algorithm.concurrency.stable_window, fast.scale_down.to_zero_delay) == (6.0, 3.0)
    assert (fast.traffic.queue.timeout, fast.traffic.request_timeout) == (60.0, 30.0)


# The rest of the plan.


@given(st.floats(1, 100))
def test_load_and_service_and_cold_start_and_tick_are_divided_and_counts_are_not(speed):
    slow = Plan(policy_of("mpa"), service_time=parse("uniform(10, 30)"), cold_start=Constant(35.0))
    fast = faster(slow, speed)
    assert fast.service_time.expected() == pytest.approx(20.0 / speed)
    assert fast.cold_start.expected() == pytest.approx(35.0 / speed)
    assert (fast.timeout_s, fast.tick_s, fast.speed) == pytest.approx((180.0 / speed, 2.0 / speed, speed))
    assert (fast.requests, fast.workers, fast.seed) == (slow.requests, slow.workers, slow.seed)


def test_no_field_of_a_plan_is_forgotten():
    slow = Plan(policy_of("mpa"))
    fast = faster(slow, 2.0)
    same = {field.name for field in fields(Plan) if getattr(slow, field.name) == getattr(fast, field.name)}
    assert same == {"requests", "workers", "seed"}


def test_real_time_is_a_speed_of_one():
    slow = Plan(policy_of("concurrency"))
    fast = faster(slow, 1.0)
    assert replace(fast, service_time=slow.service_time, cold_start=slow.cold_start) == slow
    assert str(fast.service_time) == str(slow.service_time)
