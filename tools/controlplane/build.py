#!/usr/bin/env python3
"""Builds the tests' control plane once: etcd, three Kubernetes servers, KWOK and kubectl, in one binary.

It lies in the user's cache folder under a key made of the sources and the compiler, so a changed pin builds anew and
nothing else does. Where KUBEBUILDER_ASSETS names a folder with all the programs, that folder is taken as it is.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from autoscaler.runtime.programs import cache_folder

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
from programs import find_go, go_environment  # noqa: E402 - a script beside ours, in no package

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")
FLAGS = ("-mod=readonly", "-modcacherw", "-trimpath", "-buildvcs=false")


def control_plane_programs() -> Path:
    """Return the folder that holds every one of PROGRAMS, building them first if they are not there yet.

    Raises:
        programs.UnavailableError: there is no Go, and none can be fetched.
        subprocess.CalledProcessError: the compiler failed; it has said why on standard error.
    """
    with redirect_stdout(sys.stderr):  # what is said on the way is not the answer
        return given() or _built(find_go(HERE))


def given() -> Path | None:
    """Return the folder that KUBEBUILDER_ASSETS names, if it has all that is needed."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    missing = [name for name in PROGRAMS if not os.access(Path(folder, name), os.X_OK)]
    say(f"KUBEBUILDER_ASSETS={folder} " + (f"lacks {', '.join(missing)}: not used" if missing else "is used"))
    return None if missing else Path(folder).absolute()


def _built(go: Path) -> Path:
    folder = cache_folder() / "controlplane" / _key(go)
    with _alone(folder):
        if not folder.exists():
            _build(go, folder)
    return folder


def _build(go: Path, folder: Path) -> None:
    started = time.monotonic()
    say(f"building Kubernetes {_kubernetes_version()} into {folder}; once, for some minutes")
    with _made_whole(folder) as partial:
        _compile(go, partial / "controlplane")
        for name in PROGRAMS:
            (partial / name).symlink_to("controlplane")
    megabytes = (folder / "controlplane").stat().st_size / 1e6
    say(f"built in {time.monotonic() - started:.0f} s, {megabytes:.0f} MB")


def _compile(go: Path, binary: Path) -> None:
    # Without its version in it kubectl cannot parse the server's.
    linking = f"-s -w -X k8s.io/component-base/version.gitVersion={_kubernetes_version()}"
    command = ["nice", str(go), "build", "-ldflags", linking, "-o", str(binary), "."]
    subprocess.run(command, cwd=HERE, env=go_environment() | {"GOFLAGS": " ".join(FLAGS)}, check=True)


def _key(go: Path) -> str:
    """Return what the binary depends on: the sources, the versions they pin, the compiler, the kind of machine."""
    compiler = subprocess.check_output([go, "env", "GOVERSION"], cwd=HERE, env=go_environment(), text=True)
    digest = hashlib.sha256(f"{compiler} {sysconfig.get_platform()} {FLAGS}".encode())
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((HERE / name).read_bytes())
    return f"{_kubernetes_version()}-{digest.hexdigest()[:12]}"


def _kubernetes_version() -> str:
    versions: list[str] = re.findall(r"k8s\.io/kubernetes (v\S+)", (HERE / "go.mod").read_text())
    return versions[0]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time make a folder; another waits, and then finds it made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """Give a folder its name when all is in it, so that an interrupted build is never taken for a build."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    yield partial
    partial.rename(folder)


def say(text: str) -> None:
    """Tell whoever waits what is going on; standard output belongs to what they asked for."""
    print(f"control plane: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(control_plane_programs())
