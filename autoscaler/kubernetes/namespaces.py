"""Which namespaces may claim which hosts: an annotation names those that may claim hosts under a namespace's wildcards.

    inflight.dev/host-claims-from: "team-b, team-c"

Users who may change a policy can seldom change its namespace, so cluster administrators grant this.
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


def granted_namespaces(item: Mapping[str, Any]) -> frozenset[str]:
    """Give the namespaces that may claim hosts under a namespace's wildcards; an invalid annotation is logged."""
    metadata = item["metadata"]
    text = (metadata.get("annotations") or {}).get(HOST_CLAIMS_FROM, "")
    names = {name.strip() for name in text.split(",")} - {""}
    legal = frozenset(name for name in names if _NAME.fullmatch(name))
    if names != legal:
        message = "namespace %s: metadata.annotations.%s: %r: must be names of namespaces, separated by commas"
        _log.error(message, metadata["name"], HOST_CLAIMS_FROM, text)
    return legal


def permissions_of(namespaces: Mapping[str, frozenset[str]]) -> NamespaceHostPermissions:
    """Combine the grants of all namespaces, which are keyed as in a store."""
    return NamespaceHostPermissions({key.removeprefix("/"): given for key, given in namespaces.items() if given})
