"""The command line: what it imports, what it answers, and with which exit status."""

import os
import subprocess
import sys
from importlib.metadata import version
from textwrap import indent
from typing import ClassVar

import pytest

from autoscaler import cli
from autoscaler.cli import main

SCENARIO = """\
apiVersion: inflight.dev/v1alpha1
kind: Scenario
metadata: {name: lunch}
spec:
  workloads:
    - poisson: {rate: 0.1}
  fleet:
    pools: [{name: gpu}]
  run: {duration: 30m}
"""
POLICY = """\
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: sd}
spec:
  scaleTargetRef: {name: sd}
"""


BUDGET = """\
apiVersion: inflight.dev/v1alpha1
kind: GpuBudget
metadata: {name: shared}
spec: {gpus: 4}
"""


class FakeCommand:
    """A command that is loaded like a real one."""

    EXIT_STATUS: ClassVar = {0: "done", 3: "half done"}

    def __init__(self, name, loaded, run=lambda _arguments: 0, load=None):
        self.name = name
        self._loaded = loaded
        self._load = load
        self.__doc__ = f"Do {name}.\n\nAnd more."
        self.run = run

    def load(self):
        self._loaded.append(self.name)
        if self._load:
            self._load()
        return self

    @staticmethod
    def add_arguments(parser):
        parser.add_argument("--loud", action="store_true")


@pytest.fixture
def installed(monkeypatch):
    """Replace the commands that are installed; gives the names of those that were loaded."""
    loaded = []

    def install(**commands):
        made = [FakeCommand(name, loaded, **options) for name, options in commands.items()]
        monkeypatch.setattr(cli, "entry_points", lambda group: made if group == "autoscaler.commands" else [])
        return loaded

    return install


def exit_status(*words):
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return caught.value.code


def raising(error):
    def run(*_):
        raise error

    return run


# Which command.


def test_a_command_that_finds_out_late_what_it_lacks_says_so(installed, capsys):
    installed(first={"run": raising(ModuleNotFoundError("No module named 'numpy'"))})
    assert main(["first"]) == 2
    assert capsys.readouterr().err == "autoscaler: first cannot be run here: No module named 'numpy'\n"


@pytest.mark.parametrize(("command", "extra"), [("first", "sim"), ("demo", "demo")])
def test_a_command_names_the_extra_that_brings_what_it_lacks_its_own_if_it_has_one(installed, capsys, command, extra):
    installed(**{command: {"run": raising(ModuleNotFoundError("No module named 'numpy'", name="numpy.random"))}})
    assert main([command]) == 2
    assert capsys.readouterr().err.endswith(f"; install it by: pip install 'inflight-autoscaler[{extra}]'\n")


def test_only_the_command_that_is_asked_for_is_imported(installed):
    loaded = installed(first={}, second={})
    assert main(["second", "--loud"]) == 0
    assert loaded == ["second"]


def test_the_exit_status_is_the_commands_own(installed):
    installed(first={"run": lambda arguments: 7 if arguments.loud else 3})
    assert main(["first", "--loud"]) == 7
    assert main(["first"]) == 3


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_command_with_the_first_line_that_it_says_of_itself(installed, capsys, words):
    installed(first={}, second={})
    assert exit_status(*words) == (0 if words else 2)
    printed = capsys.readouterr()
    assert ("Do first." in printed.out) == bool(words)
    assert "COMMAND" in printed.out + printed.err


def test_help_of_a_command_says_all_of_it_and_imports_no_other(installed, capsys):
    loaded = installed(first={}, second={})
    assert exit_status("first", "--help") == 0
    assert "And more." in capsys.readouterr().out
    assert loaded == ["first"]


def test_an_unknown_command_is_told_which_there_are_and_none_is_imported(installed, capsys):
    loaded = installed(first={}, second={})
    assert exit_status("third") == 2
    told = capsys.readouterr().err
    assert "invalid choice: 'third'" in told
    assert "first" in told
    assert "second" in told
    assert loaded == []


def test_the_version_is_that_of_the_package_and_imports_no_command(installed, capsys):
    loaded = installed(first={})
    assert exit_status("--version") == 0
    assert capsys.readouterr().out == f"autoscaler {version('inflight-autoscaler')}\n"
    assert loaded == []


def test_a_command_whose_packages_are_not_installed_is_told_as_such_and_spoils_no_help(installed, capsys):
    missing = raising(ModuleNotFoundError("No module named 'numpy'"))
    installed(first={}, second={"load": missing})
    assert exit_status("second") == 2
    assert "second cannot be run here: No module named 'numpy'" in capsys.readouterr().err
    assert exit_status("--help") == 0
    shown = capsys.readouterr().out
    assert "(second cannot be run here: No module named 'numpy')" in shown
    assert "Do first." in shown


# Ctrl-C.


def test_ctrl_c_ends_with_130(installed):
    installed(first={"run": raising(KeyboardInterrupt())})
    assert main(["first"]) == 130


def test_an_output_that_nobody_reads_to_its_end_ends_the_command_without_a_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "autoscaler", "schema"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_ctrl_c_during_the_imports_ends_with_130_too(installed):
    installed(first={"load": raising(KeyboardInterrupt())})
    assert main(["first"]) == 130


# The real ones.


def test_every_command_of_this_package_can_be_loaded_and_says_what_it_does():
    found = cli.entry_points(group="autoscaler.commands")
    assert {"demo", "gateway", "simulate", "validate"} <= {entry.name for entry in found}
    for entry in found:
        assert (entry.load().__doc__ or "").strip(), entry.name


def test_validating_imports_neither_a_server_nor_an_array(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    script = (
        "import sys; from autoscaler.cli import main; main(['validate', sys.argv[1]]); "
        "print(sorted({'aiohttp', 'numpy', 'kubernetes_asyncio', 'prometheus_client'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "policy.yaml")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == "default/sd: valid\n[]\n"


def test_validate_prints_each_policy_that_is_valid(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(POLICY)
    (tmp_path / "b.yaml").write_text(POLICY.replace("{name: sd}\nspec", "{name: llm, namespace: gpu}\nspec"))
    assert main(["validate", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]) == 0
    assert capsys.readouterr() == ("default/sd: valid\ngpu/llm: valid\n", "")


def test_validate_checks_a_budget_beside_policies(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(f"{POLICY}---\n{BUDGET}")
    assert main(["validate", str(tmp_path / "a.yaml")]) == 0
    assert capsys.readouterr().out == "default/sd: valid\nGpuBudget shared: valid\n"
    (tmp_path / "a.yaml").write_text(f"{POLICY}---\n{BUDGET.replace('gpus', 'gpu')}")
    assert main(["validate", str(tmp_path / "a.yaml")]) == 2
    assert "a.yaml:10: spec.gpu: unknown key; legal here: gpus, costPerHour" in capsys.readouterr().err


def test_validate_prints_every_problem_and_no_policy_where_there_is_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(POLICY)
    (tmp_path / "b.yaml").write_text(POLICY + "  maxReplicas: 0\n  mode: on\n")
    assert main(["validate", "a.yaml", "b.yaml", "none.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "b.yaml:6: spec.maxReplicas: 0: must be 1 to 10000",
        "b.yaml:7: spec.mode: \"on\": must be 'Active' or 'DryRun'",
        "none.yaml: cannot be read: [Errno 2] No such file or directory: 'none.yaml'",
    ]


def test_validate_checks_a_scenario_with_the_files_that_it_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "scenario.yaml").write_text(f"{SCENARIO}  policies: [{{file: policy.yaml}}]\n---\n{POLICY}")
    assert main(["validate", "scenario.yaml"]) == 0
    assert capsys.readouterr() == ("default/sd: valid\nScenario lunch: valid\n", "")


def test_validate_prints_what_is_wrong_with_a_scenario_and_with_a_policy_beside_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY + "  maxReplicas: 0\n")
    (tmp_path / "typed.yaml").write_text(f"{SCENARIO}  polices: []\n")
    (tmp_path / "broken.yaml").write_text(f"{SCENARIO}  policies: [{{file: none.yaml}}]\n")
    assert main(["validate", "typed.yaml", "policy.yaml", "broken.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    missing = "cannot be read: [Errno 2] No such file or directory: 'none.yaml'"
    assert [line.partition(": unknown key")[0] for line in err.splitlines()] == [
        "policy.yaml:6: spec.maxReplicas: 0: must be 1 to 10000",
        "typed.yaml:10: spec.polices",
        f"broken.yaml:10: spec.policies[0].file: none.yaml: {missing}",
    ]


SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: sd}\n"


def test_validate_skips_and_names_files_without_a_policy_beside_one_with_a_policy(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "service.yaml").write_text(SERVICE)
    assert main(["validate", "service.yaml", "policy.yaml"]) == 0
    skipped = "service.yaml:2: a Service is no ScalingPolicy and is left out\nservice.yaml: has no ScalingPolicy\n"
    assert capsys.readouterr() == (f"default/sd: valid\n{skipped}", "")


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: sd}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: GRACE
      containers: [{name: sd}]
"""


@pytest.mark.parametrize(("grace", "warned"), [("30", True), ("300", False), ("soon", False), ("null", True)])
def test_validate_warns_of_pods_that_are_killed_before_a_request_can_end(tmp_path, capsys, monkeypatch, grace, warned):
    monkeypatch.chdir(tmp_path)
    traffic = "  traffic: {hosts: [a.example.com]}\n"
    (tmp_path / "all.yaml").write_text(f"{DEPLOYMENT.replace('GRACE', grace)}---\n{POLICY}{traffic}")
    assert main(["validate", "all.yaml"]) == 0
    out, err = capsys.readouterr()
    warning = "all.yaml:7: GracePeriodTooShort: default/sd: a pod that leaves is killed after 30 s, and a request may"
    assert (warning in out, err) == (warned, "")


def test_validate_names_what_it_skips_also_if_a_policy_is_invalid(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.yaml").write_text(f"{SERVICE}---\n{POLICY}  maxReplicas: 0\n")
    assert main(["validate", "all.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == "all.yaml:2: a Service is no ScalingPolicy and is left out\n"
    assert err == "all.yaml:10: spec.maxReplicas: 0: must be 1 to 10000\n"


@pytest.mark.parametrize("command", ["validate", "explain-policy"])
@pytest.mark.parametrize(("text", "problem"), [(SERVICE, "has no ScalingPolicy"), ("", "has no document")])
def test_a_file_without_a_policy_is_an_error_if_it_is_the_only_one(tmp_path, capsys, command, text, problem):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert main([command, str(path)]) == 2
    assert capsys.readouterr().err.endswith(f"{path}: {problem}\n")


def test_explain_policy_names_the_documents_that_it_skips(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.yaml").write_text(f"{SERVICE}---\n{POLICY}")
    assert main(["explain-policy", "all.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "kind: ScalingPolicy" in out
    assert err == "all.yaml:2: a Service is no ScalingPolicy and is left out\n"


def test_validate_accepts_the_empty_list_that_kubectl_prints_if_it_finds_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.yaml").write_text("apiVersion: v1\nitems: []\nkind: List\nmetadata: {resourceVersion: ''}\n")
    assert main(["validate", "all.yaml"]) == 0
    assert capsys.readouterr() == ("all.yaml:3: the List is empty\nall.yaml: has no ScalingPolicy\n", "")


def test_validate_says_what_the_items_of_a_list_must_be(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.yaml").write_text("apiVersion: v1\nkind: List\nitems: 5\n")
    assert main(["validate", "all.yaml"]) == 2
    assert capsys.readouterr().err == "all.yaml:3: items: 5: must be a list of documents\n"


def test_validate_names_all_kinds_at_a_misspelled_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(SCENARIO.replace("kind: Scenario", "kind: Scenaro"))
    assert main(["validate", "a.yaml"]) == 2
    told = "a.yaml:2: kind: \"Scenaro\": must be 'ScalingPolicy' or 'GpuBudget' or 'Scenario' or 'Sweep'\n"
    assert capsys.readouterr().err == told


def test_simulate_reads_a_list_with_one_scenario_as_validate_does(tmp_path, capsys):
    scenario = indent(f"{SCENARIO}  policies:\n    - policy:\n{indent(POLICY, ' ' * 8)}", "  ")
    path = tmp_path / "list.yaml"
    path.write_text(f"apiVersion: v1\nkind: List\nitems:\n-\n{scenario}")
    assert main(["validate", str(path)]) == 0
    assert main(["simulate", str(path)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("option", "value", "legal"),
    [
        ("--keep-alive", "5", "must be a duration such as 30s, 10m or 1h30m"),
        ("--memory-limit", "5x", "must be an amount of memory such as 512Mi or 1Gi"),
    ],
)
def test_the_gateway_says_what_an_option_may_be(capsys, option, value, legal):
    assert exit_status("gateway", "--port=0", "--metrics-port=0", option, value) == 2
    assert f"argument {option}: invalid value '{value}': {legal}" in capsys.readouterr().err


def test_validate_without_a_file_says_what_it_needs(capsys):
    assert exit_status("validate") == 2
    assert "FILE" in capsys.readouterr().err
