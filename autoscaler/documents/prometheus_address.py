"""The base address of a Prometheus server: which are allowed, which are equal, and how they are shown.

An address names only a server. A query or a fragment would cut off the API's path, so that the author of a policy could
choose what is requested from any host. A user name or a password would appear in every place that shows the address.
"""

import re
from urllib.parse import urlsplit

LONGEST = 2048
_HOST = r"([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_PATH = r"(/[A-Za-z0-9._~%!$&'()*+,;=:/-]*)?"
PATTERN = rf"^https?://{_HOST}(:{_PORT})?{_PATH}$"
"""It means the same to Python's `re.fullmatch` and to the RE2 of the API server."""

LEGAL = "must be http://HOST:PORT/PATH or https://HOST:PORT/PATH, without a query (?), a fragment (#) or spaces"
NO_CREDENTIALS = "must not have a user name or a password in it: put these into the file of --prometheus-credentials"
_PORTS = {"http": 80, "https": 443}


class CredentialsError(ValueError):
    """A value contains credentials and must not be shown."""


def checked(address: str) -> str:
    """Give the address if it is allowed; else raise ValueError, whose message never repeats the address."""
    if len(address) <= LONGEST and re.fullmatch(PATTERN, address):
        return address
    raise CredentialsError(NO_CREDENTIALS) if "@" in address else ValueError(LEGAL)


def place_of(address: str) -> str:
    """Write an address so that equal addresses are equal texts."""
    parts = urlsplit(address)
    user, _, host = parts.netloc.rpartition("@")
    host, port = (host.lower(), "") if host.endswith("]") or ":" not in host else host.lower().rsplit(":", 1)
    return f"{parts.scheme.lower()}://{user}@{host}:{port or _PORTS.get(parts.scheme.lower())}{parts.path.rstrip('/')}"


def public(text: str) -> str:
    """Remove what may be a user name or a password from an address or a text: all before its last `@`."""
    return re.sub(r"//.*@", "//", text, flags=re.DOTALL)
