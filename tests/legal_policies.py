"""Any legal policy, and anything that may be observed of a service: for whoever promises something of all of them.

`legal_policies()` is drawn from the schema of the document itself, so that a new field is drawn as soon as it exists:
each number at its ends and between them, each choice, each text that its pattern allows, present or left out.
"""

import copy
import re
from functools import cache

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from algorithms.observation import Observation
from autoscaler.documents.fields import (
    DURATION_PATTERN,
    PERCENT_PATTERN,
    RULES,
    format_duration,
    parse_duration,
    parse_percent,
)
from autoscaler.documents.prometheus_address import PATTERN as SERVER_PATTERN
from autoscaler.policy.candidates import Candidate
from autoscaler.policy.decider_factory import ALGORITHMS
from autoscaler.policy.hpa_keda import QUANTITY_PATTERN
from autoscaler.policy.schedule.cron import PATTERN as CRON_PATTERN
from autoscaler.policy.schedule.windows import ZONE_PATTERN
from autoscaler.policy.schema import structural_model
from autoscaler.policy.spec import API_VERSION, PolicySpec, ScalingPolicy

_SPEC = structural_model(PolicySpec)
_TEXTS = {
    SERVER_PATTERN: st.sampled_from(["http://prometheus:9090", "https://p.example.com/a"]),
    QUANTITY_PATTERN: st.sampled_from(["0", "0.05", "50m", "999.999999999", "999999.999999m", "0.000001m", "3"]),
}
_LABEL_KEYS = st.sampled_from(["gpu", "example.com/gpu", "a/B_c.d", "node.kubernetes.io/instance-type"])
_NODE_REQUIREMENTS = [
    {"key": "gpu", "operator": "In", "values": ["p100", ""]},
    {"key": "example.com/gpu", "operator": "NotIn", "values": ["p4"]},
    {"key": "gpu", "operator": "Exists"},
    {"key": "gpu", "operator": "DoesNotExist", "values": []},
    {"key": "gpu-memory", "operator": "Gt", "values": ["16"]},
]
_TEXTS |= {
    ZONE_PATTERN: st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo"]),
    f"^({CRON_PATTERN})$": st.sampled_from(
        ["0 0 * * *", "30 2 * * *", "* * * * *", "*/20 9-17 * * MON-FRI", "59 23 29 2 *", "0 22 1,15 JAN-MAR 0"]
    ),
}
_ANNOTATIONS = st.dictionaries(
    st.sampled_from([f"autoscaling.keda.sh/{name}" for name in ("paused", "paused-replicas", "force-activation")]),
    st.sampled_from(["true", "false", "", "7", "99999", "9" * 5000, "٣", "-1"]),
    max_size=2,
)


def legal_policies(algorithm=None, *, least_fields=False):
    """Draw any policy that can be written.

    Args:
        algorithm: the name of the algorithm; None is any.
        least_fields: leave traffic, metrics and candidates out, for what is not concerned by them.
    """
    return _drawn_policies(algorithm, least_fields)


@st.composite
def _drawn_policies(draw, algorithm, least_fields):
    spec, annotations = draw(_specs(algorithm, least_fields)), draw(_ANNOTATIONS)
    # Drawn apart: a candidate has all algorithms once more, and most policies have none.
    candidates = [] if least_fields else draw(st.just([]) | st.lists(_candidates(), max_size=2))
    return _policy(spec, candidates, annotations)


@cache
def _specs(algorithm, least_fields):
    schema = _SPEC
    if algorithm is not None:
        choices = _SPEC["properties"]["algorithm"]
        only = {**choices, "properties": {algorithm: choices["properties"][algorithm]}}
        schema = {"properties": {**_SPEC["properties"], "algorithm": only}, "required": ["algorithm"]}
    left_out = {"backends", "scaleTargetRef", "candidates", *(("traffic", "metrics") if least_fields else ())}
    properties = {key: inner for key, inner in schema["properties"].items() if key not in left_out}
    return _objects({**schema, "properties": properties})


@cache
def _candidates():
    return _objects(_SPEC["properties"]["candidates"]["items"])


def _policy(spec, candidates, annotations):
    """Make a policy of it; what contradicts itself across fields is mended where that is easy, and else not drawn."""
    spec = {"scaleTargetRef": {"name": "web"}, **spec}
    _mend(spec)
    if candidates:
        spec["candidates"] = [_mended(candidate, number, spec) for number, candidate in enumerate(candidates)]
    document = {
        "apiVersion": API_VERSION,
        "kind": "ScalingPolicy",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": spec,
    }
    try:
        return ScalingPolicy.model_validate(document)
    except ValidationError as error:
        assume(_contradicts(error))
        raise


OF_CANDIDATES = {to_camel(name) for name in Candidate.model_fields}
"""What a candidate may change. Pools are the policy's own, whatever would suit the candidate better."""


def _mended(candidate, number, spec):
    """Mend what a candidate makes of the spec, and give it all that it changes then."""
    changes = {key: value for key, value in candidate.items() if key != "name"}
    if "pools" in spec:
        changes = {
            key: value for key, value in changes.items() if key not in {"minReplicas", "maxReplicas", "schedule"}
        }
    whole = copy.deepcopy({**spec, **changes})
    _mend(whole)
    if "standby" in spec:
        whole.setdefault("standby", 0)
    changed = {
        key: value
        for key, value in whole.items()
        if key in OF_CANDIDATES and (key in changes or value != spec.get(key))
    }
    return {"name": f"c-{number}", **(changed or {"maxCold": 3})}


def _mend(spec):
    low, high = spec.get("minReplicas", 0), spec.get("maxReplicas", 10)
    spec |= {"minReplicas": min(low, high), "maxReplicas": max(low, high)} if low > high else {}
    if (limit := spec.get("containerConcurrency", 1)) and spec.get("targetPerReplica", 0) > limit:
        spec["targetPerReplica"] = limit
    if "traffic" in spec:
        spec.get("metrics", {}).get("prometheus", {}).pop("podQuery", None)
    _mend_knative(spec.get("algorithm", {}).get("kpa"), spec)
    keda = spec.get("algorithm", {}).get("keda", {})
    if keda.get("idleReplicaCount", -1) >= spec.get("minReplicas", 0):
        del keda["idleReplicaCount"]
    _mend_schedule(spec)
    _mend_pools(spec)
    _mend_hints(spec)
    _mend_turns(spec.get("traffic", {}))


def _contradicts(error):
    """Tell whether a document was refused for a rule across fields, which no draw of single ones can keep."""
    rules = [each for each in error.errors() if each["type"] == "value_error" and isinstance(each["input"], dict)]
    assert rules == error.errors(), "the schema allows it where it stands, and the model does not"
    return False


def _mend_pools(spec):
    """Give pools names and bounds that fit, and either all a target of their own or none."""
    pools = spec.get("pools", [])
    own_targets = bool(pools) and all("scaleTargetRef" in pool for pool in pools)
    if own_targets:
        spec.pop("scaleTargetRef", None)
    for number, pool in enumerate(pools):
        _mend_pool(pool, number, own_target=own_targets)
    windows = spec.get("schedule", ())
    least = max([spec.get("minReplicas", 0), *(window.get("minReplicas", 0) for window in windows)])
    most = min([spec.get("maxReplicas", 10), *(window.get("maxReplicas", 10_000) for window in windows)])
    if pools and sum(pool.get("maxReplicas", 10_000) for pool in pools) < least:
        del pools[0]["maxReplicas"]
    if sum(pool.get("minReplicas", 0) for pool in pools) > most:
        for pool in pools:
            pool.pop("minReplicas", None)


def _mend_pool(pool, number, *, own_target):
    pool["name"] = f"pool-{number}"
    for key in ("nodeSelector", "affinity", "instanceTypes") if own_target else ("scaleTargetRef",):
        pool.pop(key, None)
    if own_target:
        pool["scaleTargetRef"] = {"name": f"web-{number}"}
    low, high = pool.get("minReplicas", 0), pool.get("maxReplicas", 10_000)
    if low > high:
        pool.update(minReplicas=high, maxReplicas=low)


def _mend_hints(spec):
    """Let only policies announce requests that have our algorithms and a gateway, and pages only where they may."""
    if {"kpa", "hpa", "keda"} & spec.get("algorithm", {}).keys():
        spec.pop("hints", None)
    if "hints" in spec:
        spec.setdefault("traffic", {"hosts": ["web.example.com"]})
        spec.get("metrics", {}).get("prometheus", {}).pop("podQuery", None)
        return
    for each in spec.get("traffic", {}).get("paths", ()):
        each.pop("hint", None)


def _mend_turns(traffic):
    """Give classes names of their own, conditions to all but one, and shares that are not more than the whole."""
    for number, each in enumerate(traffic.get("priority", {}).get("classes", ())):
        each["name"] = f"class-{number}"
        each["match"] = [match or {"hosts": ["*"]} for match in each.get("match", [{}])]
        if number == 1:
            del each["match"]
        if parse_percent(each.get("share", "0%")) > 0.25:
            each["share"] = "25%"
    fairness = traffic.get("fairness", {})
    if fairness.get("by") == "address":
        fairness.pop("name", None)
    elif fairness:
        fairness.setdefault("name", "id")


def _mend_knative(kpa, spec):
    if kpa is None:
        return
    high = spec.get("maxReplicas", 10)
    low = kpa["minScale"] = min(kpa.get("minScale", spec.get("minReplicas", 0)), high)
    if 0 < kpa.get("maxScale", high) < low:
        kpa["maxScale"] = low
    if "activationScale" in kpa:
        most = kpa.get("maxScale", high) or 2**31 - 1
        kpa["activationScale"] = max(min(kpa["activationScale"], most), low)
        if kpa["activationScale"] < 2:
            del kpa["activationScale"]
    if kpa.get("initialScale") == 0:
        kpa["allowZeroInitialScale"] = True


def _mend_schedule(spec):
    """Give each window a name of its own and bounds that fit; the algorithms of others keep the policy's minimum."""
    low, high = spec.get("minReplicas", 0), spec.get("maxReplicas", 10)
    others = {"kpa", "hpa", "keda"} & spec.get("algorithm", {}).keys()
    low = spec.get("algorithm", {}).get("kpa", {}).get("minScale", low)
    for number, window in enumerate(spec.get("schedule", ())):
        window["name"] = f"w-{number}"
        if not {"minReplicas", "maxReplicas"} & window.keys():
            window["minReplicas"] = low
        if others and "minReplicas" in window:
            window["minReplicas"] = max(window["minReplicas"], low)
        most = window.get("maxReplicas", high)
        if window.get("minReplicas", spec.get("minReplicas", 0)) > most:
            window["maxReplicas"] = window.get("minReplicas", spec.get("minReplicas", 0))
        if window["start"] == window["end"]:
            window["end"] = "15 4 * * *"
    if others:
        spec.pop("standby", None)
        spec.get("scaleUp", {}).pop("worthAStart", None)


def _values(schema):
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _KINDS[schema["type"]](schema)


def _lists(schema):
    least = schema.get("minItems", 0)
    return st.lists(_values(schema["items"]), min_size=least, max_size=min(least + 2, schema.get("maxItems", 9)))


def _ends(schema):
    """Give the least and the most that a number may be."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None:  # said in a rule: 0 to so much, or exactly -1
        (high,) = re.findall(r"<= ([0-9.]+)", schema[RULES][0]["rule"])
        low, high = 0, float(high)
    assert high is not None, f"a number without an end: {schema}"
    if schema.get("exclusiveMinimum"):
        low += 1e-9
    return [low, high]


def _between(schema, numbers):
    low, high = _ends(schema)
    return st.sampled_from([low, high]) | numbers(low, min(low + 20, high)) | numbers(low, high)


def _texts(schema):
    pattern = schema.get("pattern")
    if pattern == DURATION_PATTERN:
        return _durations(schema)
    if pattern == PERCENT_PATTERN:
        low, high = (float(each) for each in re.findall(r"[<>]= ([0-9.]+)", schema[RULES][0]["rule"]))
        return st.builds("{:g}%".format, st.sampled_from([low, high]) | st.floats(low, high).map(lambda x: round(x, 3)))
    if pattern in _TEXTS:
        return _TEXTS[pattern]
    if pattern is None:
        return st.text("abc(){}_ ", min_size=schema.get("minLength", 0), max_size=20)
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True).filter(lambda text: len(text) <= 20)


def _durations(schema):
    rules = " && ".join(each["rule"] for each in schema[RULES])
    low_s, high_s = map(parse_duration, re.findall(r"duration\('([^']*)'\)", rules)[:2])
    inner = st.floats(low_s, high_s).map(lambda number: round(number, 3))
    if "getSeconds" in rules:
        inner = st.integers(int(low_s), int(high_s)).map(float)
    return (st.sampled_from([low_s, high_s]) | inner).map(format_duration)


def _objects(schema):
    if "additionalProperties" in schema:
        return st.dictionaries(_LABEL_KEYS, _values(schema["additionalProperties"]), max_size=2)
    if schema.get("properties", {}).keys() == {"key", "operator", "values"}:
        return st.sampled_from(_NODE_REQUIREMENTS)
    fields = {key: _values(inner) for key, inner in schema.get("properties", {}).items()}
    if "mpa" in fields or (fields.keys() <= set(ALGORITHMS) and fields):  # exactly one of them
        return st.one_of([value.map(lambda chosen, key=key: {key: chosen}) for key, value in fields.items()])
    required = {key: fields.pop(key) for key in schema.get("required", ()) if key in fields}
    return st.fixed_dictionaries(required, optional=fields)


_KINDS = {
    "array": _lists,
    "boolean": lambda _: st.booleans(),
    "integer": lambda schema: _between(schema, st.integers),
    "number": lambda schema: _between(schema, st.floats),
    "object": _objects,
    "string": _texts,
}

NUMBERS = [
    0.0,
    0.4,
    1.0,
    7.0,
    1e4,
    2.0**53,
    1e16,
    2.0**63,
    1e303,
    1e308,
    1.7e308,
    float("inf"),
    float("nan"),
    -1.0,
    -1e308,
]
"""Counts that somebody may tell us."""
REPLICAS = [0, 1, 3, 10_000, 2**31 - 1, 2**31, 2**63]
_COUNTS = st.none() | st.sampled_from(NUMBERS) | st.floats(0, 50)
_GAPS_S = st.sampled_from([2.0, 2.0, 2.0, 0.0, 0.1, 15.0, 90.0, 3600.0, 86_400.0, 1e9, -1.0, -3600.0, -1e9])


@st.composite
def observations(draw, *, longest=12):
    """Draw looks at one service in the order in which they are taken, by a clock that may jump to and fro."""
    now_s, drawn = draw(st.sampled_from([0.0, 1.7e9, 4e9])), []
    for _ in range(draw(st.integers(1, longest))):
        gap_s = draw(_GAPS_S)
        since_s, now_s = draw(st.sampled_from([now_s, now_s, now_s - 1e9, now_s + 5.0])), now_s + gap_s
        asked = draw(st.sampled_from(REPLICAS))
        drawn.append(
            Observation(
                now_s,
                since_s,
                draw(_COUNTS),
                asked,
                draw(st.sampled_from([0, asked, asked // 2, 2**31])),
                draw(_COUNTS.map(lambda count: count or 0.0)),
                draw(st.sampled_from([0, 0, 1, 2**40, -3])),
                draw(st.sampled_from(["", "", "Prometheus has series of 1 of 2 gateways"])),
            )
        )
    return drawn
