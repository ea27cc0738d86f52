"""A log decides again as it was decided, and answers what another policy would have done."""

import io
import json
import re
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.observation import Observation
from autoscaler.commands import replay as command
from autoscaler.controller.budgets import Budgets
from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.replay import Replay, summarised
from autoscaler.controller.services import PolicyEntry, ServiceRegistry
from autoscaler.controller.step import step
from autoscaler.documents.document import DocumentError
from autoscaler.ports import Fleet, Outcome, Override, Record
from autoscaler.testing import budget, policy

SERVICE = "default/sd"


def mpa_policy(**spec):
    return policy(**{"algorithm": {"mpa": {}}} | spec)


class StreamedCounts:
    """One service that is scaled at once, second by second, and logged."""

    def __init__(self, **spec):
        self.file = io.StringIO()
        self.log = DecisionLog(self.file)
        self.registry = ServiceRegistry(on_policy=self._begin)
        self.registry.put(PolicyEntry(mpa_policy(**spec)))
        self.replicas = 0
        self.now_s = 1000.0

    def _begin(self, policy, follows):
        self.log.begin(policy.service, policy.model_dump(mode="json", exclude_unset=True), follows.export)

    def see(self, *counts, hold=None):
        for count in counts:
            self.now_s += 1
            observation = Observation(
                self.now_s,
                self.now_s - 1,
                count,
                self.replicas,
                self.replicas,
                problem="" if count is not None else "silence",
            )
            (taken,) = step(self.registry.services, {SERVICE: (observation, Fleet(self.replicas, (), hold))})
            outcome = Outcome(SERVICE) if taken.request else None
            self.replicas = taken.decision.desired
            self.log(Record(SERVICE, observation, taken.decision, outcome))

    def lines(self):
        return [json.loads(line) for line in self.file.getvalue().splitlines()]


@pytest.fixture
def live():
    return StreamedCounts(scaleDown={"toZeroDelay": "3s"})


def test_by_its_own_policies_a_log_gives_the_same_decisions(live):
    live.see(0.0, 3.0, 5.0, None, 2.0, 0.0, 0.0)
    live.registry.put(PolicyEntry(mpa_policy(scaleDown={"toZeroDelay": "1s"}, maxReplicas=4)))
    live.see(0.0, 0.0, 6.0)

    replayed = list(Replay().lines(live.lines()))
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]
    assert [each.decision.desired for each in replayed] == [0, 3, 5, 5, 2, 1, 1, 0, 0, 4]


def test_each_line_of_a_log_states_its_version(live):
    live.see(3.0, 5.0)
    assert [line["version"] for line in live.lines()] == [2, 2, 2]


def test_a_log_that_begins_in_the_middle_has_what_was_known_then(live):
    live.see(4.0, 0.0, 0.0)
    continued = io.StringIO()
    live.log, live.file = DecisionLog(continued), continued
    live._begin(mpa_policy(scaleDown={"toZeroDelay": "3s"}), live.registry.services[SERVICE].decider)
    live.see(0.0, 0.0)
    assert not any(each.differs for each in Replay().lines(live.lines()))


def test_what_stood_above_the_policy_stands_above_it_again(live):
    live.see(3.0)
    live.see(5.0, hold=Override("foreignWriter", 9999.0, "somebody"))
    live.see(5.0)
    replayed = list(Replay().lines(live.lines()))
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]
    assert [each.decision.desired for each in replayed] == [3, 3, 5]


def test_another_policy_decides_on_the_same_requests_and_on_what_it_asked_for_itself(live):
    live.see(5.0, 5.0, 0.0, 0.0, 0.0, 0.0)
    turns, summary = summarised(
        Replay([mpa_policy(maxReplicas=2, scaleDown={"toZeroDelay": "0s"})]).lines(live.lines())
    )
    pairs = [(each.recorded.decision.desired, each.decision.desired) for each in turns]
    assert pairs == [(5, 2), (1, 0), (0, 0)]
    assert summary == (6, 5, 5 + 5 + 1 + 1 + 1, 2 + 2)


def test_a_service_without_any_policy_is_refused(live):
    live.see(1.0)
    with pytest.raises(DocumentError, match="log:1: service: the log names no policy of default/sd"):
        list(Replay().lines(live.lines()[1:]))


@pytest.fixture
def replay(live, tmp_path, capsys):
    """Replay what was lived, by the command; gives exit status and output."""

    def run(*policies, log=None):
        file = tmp_path / "decisions.jsonl"
        log = live.file.getvalue() if log is None else log
        file.write_bytes(log if isinstance(log, bytes) else log.encode())
        status = command.run(type("Arguments", (), {"log": file, "policy": list(policies)})())
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def test_the_command_says_that_nothing_differs(live, replay):
    live.see(5.0, 0.0)
    assert replay() == (0, "2 decisions, 0 of them differ; replica-seconds asked for: 5 recorded, 5 now\n")


def test_the_command_shows_differences_as_a_table(live, replay, tmp_path):
    live.see(5.0, 5.0)
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(mpa_policy(maxReplicas=2).model_dump(mode="json", exclude_unset=True)))
    status, told = replay(other)
    head, row, _summary = told.splitlines()
    assert status == 0
    assert head.split() == ["time", "service", "in", "flight", "ready", "recorded", "now", "why"]
    assert row.split()[:6] == ["00:16:41.00", SERVICE, "5", "0", "5", "2"]
    assert row.endswith("maxReplicas: at most 2")


def test_a_difference_by_its_own_policies_is_a_failure(live, replay):
    live.see(5.0)
    status, told = replay(log=live.file.getvalue().replace('"desired":5', '"desired":4'))
    assert status == 1
    assert "1 of them differ" in told


def test_a_log_that_breaks_off_is_read_up_to_there(live, replay):
    live.see(5.0, 0.0)
    assert replay(log=live.file.getvalue()[:-20])[1].startswith("1 decisions, 0")


def test_a_last_line_that_is_not_whole_is_left_out_with_a_note(live, replay):
    live.see(5.0, 0.0)
    status, told = replay(log=live.file.getvalue()[:-20])
    assert status == 0
    assert told.endswith("decisions.jsonl:3: the last line is not whole and is left out\n")


def test_a_whole_last_line_without_its_end_is_read(live, replay):
    live.see(5.0, 0.0)
    assert replay(log=live.file.getvalue()[:-1]) == replay()


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ("", "decisions.jsonl: is empty"),
        ("hello", "decisions.jsonl:1: not a line of a decision log: JSON is malformed"),
        ('{"runs": []}', "decisions.jsonl:1: runs: unknown key; legal here: service, observation"),
        (b"\x1f\x8b\x08\n\x00", "decisions.jsonl:1: not a line of a decision log: JSON is malformed"),
    ],
)
def test_a_file_that_is_no_log_is_refused(replay, log, problem):
    status, told = replay(log=log)
    assert status == 2
    assert problem in told


def test_a_policy_of_a_service_that_is_not_in_the_log_is_refused(live, replay, tmp_path):
    live.see(5.0)
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(policy("default/web").model_dump(mode="json", exclude_unset=True)))
    problem = "--policy: default/web: not in the log; the services of the log are: default/sd"
    assert replay(other) == (2, f"replay: {problem}\n")


MAPPING = "must be a mapping with keys such as: service, observation, recommendation, reasons, desired"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "not a line of a decision log: JSON is malformed"),
        ("", "not a line of a decision log: Input data was truncated"),
        (b'{"service": "\xff"}', "not a line of a decision log: "),
        ("[" * 100_000, "not a line of a decision log: "),
        ("{}", "service: is required"),
        ("[]", f"document: []: {MAPPING}"),
        ("[1]", f"document: [1]: {MAPPING}"),
        ("5", f"document: 5: {MAPPING}"),
        ('{"version": 3, "service": "a"}', "version: 3 is not known; legal are 2, and none at all for version 1"),
        ('{"version": 3, "policy": {}}', "version: 3 is not known; legal are 2, and none at all for version 1"),
        ('{"version": 1, "service": "a"}', "version: 1 is not known"),
        ('{"version": null, "service": "a"}', "version: None is not known"),
    ],
)
def test_what_is_no_line_of_a_known_version_is_refused_with_file_and_line(live, replay, line, problem):
    live.see(5.0)
    line = line if isinstance(line, bytes) else line.encode()
    status, told = replay(log=live.file.getvalue().encode() + line + b"\n")
    assert status == 2
    assert f"decisions.jsonl:3: {problem}" in told


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("state", 5, "state: 5: must be a mapping"),
        ("state", {"version": 1, "algorithm": 5}, "state: is not a state of this policy: "),
        ("policy", 5, "policy: 5: must be a mapping with keys such as: "),
        ("service", None, "service: must be a valid string"),
    ],
)
def test_a_wrong_value_of_a_policy_line_is_refused_with_file_line_and_key(live, replay, key, value, problem):
    live.see(5.0)
    first, *rest = live.lines()
    status, told = replay(log="".join(json.dumps(line) + "\n" for line in [first | {key: value}, *rest]))
    assert status == 2
    assert f"decisions.jsonl:1: {problem}" in told


def test_a_policy_of_the_log_that_is_not_legal_is_refused_with_its_key(live, replay):
    live.see(5.0)
    first, *rest = live.lines()
    first["policy"]["spec"]["maxReplicas"] = "x"
    status, told = replay(log="".join(json.dumps(line) + "\n" for line in [first, *rest]))
    assert status == 2
    assert 'decisions.jsonl:1: policy.spec.maxReplicas: "x": must be a valid integer' in told
    assert "http" not in told


RELEASED = (
    (Path(__file__).parents[2] / "data" / "releases" / "0.1.0" / "decisions.jsonl").read_bytes().splitlines()[:12]
)
ODD = st.sampled_from([None, True, 5, -1, 0.5, 1e300, 10**30, "x", "", [], [1], {}, {"a": 1}])


def logged():
    live = StreamedCounts(algorithm={"concurrency": {"stableWindow": "6s"}})
    live.see(2.0, 4.0, None, 0.0)
    return live.file.getvalue().encode().splitlines()


LOGS = st.sampled_from([RELEASED, logged()])


def places(value):
    """Give each mapping or list with each of its keys or numbers, at all depths."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in [(value, key), *places(inner)]]


@st.composite
def broken_lines(draw, line):
    """Draw a line without a key, with another value, cut, or with other bytes."""
    if draw(st.booleans()):
        value = json.loads(line)
        inside, key = draw(st.sampled_from(places(value)))
        if draw(st.booleans()):
            del inside[key]
        else:
            inside[key] = draw(ODD)
        return json.dumps(value).encode()
    at = draw(st.integers(0, len(line)))
    return line[:at] + draw(st.just(b"") | st.binary().map(lambda inserted: inserted + line[at:]))


@given(st.data())
@settings(max_examples=300)
def test_a_log_with_a_broken_line_is_replayed_or_refused_with_file_and_line(tmp_path_factory, data):
    lines = list(data.draw(LOGS))
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = data.draw(broken_lines(lines[number]))
    file = tmp_path_factory.getbasetemp() / "broken.jsonl"
    file.write_bytes(b"\n".join(lines) + data.draw(st.sampled_from([b"", b"\n"])))
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        status = command.run(Namespace(log=file, policy=[]))
    if status == 2:
        assert re.match(rf"replay: {re.escape(str(file))}:\d+: ", err.getvalue())
        assert out.getvalue() == ""
    else:
        assert status in {0, 1}
        assert " decisions, " in out.getvalue()


def test_decisions_of_a_decider_that_failed_are_taken_over_and_those_after_it_are_as_they_were(monkeypatch):
    live = StreamedCounts(algorithm={"concurrency": {"stableWindow": "6s"}})
    live.see(2, 2, 4)
    with monkeypatch.context() as broken:
        broken.setattr("algorithms.concurrency.Concurrency.recommend", None)
        live.see(9, 9)
        live.registry.renew(SERVICE)
        live.see(9)
    live.see(5, 5, 0, 0, *[0] * 60)
    replayed = list(Replay().lines(map(json.loads, live.file.getvalue().splitlines())))
    assert [each.recorded.decision for each in replayed] == [each.decision for each in replayed]
    failed = [
        each for each in replayed if each.decision.reasons[:1] and each.decision.reasons[0].rule == "deciderFailed"
    ]
    assert len(failed) == 3
    assert replayed[-1].decision.desired == 0
    instead = list(Replay([mpa_policy()]).lines(map(json.loads, live.file.getvalue().splitlines())))
    assert [each.decision.desired for each in instead][3:5] == [9, 9], "another policy does not fail"


@pytest.mark.parametrize(("other", "desired"), [({}, 2), ({"maxReplicas": 1}, 1), ({"containerConcurrency": 2}, 2)])
def test_what_a_budget_allowed_is_taken_over_as_a_limit(other, desired):
    log = StreamedCounts()
    budgets = Budgets(log.registry.services, lambda _service: None)
    budgets.set([budget(gpus=2)])
    observation = Observation(1001.0, 1000.0, 4.0, 0, 0)
    (taken,) = step(log.registry.services, {SERVICE: (observation, Fleet(0, ()))}, budgets)
    log.log(Record(SERVICE, observation, taken.decision, None))
    lines = [json.loads(line) for line in log.file.getvalue().splitlines()]
    (replayed,) = Replay([mpa_policy(**other)] if other else ()).lines(lines)
    assert (replayed.recorded.decision.desired, replayed.decision.desired) == (2, desired)
