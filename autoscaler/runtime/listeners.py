"""Sockets to listen on: on given hosts, or on all addresses of the machine, IPv4 and IPv6."""

import errno
import os
import socket
from collections.abc import Sequence

_EVERYWHERE = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))  # noqa: S104
_NOT_HERE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
_ATTEMPTS = 10
_Address = tuple[socket.AddressFamily, str]


def listeners(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Bind a socket for each address of these hosts, all with the same port.

    Args:
        hosts: names or addresses; empty means all addresses, of IPv4 and IPv6 if the machine has both.
        port: 0 takes one that is free on all addresses.

    Raises:
        OSError: a host has no address, or the port is in use; the message names host and port.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _bound(hosts, port)
        except OSError as error:
            # The port that is free on the first address may be in use on the second.
            if port or error.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _bound(hosts: Sequence[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(hosts) if hosts else _EVERYWHERE:
            try:
                sockets.append(_listener(family, address, sockets[0].getsockname()[1] if sockets else port))
            except OSError as error:
                if hosts or error.errno not in _NOT_HERE:
                    raise
    except OSError:
        _close(sockets)
        raise
    if not sockets:
        raise OSError(errno.EADDRNOTAVAIL, "this machine has neither IPv4 nor IPv6")
    return sockets


def _addresses(hosts: Sequence[str]) -> list[_Address]:
    found: list[_Address] = []
    for host in hosts:
        try:
            infos = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host}: {error}") from error
        found += [(family, str(address[0])) for family, _, _, _, address in infos]
    return list(dict.fromkeys(found))


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.settimeout(0)
    except OSError as error:
        listener.close()
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise OSError(error.errno, f"cannot listen on {address} port {port}: {why}") from error
    return listener


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()
