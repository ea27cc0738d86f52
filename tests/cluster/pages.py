"""Pages of the documentation as a reader types them: their blocks of `sh`, run by bash with real kubectl and curl.

Blocks run in a folder that holds a copy of `manifests/`. Port numbers of containers are other ones, since all pods are
on this machine; all else is as it stands on the page.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from documentation import DOCS, MARKDOWN
from installation import Ports
from markdown_it.token import Token

from autoscaler.runtime.programs import cache_folder


class Page:
    """A page of `docs/`, by its path there; what stands before the first heading is the section "".

    Args:
        path: such as `start/first-service.md`.
        ports: what stands in place of the page's port of a pod.
    """

    def __init__(self, path: str, ports: Ports) -> None:
        text = re.sub(r"\b8000\b", str(ports.service), (DOCS / path).read_text())
        self._sections: dict[str, list[Token]] = {"": []}
        tokens = MARKDOWN.parse(text)
        for token, heading in zip(tokens, [*tokens[1:], None], strict=True):
            if token.type == "heading_open" and token.tag == "h2" and heading is not None:
                self._sections[heading.content] = []
            elif token.type == "fence":
                next(reversed(self._sections.values())).append(token)

    @property
    def sections(self) -> list[str]:
        """The headings, in order."""
        return list(self._sections)

    def commands(self, *sections: str) -> str:
        """Give all blocks of commands of these sections, one after the other."""
        return "".join(block for section in sections for block in self.blocks(section))

    def blocks(self, section: str, language: str = "sh") -> list[str]:
        """Give the blocks of a section."""
        return [token.content for token in self._sections[section] if token.info == language]


@contextmanager
def typed(commands: str, plane, folder: Path) -> Iterator[str]:
    """Run commands to their end and give what they printed; what they left in the background ends with the context."""
    output = folder / "printed.txt"
    with output.open("wb") as file:
        command = ["bash", "-euo", "pipefail", "-c", commands]
        environment = plane.environment()
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        shell = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        status = shell.wait(180)
        assert status == 0, output.read_text()
        yield output.read_text()
    finally:
        with suppress(ProcessLookupError):  # of commands that left nothing behind
            os.killpg(shell.pid, signal.SIGTERM)


def run(commands: str, plane, folder: Path) -> str:
    """Run commands that leave nothing behind, and give what they printed."""
    with typed(commands, plane, folder) as printed:
        return printed


@contextmanager
def alone_with_their_port() -> Iterator[None]:
    """Pages name a port of this machine, which others of these tests may want at the same time."""
    with (cache_folder() / "pages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
