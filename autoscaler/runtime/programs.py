"""Finds the programs that the demo and the tests start, such as Prometheus and hey.

It looks, in this order, at an environment variable (`PROMETHEUS=`, `HEY=`), at PATH, and at the user's cache folder, in
which `make programs` installs them. Finding never installs anything; `tools/programs.py` does.
"""

import os
import shutil
from pathlib import Path


def cache_folder() -> Path:
    """Return the project's folder in the user's cache: `$XDG_CACHE_HOME/inflight`, by default `~/.cache/inflight`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inflight"


def find(name: str) -> Path | None:
    """Return the path of the program `name`, or None if there is none.

    Raises:
        FileNotFoundError: the environment variable names no program; then no other one is used instead.
    """
    variable = name.upper().replace("-", "_")
    if not (named := os.environ.get(variable)):
        found = shutil.which(name) or shutil.which(name, path=cache_folder() / "bin")
        return Path(found).absolute() if found else None
    if found := shutil.which(named):
        return Path(found).absolute()
    raise FileNotFoundError(f"{variable}={named} names no program that can be started")
