"""Every block of a page is claimed by a check: its language's, its document's kind's, or its program's."""

import json
import re
import shlex
import subprocess

import pytest
import yaml
from documentation import ROOT, blocks, commands, documents, inline, is_part_of_a_kustomization, kind_of, pages, script

from autoscaler import cli
from autoscaler.documents.document import DocumentError
from autoscaler.policy.host_claims_file import read_host_claims
from autoscaler.sources.prometheus_credentials_file import read_servers
from simulations.scenario.document import read_scenario

LANGUAGES = {"sh", "console", "yaml", "json", "promql", "text", "python", "haproxy", "cel"}
RUN_ELSEWHERE = {
    "python": ROOT / "tests" / "simulations" / "test_simulator_docs.py",
    "haproxy": ROOT / "tests" / "contracts" / "test_haproxy.py",
}
"""Languages of single pages, each with the test that runs its blocks."""
CHECKED_WITH_A_CLUSTERS_PROGRAMS = {"kubectl"}
TOOLS_OF_A_SHELL = {
    *("awk", "cat", "cd", "chmod", "cp", "curl", "diff", "echo", "export", "grep", "head", "jq", "kill", "less", "ls"),
    *("mkdir", "openssl", "printf", "rm", "sed", "seq", "set", "sleep", "sort", "tail", "tee", "test", "true"),
    *("wait", "xargs"),
}
NOT_ON_THIS_MACHINE = {"docker", "git", "helm", "kind", "minikube", "pip", "podman", "uv"}
"""Programs of the reader's machine that no test can start."""
TARGETS = set(re.findall(r"(?m)^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text()))
BENCHES = {f"bench-{file.stem}" for file in (ROOT / "benchmarks").glob("*.py")}
PART_OF = {"apiVersion": "inflight.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "part"}}


def named(found):
    return [pytest.param(block, id=str(block)) for block in found]


def test_every_block_says_its_language():
    assert [f"{block}: {block.language!r}" for block in blocks() if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("language", RUN_ELSEWHERE)
def test_the_blocks_of_a_rare_language_are_run_by_a_test_that_names_it(language):
    assert not blocks(language) or re.search(rf"\b{language}\b", RUN_ELSEWHERE[language].read_text())


def test_no_text_shows_a_command():
    """A command belongs into a block that is checked as one."""
    shown = re.compile(r"(?m)^(\$ .*|(?:kubectl|make|curl|autoscaler) .*)$")
    assert {str(block): shown.findall(block.content) for block in blocks("text") if shown.search(block.content)} == {}


@pytest.mark.parametrize("block", named(blocks("json")))
def test_json_is_one_value_or_one_a_line(block):
    try:
        json.loads(block.content)
    except json.JSONDecodeError:
        for line in block.content.splitlines():
            json.loads(line)


@pytest.mark.parametrize("block", named(blocks("sh", "console")))
def test_a_command_is_one_that_a_shell_and_its_program_take(block):
    read = subprocess.run(["bash", "-n"], input=script(block), capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    for program, *words in commands(block):
        check(program.rpartition("/")[2], words)


def check(program, words):
    """Let the program's own check read its words; what nobody checks has to be declared above."""
    if program == "python":
        module, *words = words[words.index("-m") + 1 :]
        assert module == "autoscaler"
        program = module
    if program == "autoscaler":
        assert parsed(words), f"autoscaler {shlex.join(words)}"
    elif program == "make":
        targets = [word for word in words if "=" not in word]
        assert set(targets) <= TARGETS | BENCHES, targets
    else:
        known = CHECKED_WITH_A_CLUSTERS_PROGRAMS | TOOLS_OF_A_SHELL | NOT_ON_THIS_MACHINE
        assert program in known, f"no check knows {program}"


def parsed(words):
    """Say whether the command line's own parser takes the words."""
    found = {entry.name: entry for entry in cli.entry_points(group=cli.GROUP)}
    words = cli._with_whole_name(words, found)
    try:
        cli._parser(found, words).parse_args(words)
    except SystemExit as end:
        return end.code == 0
    return True


def test_a_command_within_a_sentence_is_one_that_there_is():
    unknown = {}
    entries = {entry.name for entry in cli.entry_points(group=cli.GROUP)}
    for page, text in pages().items():
        codes = [token.content for token in inline(text, "code_inline")]
        asked = {code.split()[1] for code in codes if re.match(r"autoscaler [a-z]", code)}
        made = {code.split()[1] for code in codes if re.match(r"make [a-z]", code)}
        if wrong := (asked - entries) | {target for target in made - TARGETS - BENCHES if "/" not in target}:
            unknown[page] = wrong
    assert unknown == {}


OWN_POLICY, OWN_SCENARIO = ("inflight.dev", "ScalingPolicy"), ("inflight.dev", "Scenario")
PARTS = {("spec",), ("metrics",)}
READERS = {("claims",): read_host_claims, ("servers",): read_servers, OWN_SCENARIO: read_scenario}
OF_PROMETHEUS = {("scrape_configs",)}
YOUNGER_THAN_OUR_PROMTOOL = {("scrape_config_files",)}


def with_kinds(*kinds):
    """Give the blocks of YAML that hold a document of one of these kinds."""
    return [block for block in blocks("yaml") if {kind_of(document) for document in documents(block)} & set(kinds)]


def test_every_document_is_of_a_kind_that_a_check_knows():
    known = {OWN_POLICY, *PARTS, *READERS, *OF_PROMETHEUS, *YOUNGER_THAN_OUR_PROMTOOL}
    unknown = {
        str(block): kind_of(each)
        for block in blocks("yaml")
        for each in documents(block)
        if kind_of(each) not in known and "kind" not in each and not is_part_of_a_kustomization(each)
    }
    assert unknown == {}


@pytest.mark.parametrize("block", named(with_kinds(OWN_POLICY)))
def test_a_policy_is_valid(block, tmp_path, capsys):
    file = tmp_path / "policy.yaml"
    file.write_text(block.content)
    assert cli.main(["validate", str(file)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("block", named(with_kinds(*PARTS)))
def test_a_part_of_a_policy_is_legal_in_a_policy(block, tmp_path, capsys):
    (part,) = documents(block)
    spec = {"backends": ["127.0.0.1:1"]} | part.get("spec", part)
    if "traffic" in spec:
        spec["traffic"].setdefault("hosts", ["example.com"])
    file = tmp_path / "policy.yaml"
    file.write_text(
        yaml.safe_dump(
            {"apiVersion": "inflight.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "part"}, "spec": spec}
        )
    )
    assert cli.main(["validate", str(file)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("block", named(with_kinds(*READERS)))
def test_another_file_of_ours_has_no_problem_but_that_it_names_files_of_the_reader(block, tmp_path):
    file = tmp_path / "document.yaml"
    file.write_text(block.content)
    for document in documents(block):
        problems = []
        try:
            READERS[kind_of(document)](file)
        except DocumentError as error:
            problems = error.problems
        assert [problem for problem in problems if "cannot be read: " not in problem] == []


@pytest.mark.program
@pytest.mark.parametrize("block", named(with_kinds(*OF_PROMETHEUS)))
def test_prometheus_takes_a_part_of_its_configuration(block, promtool_binary, tmp_path):
    file = tmp_path / "prometheus.yaml"
    file.write_text(block.content)
    assert accepted(promtool_binary, "check", "config", "--syntax-only", file)


@pytest.mark.program
def test_prometheus_takes_every_query(promtool_binary, tmp_path):
    rules = [{"record": f"a:query:{number}", "expr": block.content} for number, block in enumerate(blocks("promql"))]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}))
    assert accepted(promtool_binary, "check", "rules", file)


def accepted(*command):
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode == 0 or pytest.fail(ran.stdout + ran.stderr)
