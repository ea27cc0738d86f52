#!/usr/bin/env python3
"""Makes the image that the Dockerfile starts from, where no engine can pull one: Debian's packages, by debootstrap.

`requirements/debian.list` lists each package with version, architecture and SHA-256. A package of a listed version has
to have the listed hash. One that Debian has replaced by a newer version is taken, and the base's label says so.
`python tools/image_base.py` writes the list anew, of what Debian has today.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from programs import ROOT, UnavailableError

from autoscaler.runtime.programs import cache_folder

SUITE = "bookworm"
LIST = ROOT / "requirements" / "debian.list"
LABEL = "dev.inflight.base"
INCLUDED = ("ca-certificates", "python3")
"""What the Dockerfile installs into the base."""
LEFT_OUT = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
)
"""What a slim Debian has not; directories stay, empty."""
SETTINGS = {
    "etc/dpkg/dpkg.cfg.d/slim": "force-unsafe-io\n" + "".join(f"path-exclude /{name}/*\n" for name in LEFT_OUT[:4]),
    "etc/apt/apt.conf.d/slim": 'Acquire::Languages "none";\n',
}
"""As a slim Debian is set, so that packages come to it without their manuals, and quickly."""
_LINE = re.compile(r"(?P<name>[a-z0-9.+-]+)=(?P<version>\S+) (?P<architecture>\w+) sha256:(?P<sha256>[0-9a-f]{64})")


class Package(NamedTuple):
    """One Debian package, as it was fetched."""

    name: str
    version: str
    architecture: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}={self.version} {self.architecture} sha256:{self.sha256}"


def recipe() -> list[bytes]:
    """Give all that a base depends on, to tell one from another."""
    return [each.encode() for each in (SUITE, *INCLUDED, *LEFT_OUT, *SETTINGS.values(), LIST.read_text())]


@contextmanager
def made_root() -> Iterator[tuple[Path, str]]:
    """Make the base's files; gives their root, as long as the block runs, and what the label says of them.

    Raises:
        UnavailableError: debootstrap failed, or a package has another hash than the list says.
    """
    with _bootstrapped() as root:
        said = against_list(fetched(root), listed())
        for content in (each for name in LEFT_OUT for each in (root / name).iterdir()):
            shutil.rmtree(content) if content.is_dir() and not content.is_symlink() else content.unlink()
        for name, text in SETTINGS.items():
            (root / name).write_text(text)
        yield root, said


@contextmanager
def _bootstrapped() -> Iterator[Path]:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="work-") as folder:
        root = Path(folder, "root")
        with (log := Path(folder, "debootstrap.log")).open("w") as output:
            command = ["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE, str(root)]
            if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode:
                raise UnavailableError(f"debootstrap failed:\n{log.read_text()[-1000:]}")
        yield root


def listed() -> dict[str, Package]:
    """Read the list, by the packages' names.

    Raises:
        ValueError: a line is none of a list.
    """
    found = {}
    for number, line in enumerate(LIST.read_text().splitlines(), 1):
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{LIST.name}:{number}: must be NAME=VERSION ARCHITECTURE sha256:HASH")
        found[match["name"]] = Package(**match.groupdict())
    return found


def fetched(root: Path) -> list[Package]:
    """Give the packages that a root was made of, in order."""
    found = []
    for file in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        name, version, architecture = unquote(file.stem).split("_")
        found.append(Package(name, version, architecture, hashlib.sha256(file.read_bytes()).hexdigest()))
    return found


def against_list(found: list[Package], known: Mapping[str, Package]) -> str:
    """Compare packages with the list, and say how the base stands to it.

    Raises:
        UnavailableError: a listed package has another hash.
    """
    others = []
    for package in found:
        expected = known.get(package.name)
        if expected is None or package[:3] != expected[:3]:
            others.append(f"{package.name}={package.version} {package.architecture}")
        elif package.sha256 != expected.sha256:
            raise UnavailableError(f"{package.name}={package.version} has another SHA-256 than {LIST.name} says")
    return f"{LIST.name} but for {', '.join(others)}" if others else f"{LIST.name}"


def main() -> int:
    """Write the list of what Debian has today."""
    with _bootstrapped() as root:
        packages = fetched(root)
    head = (
        f"# Debian {SUITE}: what tools/image_base.py makes the base of the image of. Written by `make lock-debian`.\n"
    )
    LIST.write_text(head + "".join(f"{package}\n" for package in packages))
    return 0


if __name__ == "__main__":
    sys.exit(main())
