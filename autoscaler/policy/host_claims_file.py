"""The file of `--host-claims`: which namespaces may claim which hosts. It belongs to the operator of the cluster."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from autoscaler.documents.document import DocumentError, read_file
from autoscaler.documents.fields import ResourceModel
from autoscaler.host_claims import HostGrants, normal
from autoscaler.policy.http_texts import Host
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import Namespace


class NamespaceClaims(ResourceModel):
    """The hosts that one namespace may claim."""

    namespace: Namespace
    """The namespace of the policies."""
    hosts: Annotated[tuple[Host, ...], Field(min_length=1)]
    """Hosts and wildcards; a wildcard grants itself and everything below it, and `*` grants any host."""


class HostClaims(ResourceModel):
    """The whole file."""

    claims: Annotated[tuple[NamespaceClaims, ...], Field(min_length=1)]
    """Each namespace once; policies of other namespaces may claim no host."""

    @model_validator(mode="after")
    def _each_is_there_once(self) -> Self:
        known = [each.namespace for each in self.claims]
        for number, namespace in enumerate(known):
            if namespace in known[:number]:
                raise ValueError(f"claims: has the namespace {namespace} twice")
        return self


def read_host_claims(path: Path) -> HostGrants:
    """Read the file.

    Raises:
        DocumentError: it cannot be read, or is invalid.
    """
    documents = read_file(path)
    if len(documents) != 1:
        raise DocumentError([f"{path}: must have one document, and has {len(documents)}"])
    claims = validated(documents[0], HostClaims).claims
    return HostGrants({each.namespace: tuple(map(normal, each.hosts)) for each in claims})


def read_grants(path: Path | None) -> HostGrants | None:
    """Read the file, if there is one; as `read_host_claims`."""
    return None if path is None else read_host_claims(path)
