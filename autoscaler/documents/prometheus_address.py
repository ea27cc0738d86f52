"""The base address of a Prometheus server: what is legal, which two are the same, and how one is shown.

An address names a server and nothing else. A query or a fragment would take the API's path away, so that whoever writes
a policy could choose what is asked of any host. A name or a password would be copied to wherever the address is shown.
"""

import re
from urllib.parse import urlsplit

LONGEST = 2048
_HOST = r"([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_PATH = r"(/[A-Za-z0-9._~%!$&'()*+,;=:/-]*)?"
PATTERN = rf"^https?://{_HOST}(:{_PORT})?{_PATH}$"
"""Read alike by Python's `re.fullmatch` and by the RE2 of the API server."""

LEGAL = "must be http://HOST:PORT/PATH or https://HOST:PORT/PATH, without a query (?), a fragment (#) or spaces"
NO_CREDENTIALS = "must not have a user name or a password in it: put these into the file of --prometheus-credentials"
_PORTS = {"http": 80, "https": 443}


class CredentialsError(ValueError):
    """A value that must not be shown: there are credentials in it."""


def checked(address: str) -> str:
    """Give a legal address back; raises ValueError, whose message never repeats the address, on any other."""
    if len(address) <= LONGEST and re.fullmatch(PATTERN, address):
        return address
    raise CredentialsError(NO_CREDENTIALS) if "@" in address else ValueError(LEGAL)


def place_of(address: str) -> str:
    """Write an address in the one way in which two that mean the same are the same."""
    parts = urlsplit(address)
    user, _, host = parts.netloc.rpartition("@")
    host, port = (host.lower(), "") if host.endswith("]") or ":" not in host else host.lower().rsplit(":", 1)
    return f"{parts.scheme.lower()}://{user}@{host}:{port or _PORTS.get(parts.scheme.lower())}{parts.path.rstrip('/')}"


def public(text: str) -> str:
    """Give an address, or a text with one, without what may be a name or a password: all before its last `@`."""
    return re.sub(r"//.*@", "//", text, flags=re.DOTALL)
