"""What the pages of docs/ show of Kubernetes: objects for an API server, kustomizations and kubectl's command lines."""

import re
import shutil
import subprocess

import pytest
import yaml
from documentation import ROOT, blocks, commands, documents, is_part_of_a_kustomization, kind_of
from kubectl import kubectl, objects

pytestmark = [pytest.mark.program, pytest.mark.real_time]

MANIFESTS = ROOT / "manifests"
KUSTOMIZE = "kustomize.config.k8s.io"
NOT_IN_THIS_CLUSTER = {
    ("argoproj.io", "Application"),
    ("gateway.networking.k8s.io", "HTTPRoute"),
    ("gateway.networking.k8s.io", "ReferenceGrant"),
    ("keda.sh", "ScaledObject"),
    ("monitoring.coreos.com", "PodMonitor"),
    ("serving.knative.dev", "Service"),
}
"""Kinds whose definitions are other projects'; of these only the form that all objects share is checked."""
OF_OTHERS = [
    (block, document)
    for block in blocks("yaml")
    for document in documents(block)
    if "kind" in document and kind_of(document)[0] not in {"inflight.dev", KUSTOMIZE}
]
KUSTOMIZATIONS = [block for block in blocks("yaml") if any(kind_of(each)[0] == KUSTOMIZE for each in documents(block))]
PARTS = [block for block in blocks("yaml") if any(map(is_part_of_a_kustomization, documents(block)))]
TYPED = [
    pytest.param(words, id=f"{block} {number}")
    for block in blocks("sh", "console")
    for number, (program, *words) in enumerate(commands(block))
    if program == "kubectl" and words[0] != "inflight"  # the plugin is our own command
]
NOBODY = ("--kubeconfig=/dev/null", "--server=http://127.0.0.1:9", "--request-timeout=1s")
AN_OBJECT = "{apiVersion: v1, kind: ConfigMap, metadata: {name: any}}"
"""For a command that reads one from its standard input."""
ONLY_THE_SERVER_IS_MISSING = re.compile(r"connection refused|was refused|does not exist|no such file or directory")


def named(found):
    return [pytest.param(document, id=f"{block} {document['kind']}") for block, document in found]


@pytest.mark.parametrize("document", named(each for each in OF_OTHERS if kind_of(each[1]) not in NOT_IN_THIS_CLUSTER))
def test_the_api_server_takes_an_object(control_plane, namespace, document):
    document["metadata"].pop("namespace", None)
    made = ("create", "--dry-run=server", "--validate=strict", "--namespace", namespace, "-f", "-")
    assert "created" in kubectl(control_plane, *made, body=yaml.safe_dump(document))


@pytest.mark.parametrize("document", named(each for each in OF_OTHERS if kind_of(each[1]) in NOT_IN_THIS_CLUSTER))
def test_an_object_of_another_project_has_the_form_of_all_objects(document):
    assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert document["metadata"].keys() <= {"name", "namespace", "labels", "annotations"}
    assert document["metadata"]["name"]


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in KUSTOMIZATIONS])
def test_a_kustomization_beside_the_manifests_changes_what_it_names(control_plane, block, tmp_path):
    (kustomization,) = documents(block)
    check_patched(control_plane, kustomization, tmp_path)


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in PARTS])
def test_what_is_added_to_the_kustomization_changes_what_it_names(control_plane, block, tmp_path):
    (part,) = documents(block)
    check_patched(control_plane, {"resources": ["../manifests/base"], **part}, tmp_path)


def check_patched(control_plane, kustomization, folder):
    """Render it beside the manifests, and see that each of its patches changes its target."""
    shutil.copytree(MANIFESTS, folder / "manifests")
    (folder / "my-inflight").mkdir()
    (folder / "my-inflight" / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    shipped = by_name(objects(control_plane, MANIFESTS))
    rendered = by_name(objects(control_plane, folder / "my-inflight"))
    for patch in kustomization["patches"]:
        target = (patch["target"]["kind"], patch["target"]["name"])
        assert rendered[target] != shipped.get(target)


def by_name(found):
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


@pytest.mark.parametrize("words", TYPED)
def test_kubectl_takes_a_command_line(control_plane, words, tmp_path):
    """It has no server to speak to here, so all that may fail is the way there."""
    program = control_plane.programs / "kubectl"
    command = [program, *NOBODY, *words]
    ran = subprocess.run(command, cwd=tmp_path, input=AN_OBJECT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 or ONLY_THE_SERVER_IS_MISSING.search(ran.stderr), ran.stderr
