"""Which gateways there are, in file mode: `--peers FILE`, or `--peers a=host:port,b=host:port`."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path

from autoscaler.documents.document import DocumentError
from autoscaler.gateway.peers.names import LEGAL_NAME, NAME, split_address
from autoscaler.runtime.files import FileWatch

_Entry = tuple[str, str, str]
"""Where it stands, the name, and the address."""


class PeerList:
    """The gateways that `--peers` names, by name, each with the `host:port` of its peer port.

    Args:
        text: the value of `--peers`. With a `=` it is the list itself, else a file with lines `name host:port`.
        name: our own name, which must be there.
    """

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._file = None if "=" in text else Path(text)
        self._watch = None if self._file is None else FileWatch([self._file])

    def read(self) -> Mapping[str, str]:
        """Give the addresses by name.

        Raises:
            DocumentError: an entry is wrong, a name or an address is there twice, or our own is missing.
            OSError: the file cannot be read.
        """
        source = "--peers" if self._file is None else str(self._file)
        entries = list(_inline(self._text) if self._file is None else _lines(self._file))
        if problems := [problem for problem in _problems(entries) if problem]:
            raise DocumentError(problems)
        found = {name: address for _, name, address in entries}
        if self._name not in found:
            known = ", ".join(found) or "nobody"
            raise DocumentError([f"{source}: has no entry of --name {self._name!r}; it names {known}"])
        return found

    async def changed(self) -> AsyncIterator[None]:
        """Give a turn after each change of the file, which is checked once a second; without a file never."""
        while self._watch is not None:
            await self._watch.changed()
            yield


def _inline(text: str) -> Iterator[_Entry]:
    for part in text.split(","):
        name, _, address = part.partition("=")
        yield f"--peers: {part.strip()!r}", name.strip(), address.strip()


def _lines(file: Path) -> Iterator[_Entry]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DocumentError([f"{file}: is not UTF-8; write one `name host:port` a line"]) from error
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if words:
            yield f"{file}:{number}: {' '.join(words)!r}", words[0], " ".join(words[1:])


def _problems(entries: Iterable[_Entry]) -> Iterator[str]:
    names: set[str] = set()
    addresses: dict[str, str] = {}
    for where, name, address in entries:
        yield from (f"{where}: {problem}" for problem in _entry_problems(name, address, names, addresses))
        names.add(name)
        addresses.setdefault(address, name)


def _entry_problems(name: str, address: str, names: set[str], addresses: Mapping[str, str]) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"{name!r} is no name: {LEGAL_NAME}"
    if name in names:
        yield f"the name {name!r} is there twice"
    if address in addresses:
        yield f"the address {address!r} is already that of {addresses[address]!r}"
    try:
        split_address(address)
    except ValueError as error:
        yield str(error)
