"""What `make image` finds out about a machine before it builds."""

import os
import re
import subprocess
import sys

import image
import image_base
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with no programs, and with no settings of pip but those that a test makes."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(folder, name, status):
    file = folder / "bin" / name
    file.write_text(f"#!/bin/sh\nexit {status}\n")
    file.chmod(0o755)


def given_to_the_build():
    with image._secrets() as options:
        secrets = dict(option.removeprefix("--secret=id=").split(",src=") for option in options)
        with open(secrets["pip"]) as file:  # noqa: PTH123
            return file.read(), secrets


def test_who_is_not_root_needs_an_engine_that_answers(bare, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program(bare, "docker", 1)
    assert image.missing() == "no Docker engine answers, and without one it takes root"
    with pytest.raises(image.UnavailableError, match="without one it takes root"):
        image.build()
    program(bare, "docker", 0)
    assert image.missing() == ""


def test_root_is_told_which_programs_it_lacks(bare, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert image.missing() == "no Docker engine answers, and without one it takes buildah and debootstrap"
    program(bare, "buildah", 0)
    assert image.missing().endswith("it takes debootstrap")
    program(bare, "debootstrap", 0)
    assert image.missing() == ""


@pytest.mark.parametrize(("ci", "status", "said"), [("", 5, "11 deselected"), ("true", 1, "ERROR")])
def test_where_it_cannot_be_built_its_tests_are_left_out_in_so_many_words_and_fail_in_ci(bare, ci, status, said):
    chosen = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cluster/test_image.py"]
    ran = subprocess.run(
        chosen, cwd=image.ROOT, env=os.environ | {"CI": ci}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == status
    assert said in ran.stdout
    assert "no Docker engine answers, and without one it takes" in ran.stdout


def test_pips_own_index_reaches_the_build_and_the_environment_is_stronger_than_the_file(bare, monkeypatch):
    (bare / "pip.conf").write_text(
        "[global]\nindex-url = https://file.example/simple\n"
        "trusted-host = a.example\n  b.example\n"
        "find-links = /wheels\n"
    )
    monkeypatch.setenv("PIP_INDEX_URL", "https://environment.example/simple")
    settings, _ = given_to_the_build()
    assert "index-url = https://environment.example/simple\n" in settings
    assert "trusted-host = a.example b.example\n" in settings
    assert "/wheels" not in settings, "what is a path here is none in the build"


def test_certificates_of_this_machine_are_found_where_the_build_has_them(bare, monkeypatch):
    monkeypatch.setenv("PIP_CERT", "/etc/own.pem")
    settings, secrets = given_to_the_build()
    assert "cert = /run/secrets/ca.crt\n" in settings
    assert secrets["ca"] == "/etc/own.pem"


def test_the_manifests_name_the_image_that_is_built():
    name, version = image.NAME.split(":")
    kustomization = (image.ROOT / "manifests" / "base" / "kustomization.yaml").read_text()
    assert f"  - name: {name}\n    newTag: {version}\n" in kustomization


def test_the_base_is_one_of_the_suite_that_is_made_here():
    (base,) = re.findall(r"(?m)^ARG BASE=(\S+)$", (image.ROOT / "Dockerfile").read_text())
    assert re.fullmatch(rf"debian:{image_base.SUITE}-\d{{8}}-slim@sha256:[0-9a-f]{{64}}", base)
