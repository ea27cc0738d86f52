"""The keys of the file of `--prometheus-credentials`: authentication and TLS for Prometheus servers.

The file belongs to the controller. Policies name a server by its address alone, so that a policy can never send a
credential to another server: the credentials of an address in this file are sent only to that address. The keys, and
their meanings, are those of Prometheus' own HTTP clients. The file contains no secrets, only the names of files that
do.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from autoscaler.documents.document import DocumentError, read_file
from autoscaler.documents.fields import ResourceModel
from autoscaler.documents.prometheus_address import checked, place_of
from autoscaler.policy.loading import validated

FilePath = Annotated[str, StringConstraints(min_length=1)]
"""Relative to the folder of the file that names it."""


class _Part(ResourceModel):
    model_config = ConfigDict(alias_generator=None)


class Authorization(_Part):
    """The header Authorization, such as a bearer token."""

    type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")] = "Bearer"
    """The scheme before the credentials."""
    credentials_file: FilePath
    """The file with the credentials."""


class BasicAuth(_Part):
    """A user name and a password."""

    username: Annotated[str, StringConstraints(pattern=r"^[^:\x00-\x1f]*$")]
    """The user name."""
    password_file: FilePath
    """The file with the password."""


class TlsConfig(_Part):
    """Trusted certificates, and our own."""

    ca_file: FilePath | None = None
    """Certificates to trust instead of the system's."""
    cert_file: FilePath | None = None
    """Our own certificate; needs `key_file`."""
    key_file: FilePath | None = None
    """Its key, without a password."""
    server_name: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The name in the server's certificate. Absent: the one in the address."""
    insecure_skip_verify: bool = False
    """Do not verify the server's certificate."""

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            given, missing = ("cert_file", "key_file") if self.cert_file else ("key_file", "cert_file")
            raise ValueError(f"{given}: needs {missing} too")
        return self


_RESERVED = frozenset(
    {"authorization", "connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"}
)
_WORDS = r"^[!-~]([ -~]*[!-~])?$"
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", max_length=128)]
HeaderValue = Annotated[str, StringConstraints(pattern=_WORDS, max_length=4096)]


class Header(_Part):
    """The values of one header, in this order; several values are joined by commas."""

    values: tuple[HeaderValue, ...] = ()
    """Values that are not secret."""
    files: tuple[FilePath, ...] = ()
    """Files with further values, one in each."""

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if not self.values and not self.files:
            raise ValueError("values: needs at least one here, or in files")
        return self


class Server(_Part):
    """One server."""

    address: Annotated[str, AfterValidator(checked)]
    """The address, as policies and `--prometheus` name it."""
    authorization: Authorization | None = None
    """At most one of this and `basic_auth`."""
    basic_auth: BasicAuth | None = None
    """At most one of this and `authorization`."""
    tls_config: TlsConfig = TlsConfig()
    """For `https` addresses."""
    http_headers: dict[HeaderName, Header] = Field(default_factory=dict)
    """Further headers of each request, such as `X-Scope-OrgID` of Mimir, Cortex and Loki."""

    @model_validator(mode="after")
    def _has_no_reserved_header(self) -> Self:
        for name in self.http_headers:
            if name.lower() in _RESERVED:
                raise ValueError(f"http_headers.{name}: is set by other keys or by the request itself")
        return self

    @model_validator(mode="after")
    def _has_one_authentication(self) -> Self:
        if self.authorization and self.basic_auth:
            raise ValueError("basic_auth: cannot be combined with authorization: only one of them can be sent")
        return self


class Servers(_Part):
    """The whole file."""

    servers: Annotated[tuple[Server, ...], Field(min_length=1)]
    """Each address once."""

    @model_validator(mode="after")
    def _names_each_server_once(self) -> Self:
        known = [place_of(server.address) for server in self.servers]
        for number, place in enumerate(known):
            if place in known[:number]:
                raise ValueError(f"servers: has {self.servers[number].address} twice")
        return self


def read_servers(path: Path) -> dict[str, Server]:
    """Read the file; the key of each server is its `place_of`.

    Raises:
        DocumentError: it cannot be read, or is not valid.
    """
    documents = read_file(path)
    if len(documents) != 1:
        raise DocumentError([f"{path}: must have one document, but has {len(documents)}"])
    servers = validated(documents[0], Servers).servers
    return {place_of(server.address): server for server in servers}
