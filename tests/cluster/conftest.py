"""A control plane for the session, a namespace for each test."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import image
import pytest
import yaml
from cluster_kit import define, define_policies, new_namespace
from control_plane import ControlPlane, RefusedError, attached, started
from in_process import Installation

COLD_START_S = 1.0
FETCH = Path(__file__).resolve().parents[2] / "tools" / "definitions" / "fetch.py"


@pytest.fixture(scope="session")
def control_plane(request, tmp_path_factory) -> Iterator[ControlPlane]:
    given = os.environ.get("KUBECONFIG")
    if given and (found := _usable(Path(given), request.config)):
        yield found
        return
    with started(tmp_path_factory.mktemp("control-plane"), cold_start_s=COLD_START_S) as own:
        yield own


@pytest.fixture(scope="session")
def other_kinds(control_plane) -> ControlPlane:
    """The control plane, with the kinds of other projects: their controllers do not run, a test plays them."""
    folder = Path(subprocess.check_output([sys.executable, FETCH], text=True).strip())
    for file in sorted(folder.glob("*.yaml")):
        define(control_plane, yaml.safe_load(file.read_text()))
    return control_plane


@pytest.fixture
def namespace(control_plane) -> Iterator[str]:
    """A namespace in which pods can be made at once, and which goes with its content when the test is over."""
    with new_namespace(control_plane) as name:
        yield name


@pytest.fixture
async def installation(control_plane, namespace, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    await asyncio.to_thread(define_policies, control_plane)
    return Installation(control_plane, namespace)


def pytest_collection_modifyitems(config, items):
    """Leave out what needs the image, and say so, on a machine that cannot build it; CI's must be able to."""
    need = [item for item in items if item.get_closest_marker("image")]
    if need and os.environ.get("CI") != "true" and (problem := image.missing()):
        config.hook.pytest_deselected(items=need)
        items[:] = [item for item in items if item not in need]
        config.get_terminal_writer().line(f"left out: {len(need)} tests of the image, because {problem}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and "control_plane" in item.funcargs:
        report.sections.append(("control plane", f"logs: {item.funcargs['control_plane'].folder}"))
    return report


def _usable(kubeconfig: Path, config: pytest.Config) -> ControlPlane | None:
    """Say what becomes of the user's KUBECONFIG: a cluster not made for these tests is left alone."""
    try:
        found, verdict = attached(kubeconfig), "is used"
    except (LookupError, RefusedError, OSError) as error:
        found, verdict = None, f"is not used: {error}"
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.get_terminal_writer().line(f"\nKUBECONFIG={kubeconfig} {verdict}")
    return found
