#!/usr/bin/env python3
"""Puts the definitions of other projects' kinds into the user's cache folder, and prints that folder.

They are files of the Go modules that `go.mod` pins; `go.sum` has their checksums. No code of them is built or run: in
the tests the API server serves these kinds, and a test plays their controllers.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from autoscaler.runtime.programs import cache_folder

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
from programs import UnavailableError, appear, find_go, go_environment, only_one, work_folder  # noqa: E402 - see above

FILES = {
    "github.com/argoproj/argo-rollouts": {"rollouts": "manifests/crds/rollout-crd.yaml"},
    "github.com/prometheus-operator/prometheus-operator": {
        "podmonitors": "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "servicemonitors": "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    },
    "sigs.k8s.io/gateway-api": {
        "gateways": "config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
        "httproutes": "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
        "referencegrants": "config/crd/standard/gateway.networking.k8s.io_referencegrants.yaml",
    },
    "sigs.k8s.io/lws": {"leaderworkersets": "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"},
}
"""The definitions that the tests need: the plural of each kind, and its file in the module."""


def definitions() -> Path:
    """Give the folder with `PLURAL.yaml` for each definition, fetched first if it is not there yet.

    Raises:
        programs.UnavailableError: there is no Go, or a module cannot be had or is not what `go.sum` says.
    """
    with redirect_stdout(sys.stderr):  # what is said on the way is not the answer
        home = cache_folder() / "definitions" / _key()
        with only_one("definitions"):
            return home.resolve() if home.exists() else _fetched(home)


def _fetched(home: Path) -> Path:
    with work_folder() as work:
        (made := work / "definitions").mkdir()
        for module in _downloaded(find_go(HERE)):
            for plural, file in FILES[module["Path"]].items():
                shutil.copyfile(Path(module["Dir"], file), made / f"{plural}.yaml")
        return appear(made, home)


def _downloaded(go: Path) -> Iterator[dict[str, Any]]:
    """Give what Go says of each module: its path, and the folder in which it lies now."""
    command = [str(go), "mod", "download", "-json"]
    environment = go_environment() | {"GOFLAGS": "-mod=readonly -modcacherw"}
    pipe = subprocess.PIPE
    done = subprocess.run(command, cwd=HERE, env=environment, stdout=pipe, stderr=pipe, text=True, check=False)
    decoder, rest = json.JSONDecoder(), done.stdout.lstrip()
    while rest:
        module, end = decoder.raw_decode(rest)
        if "Error" in module:
            raise UnavailableError(f"{module['Path']}: {module['Error']}")
        yield module
        rest = rest[end:].lstrip()
    if done.returncode:
        raise UnavailableError(f"{' '.join(command)} failed:\n    {done.stderr.strip()}")


def _key() -> str:
    digest = hashlib.sha256(json.dumps(FILES, sort_keys=True).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    try:
        print(definitions())
    except UnavailableError as error:
        raise SystemExit(str(error)) from error
