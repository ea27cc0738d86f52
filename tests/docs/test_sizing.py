"""The figures of the page on sizing are those that were measured, and those that are shipped."""

import re

import yaml
from documentation import DOCS, ROOT

SIZING = (DOCS / "how-to" / "sizing.md").read_text()
MEASURED = (DOCS / "evidence" / "performance.md").read_text()


def cells(text, first):
    """Give the cells of the row of a table that begins so."""
    (row,) = re.findall(rf"^\| {re.escape(first)} \| (.*) \|$", text, re.MULTILINE)
    return row.split(" | ")


def shipped(name):
    file = ROOT / "manifests" / "base" / name / "deployment.yaml"
    (deployment,) = [each for each in yaml.safe_load_all(file.read_text()) if each["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]["containers"][0]["resources"]


def test_the_controllers_memory_and_time_are_those_that_were_measured():
    sizes = ("100", "1,000", "10,000")
    memory, time_s = cells(MEASURED, "RSS, MB")[-3:], cells(MEASURED, "CPU s per minute, idle, 2 s tick")[-3:]
    for services, megabytes, seconds in zip(sizes, memory, time_s, strict=True):
        assert cells(SIZING, services) == [f"{megabytes} MB", f"{seconds} s a minute"]


def test_the_time_of_a_wake_up_is_the_one_that_was_measured():
    of_1000 = cells(MEASURED, "first held request to write seen, median / P95, ms (n = 50)")[-2]
    assert f"it takes {of_1000.partition(' / ')[0]} ms at the median with 1,000 services" in SIZING


def test_the_gateways_figures_are_those_that_were_measured():
    assert cells(SIZING, "CPU for a small request")[0] == f"{cells(MEASURED, 'gateway')[0]} µs"
    assert (
        cells(SIZING, "memory for a held request")[0]
        == cells(MEASURED, "memory for each request held at zero, 10,000 held")[0]
    )


def test_requests_and_limits_are_those_of_the_manifests():
    said = " ".join(SIZING.split())
    assert shipped("gateway")["requests"].items() >= {"cpu": "500m", "memory": "256Mi"}.items()
    assert shipped("gateway")["limits"]["memory"] == "1Gi"
    assert "asks for 0.5 CPU and 256 MiB, and is limited to 1 GiB" in said
    assert shipped("controller")["requests"].items() >= {"cpu": "100m", "memory": "128Mi"}.items()
    assert shipped("controller")["limits"]["memory"] == "512Mi"
    assert "asks for 0.1 CPU and 128 MiB, and is limited to 512 MiB" in said
