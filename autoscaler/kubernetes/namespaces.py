"""What namespaces allow each other: an annotation of a namespace names those that may claim hosts below its wildcards.

    inflight.dev/host-claims-from: "team-b, team-c"

Whoever may change a policy can seldom change its namespace, so administrators of the cluster give leave.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

from autoscaler.host_claims import NamespaceHostPermissions
from autoscaler.kubernetes.objects import Resource
from autoscaler.policy.spec import GROUP

NAMESPACES = Resource("v1", "namespaces")
HOST_CLAIMS_FROM = f"{GROUP}/host-claims-from"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_log = logging.getLogger(__name__)


def leave_given(item: Mapping[str, Any]) -> frozenset[str]:
    """Give the namespaces that a namespace lets claim hosts below its wildcards; what is no name is logged."""
    metadata = item["metadata"]
    text = (metadata.get("annotations") or {}).get(HOST_CLAIMS_FROM, "")
    names = {name.strip() for name in text.split(",")} - {""}
    legal = frozenset(name for name in names if _NAME.fullmatch(name))
    if names != legal:
        told = "namespace %s: metadata.annotations.%s: %r: must be names of namespaces, parted by commas"
        _log.error(told, metadata["name"], HOST_CLAIMS_FROM, text)
    return legal


def permissions_of(namespaces: Mapping[str, frozenset[str]]) -> NamespaceHostPermissions:
    """Make leave of what all namespaces give, by the key that a store has."""
    return NamespaceHostPermissions({key.removeprefix("/"): given for key, given in namespaces.items() if given})
