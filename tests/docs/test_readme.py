"""The README: two commands, a legal policy, a picture and links that are there."""

import os
import re
import subprocess

import pytest
from documentation import ROOT

from autoscaler.cli import main

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", README)


def test_its_commands_are_two_and_one_of_them_is_what_ci_runs():
    commands = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    commands += [line[2:] for _, text in BLOCKS for line in text.splitlines() if line.startswith("$ ")]
    assert sorted(commands) == ["make demo", "make test"]
    assert re.search(r"(?m)^make test\b", (ROOT / ".ci" / "run").read_text())


def test_its_policy_is_legal(tmp_path, capsys):
    (policy,) = [text for language, text in BLOCKS if language == "yaml"]
    (tmp_path / "policy.yaml").write_text(policy)
    assert main(["validate", str(tmp_path / "policy.yaml")]) == 0, capsys.readouterr().err


def test_its_output_of_the_demo_is_what_the_demo_prints(capsys):
    (shown,) = [text for language, text in BLOCKS if language == "console"]
    assert main(["simulate", "demo"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert shown.splitlines()[-1] in printed
    labels = {line.partition(":")[0] for line in shown.splitlines() if re.match(r"[A-Z][\w-]+ \w+: ", line)}
    assert labels == {"GPU-seconds used", "Idle seconds", "Cold starts"}
    assert labels <= {line.partition(":")[0] for line in printed}


@pytest.mark.real_time
@pytest.mark.program
def test_make_demo_passes_and_prints_the_lines_that_it_shows():
    (shown,) = [text for language, text in BLOCKS if language == "console"]
    command, *lines = shown.splitlines()
    # Make hands the variables of its command line on to the programs it runs: ARGS of `make test` is none of ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}
    done = subprocess.run(
        command.removeprefix("$ ").split(), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = {shape(line) for line in done.stdout.splitlines()}
    assert {shape(line) for line in lines if line != "..."} <= printed


def shape(line):
    """Give a line without its numbers, and without the path of a program, which differ from run to run."""
    return re.sub(r"[\d.]+", "N", re.sub(r"\(.*/.*\)", "(PATH)", " ".join(line.split())))


def test_each_file_and_heading_that_it_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)(?:#([\w-]+))?\)", README)
    assert len(links) > 10
    for path, anchor in links:
        assert (ROOT / path).exists(), path
        headings = re.findall(r"(?m)^#+ (.*)$", (ROOT / path).read_text()) if anchor else []
        slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, f"{path}#{anchor}"
