"""Which policy owns which host: one pure function of all policies, for the controller and the gateway.

Rules:
1. Claims are settled oldest first, by creation time, then by `namespace/name`. The order of a list changes nothing.
2. A claim is granted if its host is free. Below a wildcard of another policy it is granted within the same namespace,
   and to another namespace only with permission. `*` is a wildcard too.
3. So a younger policy never takes a request from an older one of another namespace without permission. A policy that
   loses one host keeps its others.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv6Address
from typing import NamedTuple, Protocol

ServiceName = str
"""A policy by its `namespace/name`."""

ANY = "*"
LONGEST_HOST = 253
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]*)?")


class Claim(NamedTuple):
    """The hosts that one policy names."""

    service: ServiceName
    hosts: tuple[str, ...]
    created_s: float = 0.0
    """When the policy was created, in Unix time."""


class Conflict(NamedTuple):
    """A claim that is not granted."""

    host: str
    owner: ServiceName | None
    """The policy that owns the host; None if the namespace may not claim it at all."""
    why: str
    """The reason, as a sentence."""


class Ownership(NamedTuple):
    """The result for all claims."""

    owners: Mapping[str, ServiceName]
    """The policy of each host and wildcard, as written by `normal`."""
    conflicts: Mapping[ServiceName, tuple[Conflict, ...]]
    """The claims that are not granted, by policy."""

    def hosts(self) -> dict[ServiceName, tuple[str, ...]]:
        """Give the hosts of each policy with at least one."""
        found: dict[ServiceName, list[str]] = {}
        for host, service in self.owners.items():
            found.setdefault(service, []).append(host)
        return {service: tuple(hosts) for service, hosts in found.items()}


class HostPermissions(Protocol):
    """The hosts that namespaces may claim, and what they allow each other."""

    def refusal(self, namespace: str, host: str) -> str:
        """Say why a namespace may not claim a host at all; empty if it may."""
        ...

    def refusal_below(self, wildcard: str, owner: str, namespace: str, host: str) -> str:
        """Say why a namespace may not claim a host below the wildcard of another namespace; empty if it may."""
        ...


class NamespaceHostPermissions(NamedTuple):
    """Permissions of the namespace of a wildcard for others; every namespace may claim a free host."""

    given: Mapping[str, frozenset[str]] = {}
    """The namespaces that may claim hosts below the wildcards of a namespace, by that namespace."""

    def refusal(self, namespace: str, host: str) -> str:  # noqa: ARG002 - the protocol's signature
        """Refuse nothing."""
        return ""

    def refusal_below(self, wildcard: str, owner: str, namespace: str, host: str) -> str:  # noqa: ARG002
        """Refuse a namespace that the owner does not name."""
        if namespace in self.given.get(owner, ()):
            return ""
        return f"the namespace {owner} gives {namespace} no leave for a host below it"


class HostGrants(NamedTuple):
    """The hosts that an operator grants to each namespace; a namespace without a grant may claim nothing."""

    granted: Mapping[str, tuple[str, ...]]
    """Hosts and wildcards by namespace. A wildcard grants itself and everything below it."""

    def refusal(self, namespace: str, host: str) -> str:
        """Refuse a host without a grant."""
        if any(covers(grant, host) for grant in self._of(namespace)):
            return ""
        legal = ", ".join(self._of(namespace)) or "nothing"
        return f"--host-claims lets the namespace {namespace} claim: {legal}"

    def refusal_below(self, wildcard: str, owner: str, namespace: str, host: str) -> str:
        """Refuse a host that is granted only by a wider pattern than the wildcard."""
        if any(covers(grant, host) and covers(wildcard, grant) for grant in self._of(namespace)):
            return ""
        return f"--host-claims gives {namespace} no host below it, and {owner} has it"

    def _of(self, namespace: str) -> tuple[str, ...]:
        return self.granted.get(namespace, ())


def normal(host: str) -> str:
    """Write a host so that equal hosts are equal texts: in lower case, without port and last dot.

    An IPv6 address gets its shortest form.
    """
    if ":" in host:
        match = _HOST_AND_PORT.fullmatch(host)
        host = _short(match[1]) if match else host
    return host.lower().removesuffix(".")


def _short(host: str) -> str:
    if not host.startswith("["):
        return host
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        return host


def patterns(host: str) -> Iterator[str]:
    """Give the patterns that match a host, the strongest first: itself, then each wildcard above it, then `*`.

    The host is in the form of `normal`, and may be a wildcard itself.
    """
    yield host
    labels, dot = host.removeprefix("*."), -1
    while (dot := labels.find(".", dot + 1)) >= 0:
        yield f"*{labels[dot:]}"
    if host != ANY:
        yield ANY


def covers(pattern: str, host: str) -> bool:
    """Tell whether a pattern matches a host, or everything that a wildcard matches."""
    return pattern in (host, ANY) or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def settle(claims: Iterable[Claim], permissions: HostPermissions | None = None) -> Ownership:
    """Give each host to the oldest policy that claims it and may have it."""
    permissions = NamespaceHostPermissions() if permissions is None else permissions
    owners: dict[str, ServiceName] = {}
    wildcards: set[str] = set()
    conflicts: dict[ServiceName, list[Conflict]] = {}
    for claim in sorted(claims, key=_age):
        for host in dict.fromkeys(map(normal, claim.hosts)):
            found = _holder(host, owners, wildcards)
            conflict = _conflict(claim.service, host, found, owners, permissions)
            if conflict is None:
                owners[host] = claim.service
                if host.startswith(ANY):
                    wildcards.add(host)
            else:
                conflicts.setdefault(claim.service, []).append(conflict)
    return Ownership(owners, {service: tuple(found) for service, found in conflicts.items()})


def _age(claim: Claim) -> tuple[float, ServiceName]:
    return claim.created_s, claim.service


def _holder(host: str, owners: Mapping[str, ServiceName], wildcards: set[str]) -> str | None:
    """Give the pattern that owns a host so far."""
    if host in owners:
        return host
    # Few policies have wildcards: mostly there is nothing to search above a host.
    return next(filter(wildcards.__contains__, patterns(host)), None) if wildcards else None


def _conflict(
    service: ServiceName, host: str, found: str | None, owners: Mapping[str, ServiceName], permissions: HostPermissions
) -> Conflict | None:
    namespace = _namespace(service)
    if refusal := permissions.refusal(namespace, host):
        return Conflict(host, None, f"{host}: {refusal}")
    if found is None:
        return None
    owner = owners[found]
    if found == host:
        return Conflict(host, owner, f"{host} belongs to the policy {owner}")
    if _namespace(owner) == namespace:
        return None
    refusal = permissions.refusal_below(found, _namespace(owner), namespace, host)
    return Conflict(host, owner, f"{host} is below {found} of the policy {owner}; {refusal}") if refusal else None


def settle_ageless(claims: Iterable[Claim], permissions: HostPermissions | None = None) -> Ownership:
    """Settle claims without ages, as in files: a claim that could be refused at some age is refused.

    Of two policies with the same host the second by name is refused; below a wildcard, the narrower claim is.
    """
    each = ((claim.service, host) for claim in claims for host in dict.fromkeys(map(normal, claim.hosts)))
    return settle((Claim(service, (host,), _narrowness(host)) for service, host in each), permissions)


def _narrowness(host: str) -> float:
    if host == ANY:
        return 0.0
    return float(host.count(".")) if host.startswith("*.") else float(LONGEST_HOST)


def _namespace(service: ServiceName) -> str:
    return service.partition("/")[0]
