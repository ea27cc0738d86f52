"""`autoscaler top` and `autoscaler explain`, from what is typed to what is printed."""

import gzip
import json
import os
from pathlib import Path

import pytest
from stand_ins import LOG, SERVICE, page_of_the_run, serving

from autoscaler.cli import main

pytestmark = pytest.mark.real_time

BECAUSE = (
    "5 replicas, because 4.39 requests were in flight on average over the last 60 s and a replica takes 1 at a time."
)


@pytest.fixture(scope="module")
def page():
    with serving(page_of_the_run()) as address:
        yield address


@pytest.fixture
def ran(capsys):
    def run(*words):
        status = main(list(words))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def one_line(text):
    return " ".join(text.split())


def test_explain_says_why_what_comes_next_and_why_not_another_number(ran, page):
    status, out, err = ran("explain", "knative-sd-demo", "--address", page)
    assert (status, err) == (0, "")
    said = one_line(out)
    assert said.startswith(f"{SERVICE} Holding {BECAUSE} Only 1 is in flight now. If nothing more arrives")
    assert "Recommendation 5 4.39 in flight on average over 60 s" in said
    assert "Why not more? 6 replicas would need more than 5 requests in flight on average over 60 s." in said
    assert "Why not fewer? 4 replicas are enough for 4 requests" in said
    assert "4 remain in 6 s" in said


def test_a_log_answers_as_the_page_did_at_that_time(ran, page):
    asked = ["explain", SERVICE, "--json"]
    _, from_page, _ = ran(*asked, "--address", page)
    _, from_log, _ = ran(*asked, "--log", str(LOG), "--at", "1970-01-01T00:03:56+00:00")
    assert json.loads(from_log) == json.loads(from_page)
    assert json.loads(from_log)["sentence"]["first"] == BECAUSE


def test_the_last_decisions_are_opened(ran, page):
    _, out, _ = ran("explain", SERVICE, "--last", "2", "--address", page)
    newest, before = out.split("\n\n")
    assert "118 decisions, the last one: 5 → 5, unchanged" in newest
    assert "0 → 5, written" in before
    assert "fromZero" in before
    _, values, _ = ran("explain", SERVICE, "--last", "2", "--address", page, "--json")
    assert [row["after"] for row in json.loads(values)["decisions"]] == [5, 5]


def test_a_page_finds_the_decision_of_a_time_and_says_how_far_back_it_knows(ran, page):
    _, out, _ = ran("explain", SERVICE, "--at", "1970-01-01T00:00:01+00:00", "--address", page)
    assert "0 → 5, written" in out
    status, _, err = ran("explain", SERVICE, "--at", "1969-12-31T00:00:01+00:00", "--address", page)
    assert status == 2
    assert "its rows begin at" in err
    assert "--log" in err


@pytest.mark.parametrize("where", [["--log", str(LOG)], None])
def test_why_not_answers_for_any_number(ran, page, where):
    status, out, _ = ran("explain", SERVICE, "--why-not", "12", *(where or ["--address", page]))
    assert status == 0
    assert out.startswith("The maximum is 10 now; 12 would be above it.\n")
    _, values, _ = ran("explain", SERVICE, "--why-not", "12", "--json", *(where or ["--address", page]))
    assert json.loads(values)["sentences"] == out.splitlines()


@pytest.mark.parametrize("where", [["--log", str(LOG)], None])
def test_a_service_that_does_not_exist_names_those_that_do(ran, page, where):
    for question in ([], ["--why-not", "3"], ["--last", "1"]):
        status, _, err = ran("explain", "nope", *question, *(where or ["--address", page]))
        assert status == 2
        assert err == f"explain: default/nope: there is no such service; there are: {SERVICE}\n"


def test_top_shows_each_service_with_its_cause(ran, page):
    status, out, _ = ran("top", "--once", "--address", page)
    assert status == 0
    said = one_line(out)
    assert said.startswith(
        "1 service, which needs no attention: default/knative-sd-demo runs. 5 replicas are ready of 5"
    )
    assert "Holding 5/5 0 1 none" in said
    assert "5: 4.39 in flight on average over 60 s." in said
    _, values, _ = ran("top", "--json", "--address", page)
    assert [row["name"] for row in json.loads(values)["services"]] == [SERVICE]


def test_a_rotated_log_is_read_in_order_whatever_the_order_of_its_files(ran, tmp_path):
    lines = LOG.read_text().splitlines(keepends=True)
    old, new = tmp_path / "decisions.jsonl.1.gz", tmp_path / "decisions.jsonl"
    old.write_bytes(gzip.compress("".join(lines[:100]).encode()))
    new.write_text("".join(lines[100:]))
    _, whole, _ = ran("explain", SERVICE, "--json", "--log", str(LOG))
    _, parts, _ = ran("explain", SERVICE, "--json", "--log", str(new), "--log", str(old))
    assert json.loads(parts) == json.loads(whole)


def test_a_wrong_line_of_a_log_is_named_with_its_file(ran, tmp_path):
    lines = LOG.read_text().splitlines(keepends=True)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("".join([*lines[:3], '{"version": 2}\n', *lines[3:]]))
    for command in (["explain", SERVICE], ["top"]):
        status, _, err = ran(*command, "--log", str(broken))
        assert status == 2
        assert f"{broken}:4: " in err
    status, _, err = ran("top", "--log", str(tmp_path / "missing.jsonl"))
    assert (status, "missing.jsonl" in err) == (2, True)


def test_a_time_before_the_log_is_an_error(ran):
    status, _, err = ran("explain", SERVICE, "--log", str(LOG), "--at", "1969-12-31T00:00:00+00:00")
    assert (status, "has no decision on" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "legal"),
    [
        (["explain", "x", "--address", "ftp://x"], "legal is http://HOST:PORT"),
        (["explain", "x", "--address", "localhost:8090"], "legal is http://HOST:PORT"),
        (["explain", "x", "--address", "http://[::1"], "legal is http://HOST:PORT"),
        (["explain", "x", "--at", "noon"], "legal are 14:35"),
        (["explain", "x", "--last", "0"], "legal is a whole number of 1"),
        (["explain", "x", "--why-not", "-1"], "legal is a whole number of 0"),
        (["explain", "x", "--why-not", "many"], "legal is a whole number of 0"),
        (["explain", "x", "--last", "1", "--why-not", "1"], "not allowed with"),
        (["top", "--address", "http://x", "--log", "y"], "not allowed with"),
        (["explain"], "SERVICE"),
    ],
)
def test_what_cannot_be_asked_says_what_can(words, legal, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert legal in capsys.readouterr().err


def kubectl(folder, script):
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_without_an_address_kubectl_forwards_a_port_and_ends_with_the_command(ran, page, tmp_path, monkeypatch):
    port = page.rpartition(":")[2]
    script = f'echo "$@" > {tmp_path}/words; echo $$ > {tmp_path}/pid\n'
    script += f'echo "Forwarding from 127.0.0.1:{port} -> 8090"; exec sleep 60'
    for name, value in kubectl(tmp_path, script).items():
        monkeypatch.setenv(name, value)
    status, out, _ = ran("top", "--once", "--namespace", "gpu")
    assert (status, "knative-sd-demo" in out) == (0, True)
    words = (tmp_path / "words").read_text().strip()
    assert words == "port-forward --namespace gpu deployment/inflight-controller :8090 --address 127.0.0.1"
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists(), "kubectl goes on"


def test_what_kubectl_complains_about_is_said_with_the_command(ran, tmp_path, monkeypatch):
    for name, value in kubectl(tmp_path, "echo 'error: no such deployment' >&2; exit 1").items():
        monkeypatch.setenv(name, value)
    status, _, err = ran("explain", "x")
    assert status == 2
    assert "`kubectl port-forward --namespace inflight-system deployment/inflight-controller 8090:8090`" in err
    assert "error: no such deployment" in err
    assert "--address" in err


def test_without_kubectl_the_message_says_the_very_command(ran, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("autoscaler.terminal.connection.DEFAULT", "http://127.0.0.1:9")
    status, _, err = ran("top", "--once")
    assert status == 2
    assert "`kubectl port-forward --namespace inflight-system deployment/inflight-controller 8090:8090`" in err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b"<html>"), "does not answer as a page of Inflight does"),
        ((200, b'{"now": 1}'), "does not answer as a page of Inflight does"),
        ((200, b"[" * 100_000), "does not answer as a page of Inflight does"),
        ((404, b""), "does not answer as a page of Inflight does"),
        ((503, b"20 people look at this page already."), "answers 503: 20 people look at this page already."),
        ((401, b"A token is needed"), "answers 401: A token is needed"),
    ],
)
def test_a_page_that_answers_something_else_is_found_out(ran, answer, said):
    with serving(lambda _path: answer) as address:
        status, _, err = ran("top", "--once", "--address", address)
    assert status == 2
    assert said in err


def test_names_and_texts_of_a_page_steer_no_terminal(ran):
    fleet = {
        "now": 0.0,
        "zone": "UTC\x1b[2J",
        "offset": 1e300,
        "sentence": {"first": "[red]one[/red]\x1b]0;title\x07", "second": "\r\n"},
        "totals": {},
        "services": [{"name": "a/\x1b[31mb", "state": "[bold]", "attention": True, "short": "\x9b2J"}],
    }
    with serving(lambda _path: (200, json.dumps(fleet).encode())) as address:
        status, out, _ = ran("top", "--once", "--address", address)
    assert status == 0
    assert not set(out) & {"\x1b", "\x07", "\x9b", "\r"}
    assert "[red]one[/red]" in out
    assert "?/?" in out, "what is not there is unknown"
