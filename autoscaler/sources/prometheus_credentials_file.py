"""The file of `--prometheus-credentials`: how servers are spoken to that ask who one is. It belongs to the controller.

Policies name servers by their address alone, so that nobody who may write a policy can send a credential anywhere: what
stands beside an address here is shown to that address, and to no other. The keys are those of Prometheus' own HTTP
clients, and so is their meaning; a secret itself is never in it, only the file that has it.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from autoscaler.documents.document import DocumentError, read_file
from autoscaler.documents.fields import ResourceModel
from autoscaler.documents.prometheus_address import checked, place_of
from autoscaler.policy.loading import validated

FilePath = Annotated[str, StringConstraints(min_length=1)]
"""Relative to the folder of the file in which it stands."""


class _Part(ResourceModel):
    model_config = ConfigDict(alias_generator=None)


class Authorization(_Part):
    """The header Authorization, such as a bearer token."""

    type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")] = "Bearer"
    """The word before the credentials."""
    credentials_file: FilePath
    """What has the credentials."""


class BasicAuth(_Part):
    """A name and a password."""

    username: Annotated[str, StringConstraints(pattern=r"^[^:\x00-\x1f]*$")]
    """The name."""
    password_file: FilePath
    """What has the password."""


class TlsConfig(_Part):
    """Whom to trust, and who we are."""

    ca_file: FilePath | None = None
    """Certificates to trust in the place of the system's."""
    cert_file: FilePath | None = None
    """Our own certificate; needs `key_file`."""
    key_file: FilePath | None = None
    """Its key, without a password."""
    server_name: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The name in the server's certificate. Absent: the one in the address."""
    insecure_skip_verify: bool = False
    """Trust whoever answers."""

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            given, missing = ("cert_file", "key_file") if self.cert_file else ("key_file", "cert_file")
            raise ValueError(f"{given}: needs {missing} beside it")
        return self


_KEPT = frozenset(
    {"authorization", "connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"}
)
_WORDS = r"^[!-~]([ -~]*[!-~])?$"
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", max_length=128)]
HeaderValue = Annotated[str, StringConstraints(pattern=_WORDS, max_length=4096)]


class Header(_Part):
    """The values of one header, in this order; several are sent with commas between them."""

    values: tuple[HeaderValue, ...] = ()
    """Values that are no secrets."""
    files: tuple[FilePath, ...] = ()
    """What has further values, one in each."""

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if not self.values and not self.files:
            raise ValueError("values: needs at least one here, or in files")
        return self


class Server(_Part):
    """One server."""

    address: Annotated[str, AfterValidator(checked)]
    """As policies and `--prometheus` name it."""
    authorization: Authorization | None = None
    """At most one of this and `basic_auth`."""
    basic_auth: BasicAuth | None = None
    """At most one of this and `authorization`."""
    tls_config: TlsConfig = TlsConfig()
    """For `https` addresses."""
    http_headers: dict[HeaderName, Header] = Field(default_factory=dict)
    """What else a request says, such as `X-Scope-OrgID` of Mimir, Cortex and Loki."""

    @model_validator(mode="after")
    def _says_no_header_of_ours(self) -> Self:
        for name in self.http_headers:
            if name.lower() in _KEPT:
                raise ValueError(f"http_headers.{name}: is set by other keys or by the request itself")
        return self

    @model_validator(mode="after")
    def _says_once_who_we_are(self) -> Self:
        if self.authorization and self.basic_auth:
            raise ValueError("basic_auth: cannot stand beside authorization: only one of them can be sent")
        return self


class Servers(_Part):
    """The whole file."""

    servers: Annotated[tuple[Server, ...], Field(min_length=1)]
    """Each address once."""

    @model_validator(mode="after")
    def _each_is_there_once(self) -> Self:
        known = [place_of(server.address) for server in self.servers]
        for number, place in enumerate(known):
            if place in known[:number]:
                raise ValueError(f"servers: has {self.servers[number].address} twice")
        return self


def read_servers(path: Path) -> dict[str, Server]:
    """Read the file, by `place_of` each server.

    Raises:
        DocumentError: it cannot be read, or is not legal.
    """
    documents = read_file(path)
    if len(documents) != 1:
        raise DocumentError([f"{path}: must have one document, and has {len(documents)}"])
    servers = validated(documents[0], Servers).servers
    return {place_of(server.address): server for server in servers}
