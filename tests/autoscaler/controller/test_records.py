"""A decision's record: as JSON it comes back as it was, and in words it tells before, after and why."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.observation import ColdStart, Observation, PoolState
from algorithms.types import Average, Decision, Reason, Recommendation
from autoscaler.controller.records import explained, from_json, to_json
from autoscaler.documents.document import DocumentError
from autoscaler.ports import Outcome, Record

SECONDS = st.floats(0, 2e9)
COUNTS = st.floats(0, 1e6)
NUMBERS = st.integers(0, 10_000)
POOLS = st.builds(PoolState, st.text(), NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.text())
OBSERVATIONS = st.builds(
    Observation,
    SECONDS,
    SECONDS,
    st.none() | COUNTS,
    NUMBERS,
    NUMBERS,
    COUNTS,
    NUMBERS,
    st.text(),
    st.lists(POOLS, max_size=2).map(tuple),
    st.none() | COUNTS,
    st.none() | COUNTS,
    st.none() | NUMBERS,
    NUMBERS,
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.none() | SECONDS,
    st.lists(st.builds(ColdStart, SECONDS, st.text()), max_size=2).map(tuple),
    COUNTS,
    SECONDS,
)
AVERAGES = st.builds(Average, st.text(), COUNTS, SECONDS, SECONDS)
REASONS = st.builds(Reason, st.text(), NUMBERS, NUMBERS, st.text())
DRAINS = st.lists(REASONS, max_size=2).map(tuple)
DECISIONS = st.builds(
    Decision,
    NUMBERS,
    st.builds(
        Recommendation,
        st.none() | NUMBERS,
        st.text(),
        st.lists(AVERAGES, max_size=2).map(tuple),
        st.none() | st.floats(0.1, 1e6),
        st.booleans(),
    ),
    st.lists(REASONS, max_size=3).map(tuple),
    st.lists(st.text(), max_size=3).map(tuple),
)

RECOMMENDED = Recommendation(3, "3 in flight / 1", (Average("latest", 3.0, 0.0, 0.0),), 1.0)


@st.composite
def records(draw):
    service = draw(st.text())
    outcome = draw(st.none() | st.builds(Outcome, st.just(service), st.text(), DRAINS))
    unwritten = draw(st.sampled_from(["unchanged", "dryRun", "standby"])) if outcome is None else ""
    return Record(service, draw(OBSERVATIONS), draw(DECISIONS), outcome, unwritten)


def record(outcome=None, *, reasons=(), desired=3, recommendation=RECOMMENDED):
    observation = Observation(1002.0, 1000.0, 3.0, 1, 1, latest=3.0, passing=2, queued=2.0, running=1.0, starting=0)
    decision = Decision(desired, recommendation, tuple(reasons), ("maxReplicas",))
    return Record("default/sd", observation, decision, outcome)


@given(records())
def test_a_record_survives_being_written_and_read_again(made):
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


def test_the_json_has_everything_by_name():
    made = record(Outcome("default/sd", "HTTP 403"), reasons=[Reason("minReplicas", 3, 4, "at least 4")], desired=4)
    assert to_json(made) == {
        "version": 2,
        "service": "default/sd",
        "observation": {
            "now_s": 1002.0,
            "since_s": 1000.0,
            "inflight": 3.0,
            "replicas": 1,
            "ready": 1,
            "latest": 3.0,
            "passing": 2,
            "problem": "",
            "queued": 2.0,
            "running": 1.0,
            "starting": 0,
            "unplaced": 0,
        },
        "recommendation": {
            "replicas": 3,
            "why": "3 in flight / 1",
            "averages": [{"name": "latest", "value": 3.0, "over_s": 0.0, "known_s": 0.0}],
            "per_replica": 1.0,
            "panic": False,
        },
        "reasons": [{"rule": "minReplicas", "before": 3, "after": 4, "why": "at least 4"}],
        "desired": 4,
        "written": False,
        "error": "HTTP 403",
        "drain": [],
        "unchanged": ["maxReplicas"],
        "unwritten": "",
    }


def drained(after):
    return Outcome("default/sd", drain=(Reason("podsBusy", 3, after, "p became busy"),))


@pytest.mark.parametrize(
    ("outcome", "written"),
    [
        (None, None),
        (Outcome("default/sd"), True),
        (Outcome("default/sd", "gone"), False),
        (drained(2), True),
        (drained(1), False),
    ],
)
def test_written_tells_apart_nothing_to_write_and_written_and_refused(outcome, written):
    assert to_json(record(outcome))["written"] is written


@pytest.mark.parametrize(
    "change",
    [
        {"observation": None},
        {"observation": {"now_s": 1.0}},
        {"observation": {"unknown": 1}},
        {"recommendation": {}},
        {"reasons": [{}]},
        {"reasons": None},
        {"reasons": [[]]},
        {"service": ...},
        {"desired": ...},
        {"written": ...},
    ],
)
def test_what_is_no_record_is_refused(change):
    line = {**to_json(record(Outcome("default/sd"))), **change}
    line = {key: value for key, value in line.items() if value is not ...}
    with pytest.raises(DocumentError):
        from_json(line)


NO_COUNT = f"must be 0 to {2**63}"


@pytest.mark.parametrize(
    ("part", "key", "value", "problem"),
    [
        ("", "desired", "x", 'desired: "x": must be a valid integer'),
        ("", "desired", None, "desired: must be a valid integer"),
        ("", "desired", -1, f"desired: -1: {NO_COUNT}"),
        ("", "written", "yes", 'written: "yes": must be a valid boolean'),
        ("", "other", 1, "other: unknown key; legal here: service, observation, recommendation, reasons, desired"),
        ("observation", "ready", "x", 'observation.ready: "x": must be a valid integer'),
        ("observation", "ready", True, "observation.ready: true: must be a valid integer"),
        ("observation", "inflight", -3, "observation.inflight: -3: must be 0 to 9007199254740992.0"),
        ("observation", "passing", ..., "observation.passing: is required"),
        ("observation", "now_s", math.nan, "observation.now_s: NaN: must be a finite number"),
        ("observation", "now_s", 1e300, "observation.now_s: 1e+300: must be -62135596800.0 to 253402300799.0"),
        ("recommendation", "replicas", 1.5, "recommendation.replicas: 1.5: must be a valid integer"),
    ],
)
def test_a_wrong_value_of_a_record_is_refused_with_its_key_and_what_is_legal(part, key, value, problem):
    line = to_json(record(Outcome("default/sd")))
    (line[part] if part else line)[key] = value
    if value is ...:
        del line[part][key]
    with pytest.raises(DocumentError, match=re.escape(f"record:1: {problem}")):
        from_json(line)


def test_a_record_of_version_1_is_read_under_its_own_names():
    made = to_json(record(reasons=[Reason("recall", 1, 3, "what was before the start is being asked for")]))
    old = {"look": made.pop("observation"), "wish": made.pop("recommendation"), **made}
    del old["version"]
    now = from_json(old)
    assert (now.observation, now.decision.recommendation) == (record().observation, RECOMMENDED)
    assert [reason.rule for reason in now.decision.reasons] == ["backfill"]


def test_a_record_of_a_later_version_is_refused():
    with pytest.raises(ValueError, match="version: 3 is not known; legal are 2"):
        from_json(to_json(record()) | {"version": 3})


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (record(), "default/sd: 1 -> 3; 3 in flight / 1"),
        (
            record(reasons=[Reason("a", 3, 4, "because"), Reason("b", 4, 2, "but")], desired=2),
            "default/sd: 1 -> 2; 3 in flight / 1; a: 3 -> 4, because; b: 4 -> 2, but",
        ),
        (record(Outcome("default/sd")), "default/sd: 1 -> 3; 3 in flight / 1"),
        (
            record(Outcome("default/sd", "HTTP 403")),
            "default/sd: 1 -> 3 (not written: HTTP 403); 3 in flight / 1",
        ),
        (
            record(desired=1, recommendation=Recommendation(None, "no gateway is known")),
            "default/sd: 1 -> 1; no gateway is known",
        ),
        (record(recommendation=Recommendation(3, "")), "default/sd: 1 -> 3; "),
    ],
)
def test_in_words_it_tells_before_and_after_and_why(made, text):
    assert explained(made) == text
