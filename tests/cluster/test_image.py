"""The image, as the Dockerfile makes it: what is in it, and that it works in the place of our pods' containers."""

import json
import re

import image
import image_base
import pytest
import yaml
from cluster_kit import QUICK, workload
from image_kit import built
from installation import MANIFESTS, OWN, Containers, Ports, answered, copied
from kubectl import apply, kubectl
from packaging.markers import default_environment
from packaging.requirements import Requirement

from autoscaler.testing import policy_document

pytestmark = [pytest.mark.program, pytest.mark.real_time, pytest.mark.image]

ROOT = MANIFESTS.parent
COUNTED = """
import os
folders = (folder for top in ("/etc", "/opt", "/usr", "/var") for folder in os.walk(top))
print(sum(os.lstat(os.path.join(where, name)).st_size for where, _, names in folders for name in names))
"""
PYTHON = ("/opt/inflight/bin/python", "-c")


@pytest.fixture(scope="module")
def ours():
    with built() as found:
        yield found


def test_it_says_its_version(ours):
    told = ours.run("--version")
    assert told.stdout == f"autoscaler {image.NAME.partition(':')[2]}\n", told.stderr


def test_its_label_says_what_its_base_was_made_of(ours):
    """An engine pulls the base by its digest; what is made here is made of a list."""
    made_of = ours.configuration.get("Labels", {}).get(image_base.LABEL)
    assert made_of == "debian.list" or ours.root is None


def test_it_runs_as_the_user_that_the_manifests_name(ours):
    told = ours.run("import os; print(os.getuid(), os.getgid(), os.getgroups())", entrypoint=PYTHON)
    assert told.stdout == "65532 65532 []\n", told.stderr
    for file in (MANIFESTS / "base").glob("*/deployment.yaml"):
        (deployment,) = [each for each in yaml.safe_load_all(file.read_text()) if each["kind"] == "Deployment"]
        context = deployment["spec"]["template"]["spec"]["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == ours.configuration["User"]


@pytest.mark.parametrize("folder", ["/", "/opt/inflight", "/tmp"])  # noqa: S108 - of the container
def test_nothing_can_be_written(ours, folder):
    told = ours.run(f"open('{folder}/x', 'w')", entrypoint=PYTHON)
    assert "Read-only file system" in told.stderr or "Permission denied" in told.stderr


def test_it_has_the_locked_dependencies_and_no_other(ours):
    asked = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = json.loads(ours.run(asked, entrypoint=PYTHON).stdout)
    locked = {}
    for line in re.findall(r"(?m)^[\w.-]+==[^\\\n]+", (ROOT / "requirements" / "controller.txt").read_text()):
        requirement = Requirement(line.strip())
        environment = default_environment() | {"python_version": "3.11", "python_full_version": "3.11.2"}
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (pin,) = requirement.specifier
            locked[requirement.name.lower()] = pin.version
    ours_itself = found.pop("inflight-autoscaler")
    assert ours_itself == image.NAME.partition(":")[2]
    assert {name.lower().replace("_", "-"): version for name, version in found.items()} == locked


def test_it_has_neither_an_installer_nor_a_compiler(ours):
    names = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make", "git", "curl", "wget")
    told = ours.run(f"import shutil; print([n for n in {names} if shutil.which(n)])", entrypoint=PYTHON)
    assert told.stdout == "[]\n", told.stderr


def test_what_the_simulator_needs_is_said_and_not_there(ours):
    told = ours.run("simulate", "demo")
    assert told.returncode == 2
    assert "simulate cannot be run here" in told.stderr


def test_the_install_page_tells_its_size(ours):
    (stated,) = re.findall(r"(\d+) MB unpacked", (ROOT / "docs" / "how-to" / "install.md").read_text())
    counted = (
        "import os; print(sum(os.lstat(os.path.join(d, f)).st_size for t in {} for d, _, fs in os.walk(t) for f in fs))"
    )
    roots = ["/etc", "/opt", "/usr", "/var"]
    size = int(ours.run(counted.format(roots), entrypoint=PYTHON).stdout)
    assert size / 1e6 == pytest.approx(int(stated), rel=0.1)


def test_in_the_pods_place_it_holds_a_request_scales_and_answers(ours, control_plane, namespace, tmp_path):
    ports = Ports()
    apply(control_plane, copied(tmp_path, ports))
    control_plane.wait_established("scalingpolicies.inflight.dev")
    with Containers(control_plane, OWN, tmp_path, ours.launch) as containers:
        containers.start()
        containers.start_model(ports.service)
        deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        control_plane.create(deployments, workload())
        traffic = {"hosts": ["web.example.com"], "port": ports.service}
        policy = policy_document(f"{namespace}/web", maxReplicas=3, traffic=traffic, **QUICK)
        kubectl(control_plane, "apply", "--server-side", "-f", "-", body=yaml.safe_dump(policy))
        status, body = answered(ports.gateway, "web.example.com")
        assert status == 200, body
        assert json.loads(body)["images"]
        control_plane.wait(deployments, lambda found: found["web"]["spec"]["replicas"] == 1)
