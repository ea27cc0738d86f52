"""README "In a cluster", typed word for word.

The blocks are run by bash, in order, with kubectl and curl as they are, in a folder that holds a copy of `manifests/`
with other port numbers. After the first block the containers of its pods start as processes under the shipped accounts,
and one stand-in answers for the pods of the service: KWOK, which plays the kubelet, starts none.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager, suppress

import pytest
from control_plane import started
from installation import MANIFESTS, OWN, Containers, Ports, copied

from autoscaler.programs import cache_folder

pytestmark = [pytest.mark.program, pytest.mark.real_time]

README = (MANIFESTS.parent / "README.md").read_text()
SECTION = README.partition("## In a cluster\n")[2].partition("\n## ")[0]
INSTALL, USE, SHOWN = re.findall(r"^```\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def test_the_blocks_of_the_readme_reach_a_scaled_service(tmp_path):
    ports = Ports()
    copied(tmp_path, ports)
    (tmp_path / "control-plane").mkdir()
    with (
        alone_with_its_port(),
        started(tmp_path / "control-plane", cold_start_s=1, forward_to=ports.gateway) as plane,
        Containers(plane, OWN, tmp_path) as containers,
    ):
        with typed(INSTALL, plane, tmp_path):
            containers.start()
            containers.start_model(ports.service)
        with typed(USE, plane, tmp_path) as printed:
            assert json.loads((tmp_path / "pretty-dog.json").read_text())["images"]
            scaled = plane.get("/apis/apps/v1/namespaces/default/deployments/knative-sd-demo/scale")
            assert scaled["spec"]["replicas"] == 1
            header, row = printed.splitlines()[-2:]
            promised_header, promised_row = SHOWN.splitlines()
            assert header.split() == promised_header.split()
            assert row.split()[:5] == promised_row.split()[:5], "name, least, most, desired, ready; the rest moves"


@contextmanager
def typed(block, plane, folder):
    """Run a block to its end and give what it printed; what it left in the background ends with the context."""
    output = folder / "printed.txt"
    with output.open("wb") as file:
        command = ["bash", "-euo", "pipefail", "-c", block]
        environment = plane.environment()
        shell = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        status = shell.wait(180)
        assert status == 0, output.read_text()
        yield output.read_text()
    finally:
        with suppress(ProcessLookupError):  # of a block that left nothing behind
            os.killpg(shell.pid, signal.SIGTERM)


@contextmanager
def alone_with_its_port():
    """The README names a port of this machine, which others of these tests may want at the same time."""
    with (cache_folder() / "readme.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
