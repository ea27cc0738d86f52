"""The settings of the controller in a cluster: what its command line and environment say."""

from dataclasses import dataclass, field
from pathlib import Path

from autoscaler.kubernetes.lease import Times
from autoscaler.runtime.bearer_tokens import BearerTokens


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """The controller's own settings; none is about a single service."""

    own_namespace: str
    """The namespace of the controller, its Lease and the gateways."""
    identity: str
    """A name that no other replica of the controller has."""
    namespace: str = ""
    """Only policies of this namespace; empty means all namespaces."""
    resources: bool = True
    """Whether policies are read as custom resources."""
    files: tuple[Path, ...] = ()
    """Files with policies."""
    host_claims: Path | None = None
    """The file that says which namespaces may claim which hosts; None uses their annotations."""
    prometheus: str | None = None
    """The server of policies that name none."""
    prometheus_credentials: Path | None = None
    """The file with authentication and TLS for Prometheus servers."""
    prometheus_servers: tuple[str, ...] = ()
    """Other servers that policies may name."""
    tick_s: float = 2.0
    gateways: tuple[str, ...] = ()
    """Metrics addresses of gateways that are not pods."""
    gateway_label: str = ""
    """Label selector of gateways that are pods; empty means none."""
    foreign_writer_hold_s: float = 300.0
    tokens: BearerTokens | None = None
    """Sent to the gateways."""
    lease: Times = field(default_factory=Times)
