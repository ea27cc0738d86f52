"""The options of `autoscaler run`, on the command line and in the environment."""

import argparse
from pathlib import Path

import pytest

from autoscaler.commands import run


def settings(*words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    run.add_arguments(parser)
    return run._settings(parser.parse_args(words))


def test_without_options_it_reads_resources_of_all_namespaces():
    made = settings()
    assert (made.resources, made.namespace, made.files, made.prometheus) == (True, "", (), None)
    assert (made.tick_s, made.foreign_writer_hold_s, made.gateways, made.gateway_label) == (2.0, 300.0, (), "")


def test_every_option_can_be_set_in_the_environment(monkeypatch):
    for name, value in {
        "POLICY": "a.yaml,b.yaml",
        "RESOURCES": "false",
        "NAMESPACE": "team",
        "PROMETHEUS": "http://prometheus:9090",
        "PROMETHEUS_SERVERS": "http://thanos:9090, https://mimir/prometheus",
        "PROMETHEUS_CREDENTIALS": "servers.yaml",
        "TICK": "500ms",
        "GATEWAY_LABEL": "app=gateway",
        "GATEWAY": "one:9090,two:9090",
        "FOREIGN_WRITER_HOLD": "1m",
        "OWN_NAMESPACE": "system",
        "IDENTITY": "me",
    }.items():
        monkeypatch.setenv(f"INFLIGHT_{name}", value)
    made = settings()
    assert made.files == (Path("a.yaml"), Path("b.yaml"))
    assert made.prometheus_credentials == Path("servers.yaml")
    assert made.prometheus_servers == ("http://thanos:9090", "https://mimir/prometheus")
    assert (made.resources, made.namespace, made.prometheus) == (False, "team", "http://prometheus:9090")
    assert (made.tick_s, made.foreign_writer_hold_s) == (0.5, 60.0)
    assert (made.gateways, made.gateway_label) == (("one:9090", "two:9090"), "app=gateway")
    assert (made.own_namespace, made.identity) == ("system", "me")


def test_a_variable_that_is_empty_is_not_set(monkeypatch):
    for name in ("PROMETHEUS", "PROMETHEUS_SERVERS", "TICK", "GATEWAY"):
        monkeypatch.setenv(f"INFLIGHT_{name}", "")
    made = settings()
    assert (made.prometheus, made.prometheus_servers, made.tick_s, made.gateways) == (None, (), 2.0, ())


def test_the_command_line_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("INFLIGHT_TICK", "5s")
    assert settings("--tick=1s").tick_s == 1.0


@pytest.mark.parametrize("option", ["--prometheus", "--prometheus-servers"])
@pytest.mark.parametrize("address", ["http://me:secret@p", "http://p/?secret", "secret:9090"])
def test_an_address_that_is_refused_is_not_repeated(option, address):
    with pytest.raises(argparse.ArgumentError, match="must ") as caught:
        settings(f"{option}={address}")
    assert "secret" not in str(caught.value)


def test_controllers_have_different_names():
    assert settings().identity != settings().identity


@pytest.mark.parametrize("words", ["--tick=2", "--resources=perhaps", "--foreign-writer-hold=soon"])
def test_what_cannot_be_read_is_refused(words):
    with pytest.raises(argparse.ArgumentError, match="invalid"):
        settings(words)


def test_without_a_cluster_it_says_so_and_ends_with_2(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    assert run.run(parser.parse_args([])) == 2
    assert "run: no Kubernetes cluster is configured" in capsys.readouterr().err
