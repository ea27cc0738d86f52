"""Where the page listens, and by which names it may be asked for. No I/O."""

import ipaddress
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535


class PageAddress(NamedTuple):
    """Where the page listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "PageAddress":
        """Read `host:port` or `:port`; without a host only this machine can reach the page.

        Raises:
            ValueError: it is neither.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > _HIGHEST_PORT:
            raise ValueError(f"must be host:port or :port, with a port of 0 to {_HIGHEST_PORT}")
        return cls(host or LOOPBACK, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        address = _ip(self.host)
        return self.host.lower() == "localhost" if address is None else address.is_loopback


def names_page(host: str, configured: str) -> bool:
    """Tell whether the value of a header `Host` is this page's: no name that somebody else can own is.

    Args:
        host: the header's value.
        configured: the host on which the page listens.
    """
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    return name.lower().rstrip(".") in {"localhost", configured.lower()} or _ip(name) is not None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
