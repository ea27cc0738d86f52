"""Authentication and TLS for each Prometheus server, and which servers may be used. Changed files are read again.

The keys of the file are in `prometheus_credentials_file`; here they become headers and a TLS context.
"""

import base64
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from autoscaler.documents.document import DocumentError
from autoscaler.documents.prometheus_address import place_of
from autoscaler.runtime.files import Version, version_of
from autoscaler.sources.prometheus_credentials_file import Server, TlsConfig, read_servers
from autoscaler.sources.prometheus_response import QueryError

_log = logging.getLogger(__name__)


class ClientAuth(NamedTuple):
    """Authentication and TLS for one server."""

    headers: Mapping[str, str]
    trust: ssl.SSLContext | bool
    """True uses the system's certificates."""
    server_name: str | None
    hint: str
    """What to tell a user if the server refuses this."""


class _Known(NamedTuple):
    auth: ClientAuth
    versions: Mapping[Path, Version]
    """Of the files from which it was read."""


REFUSED = (
    "may not be used: policies may name the servers of --prometheus and --prometheus-servers, and those in the file "
    "of --prometheus-credentials"
)


class PrometheusCredentials:
    """The servers of the controller's own settings; policies choose among them.

    Args:
        path: the credentials file; without one there are no credentials, and the system's certificates are trusted.
        servers: addresses that may be used besides those in the file; None allows all.

    Raises:
        DocumentError: the file cannot be read, or is not valid. A file that becomes invalid later changes nothing.
    """

    def __init__(self, path: Path | None = None, servers: Iterable[str] | None = None) -> None:
        self._path = path
        self._allowed = None if servers is None else frozenset(map(place_of, servers))
        self._version = version_of(path) if path else None
        self._servers: Mapping[str, Server] = read_servers(path) if path else {}
        self._known: dict[str, _Known] = {}

    def of(self, address: str) -> ClientAuth:
        """Give the current credentials of a server; raises QueryError if it may not be used or a file is wrong."""
        refusal = self.refusal(address)
        if refusal:
            raise QueryError(refusal)
        place = place_of(address)
        server = self._servers.get(place)
        if server is None or self._path is None:
            return ClientAuth({}, trust=True, server_name=None, hint=_no_credentials(self._path))
        known = self._known.get(place)
        if known is None or any(version_of(file) != version for file, version in known.versions.items()):
            known = self._known[place] = _read(server, self._path)
        return known.auth

    def refusal(self, address: str) -> str:
        """Say why a server may not be used; empty if it may."""
        self._recheck()
        allowed = self._allowed
        return "" if allowed is None or (place := place_of(address)) in allowed or place in self._servers else REFUSED

    def _recheck(self) -> None:
        if self._path is None or version_of(self._path) == self._version:
            return
        self._version = version_of(self._path)
        try:
            self._servers, self._known = read_servers(self._path), {}
        except DocumentError as error:
            _log.error("credentials not reloaded, the last valid ones stay in force: %s", error)


def _no_credentials(path: Path | None) -> str:
    return f"{path} has no credentials for this address" if path else "no --prometheus-credentials are given"


def _read(server: Server, path: Path) -> _Known:
    versions: dict[Path, Version] = {}

    def located(name: str) -> Path:
        file = path.parent / name
        versions[file] = version_of(file)
        return file

    auth = ClientAuth(
        headers={**_more_headers(server, located), **_headers(server, located)},
        trust=_trust(server.tls_config, located),
        server_name=server.tls_config.server_name,
        hint=f"the credentials in {path} were used",
    )
    return _Known(auth, versions)


Located = Callable[[str], Path]


def _headers(server: Server, located: Located) -> dict[str, str]:
    if server.authorization:
        secret = _secret("credentials_file", located(server.authorization.credentials_file))
        return {"Authorization": f"{server.authorization.type} {secret}"}
    if server.basic_auth:
        secret = _secret("password_file", located(server.basic_auth.password_file))
        pair = base64.b64encode(f"{server.basic_auth.username}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


def _more_headers(server: Server, located: Located) -> dict[str, str]:
    return {
        name: ", ".join(
            [*header.values, *(_secret(f"http_headers.{name}.files", located(file)) for file in header.files)]
        )
        for name, header in server.http_headers.items()
    }


def _secret(key: str, file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise QueryError(f"{key} {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"{key} {file}: is not text in UTF-8") from error
    if not text or not text.isprintable():
        raise QueryError(f"{key} {file}: {'must be one line' if text else 'is empty'}")
    return text


def _trust(settings: TlsConfig, located: Located) -> ssl.SSLContext | bool:
    if settings == TlsConfig(server_name=settings.server_name):
        return True
    context = _authorities(located(settings.ca_file) if settings.ca_file else None)
    if settings.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file and settings.key_file:
        _load_client_certificate(context, located(settings.cert_file), located(settings.key_file))
    return context


def _authorities(file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file)
    except ssl.SSLError as error:
        raise QueryError(f"ca_file {file}: has no certificates in PEM ({error.reason})") from error
    except OSError as error:
        raise QueryError(f"ca_file {file}: {error.strerror}") from error


def _load_client_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for name, file in (("cert_file", certificate), ("key_file", key)):
        if version_of(file) is None:
            raise QueryError(f"{name} {file}: No such file or directory")
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise QueryError(f"cert_file {certificate}, key_file {key}: are not a PEM pair ({error.reason})") from error
    except OSError as error:
        raise QueryError(f"cert_file {certificate}, key_file {key}: {error.strerror}") from error
