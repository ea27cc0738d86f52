#!/usr/bin/env python3
"""Builds the image of controller and gateway from the Dockerfile: `python tools/image.py` prints its name.

Where a Docker engine answers, it builds, and pulls the base. Elsewhere buildah does, as root and without pulling: the
base is then made here by `image_base`, once, into the user's cache folder under a key made of its recipe.
pip's settings of this machine (an index of its own, a proxy, certificates) reach the build as secrets; none stays.
"""

import configparser
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import image_base
import web
from programs import ROOT, UnavailableError, only_one

from autoscaler.runtime.programs import cache_folder

NAME = f"inflight-autoscaler:{version('inflight-autoscaler')}"
"""As the manifests call it."""
BASE = "localhost/inflight-base:latest"
"""What the Dockerfile starts from where nothing can be pulled."""
INPUTS = (
    "Dockerfile",
    "requirements",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "algorithms",
    "autoscaler",
    "simulations",
)
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
PROGRAMS = ("buildah", "debootstrap")


def missing() -> str:
    """Say what this machine lacks to build the image; empty if it lacks nothing."""
    if _docker_answers():
        return ""
    if os.geteuid() != 0:
        return "no Docker engine answers, and without one it takes root"
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    return f"no Docker engine answers, and without one it takes {' and '.join(lacking)}" if lacking else ""


class Built(NamedTuple):
    """An image."""

    engine: str
    """Which has it: `docker`, or `buildah` in the cache folder."""
    name: str


def build() -> Built:
    """Build the image, unless it is already there for just these files.

    Raises:
        UnavailableError: this machine cannot build it.
        subprocess.CalledProcessError: the build failed; it has said why on standard error.
    """
    if problem := missing():
        raise UnavailableError(f"the image cannot be built here: {problem}")
    if not web.made():
        web.make()
    with _secrets() as secrets:
        if _docker_answers():
            _run("docker", "build", *secrets, "--tag", NAME, ROOT)
            return Built("docker", NAME)
        with only_one("image"):
            return Built("buildah", _built_with_buildah(secrets))


def buildah(*arguments: str | Path) -> str:
    """Run buildah on the images in the cache folder, with no need of an engine, and return what it printed."""
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    command = [*_on_our_images(), *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _on_our_images() -> list[str]:
    store = cache_folder() / "images" / _digest(image_base.recipe())
    return ["buildah", f"--root={store}", f"--runroot={store / 'run'}", "--storage-driver=vfs"]


def _built_with_buildah(secrets: Sequence[str]) -> str:
    as_it_is = f"{NAME}-{_digest(_content(INPUTS))}"
    have = buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
    if not any(BASE in each for each in have):
        _make_base()
    if not any(each.endswith(f"/{as_it_is}") for each in have):
        started = time.monotonic()
        _say(f"building {NAME}")
        local = ("--pull-never", "--network=host", "--quiet")
        buildah("bud", *local, *secrets, f"--build-arg=BASE={BASE}", f"--tag={NAME}", f"--tag={as_it_is}", ROOT)
        _forget([each for each in have if f"/{NAME}" in each])
        _say(f"built after {time.monotonic() - started:.0f} s")
    buildah("tag", as_it_is, NAME)
    return as_it_is


def _forget(names: Sequence[str]) -> None:
    """Take away images of other files, but for one that somebody runs just now."""
    for arguments in (*(("rmi", name) for name in names if "-" in name.rpartition(":")[2]), ("rmi", "--prune")):
        subprocess.run([*_on_our_images(), *arguments], capture_output=True, check=False)


def _make_base() -> None:
    """Make what the Dockerfile starts from; the same packages, though not bit for bit the same image."""
    started = time.monotonic()
    _say(f"making {BASE} with debootstrap, once")
    with image_base.made_root() as (root, said):
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, root, "/")
        buildah("config", f"--label={image_base.LABEL}={said}", container)
        buildah("commit", "--quiet", "--rm", container, BASE)
    _say(f"made after {time.monotonic() - started:.0f} s, of {said}")


@contextmanager
def _secrets() -> Iterator[list[str]]:
    """Give the options that hand pip's settings of this machine to a build."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        given = _pip_settings()
        options = []
        if certificates := given.pop("cert", None) or ssl.get_default_verify_paths().cafile:
            options = [f"--secret=id=ca,src={certificates}"]
            given["cert"] = "/run/secrets/ca.crt"
        settings = Path(folder, "pip.conf")
        settings.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in given.items()))
        yield [f"--secret=id=pip,src={settings}", *options]


def _pip_settings() -> dict[str, str]:
    """Read what matters in a build of pip's files and its environment; the latter is the stronger."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = [Path("/etc/pip.conf"), Path.home() / ".pip" / "pip.conf", home / "pip" / "pip.conf"]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read([*files, os.environ.get("PIP_CONFIG_FILE", os.devnull)])
    found = {key: " ".join(value.split()) for key, value in parser["global"].items()} if "global" in parser else {}
    named = {key: os.environ.get(f"PIP_{key.replace('-', '_').upper()}") for key in (*PIP_SETTINGS, "cert")}
    found |= {key: value for key, value in named.items() if value}
    return {key: value for key, value in found.items() if key in named}


def _content(names: Sequence[str]) -> Iterator[bytes]:
    for name in names:
        files = [ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes()


def _digest(parts: Iterator[bytes] | Sequence[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    asked = [
        "docker",
        "version",
        "--format",
        "{{.Server.Version}}",
    ]  # of the server: fails where there is only a client
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(*command: str | Path) -> None:
    subprocess.run(command, stdout=sys.stderr, check=True)


def _say(what: str) -> None:
    print(f"image: {what}", file=sys.stderr, flush=True)


def main() -> int:
    """Build and print the image's name; return the exit status."""
    try:
        built = build()
    except UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(NAME)
    if built.engine == "buildah":
        _say(f"to push it: {' '.join(_on_our_images())} push {NAME} REGISTRY/NAME:TAG")
    return 0


if __name__ == "__main__":
    sys.exit(main())
