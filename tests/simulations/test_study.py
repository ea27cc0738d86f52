"""The arguments and results of `simulate` and `compare` in a REPL."""

import pkgutil
from pathlib import Path

import pytest

import autoscaler
import simulations
from autoscaler.documents.document import DocumentError
from autoscaler.policy.loading import read_policies
from simulations import compare, read_scenario, simulate

DEMO = Path(simulations.__file__).parent / "demo.yaml"
POLICY = Path(autoscaler.__file__).parent / "demo/policy.yaml"


def test_a_scenario_may_be_a_path_in_text():
    assert simulate(str(DEMO)).estimates == simulate(DEMO).estimates


@pytest.mark.parametrize("run", [simulate, compare])
@pytest.mark.parametrize(
    ("argument", "value", "legal"),
    [
        ("replications", 0, "must be a whole number of at least 1"),
        ("replications", -1, "must be a whole number of at least 1"),
        ("replications", 1.5, "must be a whole number of at least 1"),
        ("workers", 0, "must be a whole number of at least 1"),
        ("engine", "xyz", "must be '' or 'reference'"),
    ],
)
def test_an_argument_that_is_not_legal_is_named_with_its_value(run, argument, value, legal):
    with pytest.raises(ValueError, match="must be") as raised:
        run(DEMO, **{argument: value})
    assert str(raised.value) == f"{argument}: {value!r}: {legal}"


def test_demo_names_the_scenario_of_the_demo_as_on_the_command_line():
    assert simulate("demo").estimates == simulate(DEMO).estimates
    assert read_scenario("demo").metadata.name == "reference-load"


def test_a_policy_may_be_the_path_of_its_file():
    (policy,) = read_policies([POLICY])
    expected = simulate(DEMO, policy).estimates
    for given in (POLICY, str(POLICY)):
        assert simulate(DEMO, given).estimates == expected
        (result,) = compare(DEMO, [given])
        assert (result.policy, result.estimates) == (policy, expected)


def test_something_that_is_no_policy_is_named_with_what_is_legal():
    with pytest.raises(TypeError, match=r"^7: must be a ScalingPolicy, a Candidate, or the path of a file$"):
        simulate(DEMO, 7)
    with pytest.raises(TypeError, match=r"^7: must be a ScalingPolicy, a Candidate, or the path of a file$"):
        compare(DEMO, [7])
    with pytest.raises(TypeError, match=r"^candidates: 'policy\.yaml': must be a list$"):
        compare(DEMO, "policy.yaml")


def test_a_file_of_several_policies_is_named_with_their_number(tmp_path):
    text = POLICY.read_text()
    (tmp_path / "two.yaml").write_text(f"{text}---\n{text.replace('knative-sd-demo', 'other')}")
    with pytest.raises(DocumentError, match=r"two\.yaml: has 2 policies; use compare$"):
        simulate(DEMO, tmp_path / "two.yaml")


def test_a_policy_file_that_is_missing_is_named_with_its_place_in_the_scenario(tmp_path):
    text = DEMO.read_text().replace("../autoscaler/demo/policy.yaml", "nope.yaml")
    line = 1 + text[: text.index("nope.yaml")].count("\n")
    (tmp_path / "base.yaml").write_text(text)
    with pytest.raises(DocumentError) as raised:
        simulate(tmp_path / "base.yaml")
    (problem,) = raised.value.problems
    assert problem.startswith(f"{tmp_path}/base.yaml:{line}: spec.policies[0].file: nope.yaml: cannot be read: ")


def test_a_path_in_text_without_a_file_is_named(tmp_path):
    with pytest.raises(DocumentError, match=r"missing\.yaml: cannot be read"):
        simulate(str(tmp_path / "missing.yaml"))


def test_a_result_is_one_short_line():
    (result,) = compare(DEMO, replications=2)
    assert len(repr(result)) < 120
    assert "reference-load by knative-sd-demo: 2 runs, served 50, " in repr(result)
    assert "\n" not in repr(result)


def test_the_history_of_a_run_is_one_short_line():
    history = simulate(DEMO).history
    assert repr(history).startswith(f"<History of 328 s: 50 requests, 5 replicas, {len(history.decisions)} decisions, ")


def test_no_room_has_the_name_of_what_a_notebook_imports():
    """A room that is imported becomes an attribute of the package, and would stand in the place of the function."""
    rooms = {module.name for module in pkgutil.iter_modules(simulations.__path__)}
    assert rooms.isdisjoint(simulations.__all__)
