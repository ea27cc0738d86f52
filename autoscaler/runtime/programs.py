"""Finds the programs that the demo and the tests start beside us, such as Prometheus and hey.

In this order: the one that an environment variable names (`PROMETHEUS=`, `HEY=`), the one on PATH, the one that
`make programs` put into the user's cache folder. Finding never installs anything; `tools/programs.py` does.
"""

import os
import shutil
from pathlib import Path


def cache_folder() -> Path:
    """Return the project's folder in the user's cache: `$XDG_CACHE_HOME/inflight`, by default `~/.cache/inflight`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inflight"


def find(name: str) -> Path | None:
    """Return the path of the program `name`, or None where there is none.

    Raises:
        FileNotFoundError: the environment variable names no program. Whoever names one means that one and no other.
    """
    variable = name.upper().replace("-", "_")
    if not (named := os.environ.get(variable)):
        found = shutil.which(name) or shutil.which(name, path=cache_folder() / "bin")
        return Path(found).absolute() if found else None
    if found := shutil.which(named):
        return Path(found).absolute()
    raise FileNotFoundError(f"{variable}={named} names no program that can be started")
