"""The reference pages and the code name the same metrics, options, variables, exit statuses, annotations and keys."""

import argparse
import ast
import asyncio
import importlib
import json
import re
import socket
import sys
from dataclasses import fields
from importlib.metadata import entry_points
from types import SimpleNamespace

import aiohttp
import pytest
from documentation import DOCS, ROOT, blocks, table
from prometheus_client.parser import text_string_to_metric_families

from algorithms import keda
from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.accounts import StartTimes
from autoscaler.app import roster_lease
from autoscaler.cli import GROUP, main
from autoscaler.controller import recorders
from autoscaler.controller.accounting import Accounting
from autoscaler.controller.metrics import ControllerMetrics
from autoscaler.controller.records import VERSION, from_json
from autoscaler.controller.replay import TAKEN_OVER
from autoscaler.convert.knative import pods
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.error_responses import ERROR_RESPONSES
from autoscaler.kubernetes import namespaces, objects, pool_copy
from autoscaler.policy import annotations
from autoscaler.policy.cost import Prices
from autoscaler.policy.status import LastDecision
from autoscaler.ports import Fleet, Outcome, Record, Replica

METRICS, COMMANDS, ANNOTATIONS, LOG = (
    f"reference/{page}.md" for page in ("metrics", "command-line", "annotations", "decision-log")
)
SERVICE = {"namespace", "service"}
SOURCES = {file: ast.parse(file.read_text()) for file in sorted((ROOT / "autoscaler").rglob("*.py"))}


# Metrics.


def scraped(text):
    """Give each metric of a scrape with its type and its labels, as rows of the page do."""
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, frozenset(labels))
    return found


def documented(heading):
    """Give the same from a chapter of the page."""
    return {
        name.strip("`"): (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, _, labels, _ in table(METRICS, heading, "metric")
    }


@pytest.mark.real_time
async def test_the_gateways_metrics_are_those_of_the_page(tmp_path):
    file = tmp_path / "gateway.yaml"
    head = {"apiVersion": "inflight.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "sd"}}
    classes = [{"name": "first", "match": [{"hosts": ["a.example.com"]}]}, {"name": "others"}]
    traffic = {"hosts": ["sd.example.com"], "priority": {"classes": classes}}
    file.write_text(json.dumps({**head, "spec": {"backends": ["127.0.0.1:1"], "traffic": traffic, "hints": {}}}))
    assert scraped(await scrape_of_a_gateway(file)) == documented("The gateway")


async def scrape_of_a_gateway(file):
    port, metrics_port, peer_port = free_ports(3)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "autoscaler", "gateway", f"--config={file}"),
        *("--name=a", f"--peers=a=127.0.0.1:{peer_port}"),
        *(f"--port={port}", f"--metrics-port={metrics_port}", "--host=127.0.0.1"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
                        text = await answer.text()
                        if "\ngateway_members 1.0\n" in text:  # before, it has no pods
                            return text
                except aiohttp.ClientConnectionError:
                    assert process.returncode is None, (await process.stderr.read()).decode()
                await asyncio.sleep(0.05)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def free_ports(number):
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def test_the_controllers_metrics_are_those_of_the_page():
    metrics = ControllerMetrics()
    observation = Observation(2.0, 1.0, 3.0, replicas=2, ready=1, starting=1)
    decision = Decision(4, Recommendation(4, ""), ())
    outcome = Outcome("default/sd", drain=(Reason("podsBusy", 4, 4, ""),))
    metrics(Record("default/sd", observation, decision, outcome, candidates=(("short", decision),)))
    accounting = Accounting({"default/sd": SimpleNamespace(prices=Prices("EUR", 2.4))}, lambda at_s: at_s, tick_s=2.0)
    started = Replica("a", ready=True, running=0, age_s=1.0, start=StartTimes((("model", 1.0),), 1.0))
    for replicas in ((), (started,), (started,)):
        accounting.saw({"default/sd": (observation, Fleet(1, replicas))})
    pieces = metrics.text(
        {"default/sd"},
        leads=True,
        failures={"Log": 1},
        of_services={("default/sd", "write"): 1},
        accounting=accounting,
    )
    assert scraped(b"".join(pieces).decode()) == documented("The controller")


def test_every_reason_by_which_a_request_ends_stands_in_the_page_and_no_other():
    reasons = {reason.strip("`") for reason, *_ in table(METRICS, "Reasons", "`reason`")}
    assert reasons == {outcome.value for outcome in RequestOutcome}


def test_a_reason_has_the_status_of_the_page():
    page = {
        reason.strip("`"): int(status[:3])
        for reason, status, _ in table(METRICS, "Reasons", "`reason`")
        if status[0].isdigit()
    }
    del page["preflight"], page["waiting_page"]
    assert page == {outcome.value: status for outcome, (status, _) in ERROR_RESPONSES.items()}


def test_every_part_whose_failures_are_counted_stands_in_the_page_and_no_other():
    parts = {part for each, _ in table(METRICS, "Parts", "`part`") for part in re.findall(r"`(\w+)`", each)}
    assert parts == set(failing_parts())


def failing_parts():
    """Give the part of each call of `Failures.failed`."""
    for file, tree in SOURCES.items():
        names = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts)) if calls(tree) else None
        for call in calls(tree):
            part = call.args[1]
            yield part.value if isinstance(part, ast.Constant) else getattr(names, part.id)


def calls(tree):
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "failed"
        if isinstance(node.func.value, ast.Attribute) and node.func.value.attr in {"failures", "_failures"}
    ]


def test_a_metric_that_a_page_names_is_one_that_there_is():
    known = documented("The gateway") | documented("The controller")
    suffixes = ("", "_bucket", "_sum", "_count")
    names = {
        f"{name}{suffix}"
        for name, (kind, _) in known.items()
        for suffix in suffixes
        if kind == "histogram" or not suffix
    }
    shaped = re.compile(
        r"\b(?:inflight|gateway)_[a-z_]+_(?:total|seconds|bytes|replicas|requests|unknown|leader|open|limit)\b"
    )
    unknown = {
        str(file.relative_to(DOCS)): wrong
        for file in sorted(DOCS.rglob("*.md"))
        if "decisions" not in file.parts and (wrong := set(shaped.findall(file.read_text())) - names)
    }
    assert unknown == {}


# The command line.


@pytest.fixture(scope="module")
def parsers():
    """Give the parser of each command, those of its own commands too."""
    found = {}
    for entry in entry_points(group=GROUP):
        parser = argparse.ArgumentParser(prog=f"autoscaler {entry.name}")
        entry.load().add_arguments(parser)
        found[entry.name] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found |= {f"{entry.name} {name}": inner for name, inner in action.choices.items()}
    return found


def options_of(parser):
    return {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}


def test_every_option_of_every_command_stands_in_the_page_and_no_other(parsers):
    page = {
        command: {
            option for row in table(COMMANDS, f"`autoscaler {command}`", "option") for option in options_in(row[0])
        }
        for command in parsers
        if options_of(parsers[command])
    }
    assert page == {command: options for command, parser in parsers.items() if (options := options_of(parser))}


def options_in(cell):
    return re.findall(r"(?<![\w-])--?[a-z][\w-]*", cell)


def test_the_gateways_page_has_the_same_options(parsers):
    rows = table("reference/gateway.md", "Options", "option")
    assert {option for row in rows for option in options_in(row[0])} == options_of(parsers["gateway"])


def test_the_scenarios_page_has_the_same_options(parsers):
    rows = table("reference/scenario.md", "The command", "option")
    assert {option for row in rows for option in options_in(row[0])} == options_of(parsers["simulate"])


@pytest.mark.parametrize("command", ["run", "gateway"])
def test_every_option_of_a_program_that_runs_for_long_has_the_variable_of_the_page(command, monkeypatch):
    module = importlib.import_module(f"autoscaler.commands.{command}")
    for option, *_, variable in table(COMMANDS, f"`autoscaler {command}`", "option"):
        (name,) = options_in(option)
        monkeypatch.setenv(variable.strip("`"), "as said")
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        (action,) = [each for each in parser._actions if name in each.option_strings]
        assert "as said" in str(action.default), name
        monkeypatch.delenv(variable.strip("`"))


def test_every_other_variable_that_the_code_reads_stands_in_the_page_and_no_other():
    read = re.compile(r'environ(?:ment)?(?:\.get\(|\[)"([A-Z_]+)"|"([A-Z_]+)" in environ|programs\.find\("(\w+)"\)')
    code = "\n".join(file.read_text() for file in SOURCES)
    found = {next(filter(None, groups)).upper() for groups in read.findall(code)}
    rows = table(COMMANDS, "Environment", "other variable")
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == found


def test_every_exit_status_of_every_command_stands_in_the_page_and_no_other():
    for entry in entry_points(group=GROUP):
        rows = table(COMMANDS, f"`autoscaler {entry.name}`", "exit status", deep=True)
        assert {int(status): meaning for status, meaning in rows} == entry.load().EXIT_STATUS
    general = {int(status) for status, _ in table(COMMANDS, "Exit status", "status")}
    of_commands = {status for entry in entry_points(group=GROUP) for status in entry.load().EXIT_STATUS}
    assert general == of_commands | {130, 141}


@pytest.mark.parametrize("entry", sorted(entry_points(group=GROUP)), ids=lambda entry: entry.name)
def test_a_command_returns_no_exit_status_that_it_does_not_declare(entry):
    module = entry.load()
    tree = ast.parse((ROOT / f"{module.__name__.replace('.', '/')}.py").read_text())
    returned = {
        constant.value
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and getattr(function.returns, "id", "") == "int"
        for statement in ast.walk(function)
        if isinstance(statement, ast.Return) and statement.value is not None
        for constant in ast.walk(statement.value)
        if isinstance(constant, ast.Constant) and type(constant.value) is int
    }
    assert returned <= module.EXIT_STATUS.keys() | {130}


# Annotations.


def test_every_annotation_that_the_code_reads_or_writes_stands_in_the_page_and_no_other():
    of_keda = {f"{keda._PREFIX}{field.name.replace('_', '-')}" for field in fields(keda.Switches)}
    ours = {annotations.PAUSED_UNTIL, annotations.REPLICAS, annotations.REPLICAS_UNTIL}
    of_copies = {pool_copy.POOL_LABEL, pool_copy.POLICY_ANNOTATION, pods.SERVICE_LABEL}
    known = of_keda | ours | of_copies | {namespaces.HOST_CLAIMS_FROM, objects.DELETION_COST, roster_lease.ANNOTATION}
    page = annotations_of_the_page()
    assert page == known


def annotations_of_the_page():
    marks = {
        "ScalingPolicy": "annotation",
        "Namespace": "annotation",
        "Deployment": "label or annotation",
        "Pod": "annotation",
        "Lease": "annotation",
    }
    rows = [row for part, title in marks.items() for row in table(ANNOTATIONS, f"On a {part}", title, deep=True)]
    return {row[0].strip("`") for row in rows}


def test_no_module_knows_another_annotation():
    """Every key of metadata is a constant of its module, so that the test above can name them."""
    keys = re.compile(r"(?:[a-z]+\.)+[a-z]+/[a-z][a-z-]+")
    found = {
        node.value
        for file, tree in SOURCES.items()
        if file.name != "knative_settings.py"  # Knative's, as a revision has them
        and "convert" not in file.parts  # those of its input
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and keys.fullmatch(node.value)
    }
    page = annotations_of_the_page()
    others = {"inflight.dev/controller", "node.kubernetes.io/instance-type"}
    assert found - page <= others, "the controller's own name, in events, and a label of nodes"


# The decision log.


def test_the_keys_of_a_decision_are_those_of_the_page():
    line = json.loads(blocks_of(LOG, "json")[0])
    flat = {
        f"{key}.{inner}" if isinstance(value, dict) else key
        for key, value in line.items()
        for inner in (value if isinstance(value, dict) else [""])
    }
    assert {row[0].strip("`") for row in table(LOG, "A decision", "key")} == flat
    assert from_json(line).observation._fields == Observation._fields
    assert {key for reason in line["reasons"] for key in reason} == set(Reason._fields)


def test_the_keys_of_the_last_decision_in_a_status_are_those_of_the_page():
    rows = table("reference/status.md", "The last decision", "key")
    assert {row[0].strip("`") for row in rows} == LastDecision.model_json_schema()["properties"].keys()


def test_the_keys_of_a_policys_line_and_its_version_are_those_of_the_page(tmp_path):
    with (tmp_path / "log").open("w+") as file:
        log = recorders.DecisionLog(file)
        log.begin("default/sd", {}, dict)
        observation = Observation(2.0, 1.0, 3.0, replicas=2, ready=1)
        log(Record("default/sd", observation, Decision(4, Recommendation(4, ""), ()), None))
        file.seek(0)
        line = json.loads(file.readline())
    assert {row[0].strip("`") for row in table(LOG, "A policy", "key")} == line.keys()
    assert [int(row[0]) for row in table(LOG, "Versions", "version")] == list(range(1, VERSION + 1))


def test_the_decision_of_the_page_is_one_of_the_simulated_demo(tmp_path):
    log = tmp_path / "decisions.jsonl"
    assert main(["simulate", "demo", "--decisions", str(log)]) == 0
    assert blocks_of(LOG, "json")[0] in log.read_text().split("\n")


def blocks_of(page, language):
    return [block.content.strip() for block in blocks(language) if block.page == page]


def test_the_rules_that_replay_takes_over_are_those_of_the_page():
    sentence = re.search(r"taken over as recorded: the rules ([^.]*)\.", (DOCS / LOG).read_text())[1]
    assert set(re.findall(r"`(\w+)`", sentence)) == TAKEN_OVER
