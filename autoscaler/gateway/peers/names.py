"""What a gateway can be called, and where it can listen for its peers."""

import re

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
"""The name of a gateway: a pod's name, or one that can be a part of a file's name."""
LEGAL_NAME = "a name has 1 to 253 letters, digits, '-', '_' or '.', and begins and ends with a letter or digit"
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]/@,=]+):(?P<port>[0-9]{1,5})")
_MOST_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """Give host and port of `host:port`, without the brackets of an IPv6 address; raises ValueError."""
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) <= _MOST_PORT:
        raise ValueError(f"{address!r} is no address: write host:port, with a port from 1 to {_MOST_PORT}")
    return found["host"].strip("[]"), int(found["port"])
