"""Which gateways there are: every pod with their label, from its address to its very end."""

from collections.abc import Mapping
from typing import Any

METRICS_PORT = 9090
"""Where a gateway is asked that names no port `metrics`."""


def host_port(host: str, port: int) -> str:
    """Write an address; that of IPv6 stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def metrics_address(item: Mapping[str, Any]) -> str:
    """Give the metrics address of a gateway's pod; empty where there is none to ask.

    One that is being deleted is asked until it is gone: what it still serves counts.
    """
    status = item.get("status") or {}
    if not status.get("podIP") or status.get("phase") in {"Succeeded", "Failed"}:
        return ""
    ports = (port for container in item["spec"]["containers"] for port in container.get("ports") or ())
    port = next((port["containerPort"] for port in ports if port.get("name") == "metrics"), METRICS_PORT)
    return host_port(status["podIP"], port)
