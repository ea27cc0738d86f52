"""The key by which gateways know each other: `--peer-key FILE`.

Rules:
1. The file has one key per line, or one key that is no text. A key has 32 bytes or more.
2. The first proves who we are, and each is accepted, so that a change has no gap: add the new key as the second line
   everywhere, then make it the first, then remove the old one.
3. No message and no log line shows a key.
"""

from pathlib import Path

SHORTEST_KEY = 32
_LONGEST_FILE = 64 * 1024


def read_peer_keys(file: Path) -> tuple[bytes, ...]:
    """Read the keys of a file.

    Raises:
        ValueError: it has no key, or one that is too short; the message names the file and the line.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        content = opened.read(_LONGEST_FILE + 1)
    if len(content) > _LONGEST_FILE:
        raise ValueError(f"{file}: has more than {_LONGEST_FILE} bytes; write one key a line")
    keys = _numbered(content)
    if not keys:
        raise ValueError(f"{file}: has no key; write one a line, each of {SHORTEST_KEY} bytes or more")
    for number, key in keys:
        if len(key) < SHORTEST_KEY:
            raise ValueError(f"{file}:{number}: the key has {len(key)} bytes; legal are {SHORTEST_KEY} or more")
    return tuple(key for _, key in keys)


def _numbered(content: bytes) -> list[tuple[int, bytes]]:
    """Give the keys, each with its line."""
    is_text = content.isascii() and content.decode().replace("\n", "").replace("\r", "").isprintable()
    if not is_text:
        return [(1, content)]
    return [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
