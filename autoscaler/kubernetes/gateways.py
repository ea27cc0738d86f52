"""Which gateways there are: every pod with their label, from when it has an address until it is deleted."""

from collections.abc import Mapping
from typing import Any

METRICS_PORT = 9090
"""The port of a gateway that names no port `metrics`."""


def host_port(host: str, port: int) -> str:
    """Write `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def metrics_address(item: Mapping[str, Any]) -> str:
    """Give the metrics address of a gateway's pod; empty if it has none.

    A terminating pod keeps its address until it is gone, because the requests that it still serves count.
    """
    status = item.get("status") or {}
    if not status.get("podIP") or status.get("phase") in {"Succeeded", "Failed"}:
        return ""
    ports = (port for container in item["spec"]["containers"] for port in container.get("ports") or ())
    port = next((port["containerPort"] for port in ports if port.get("name") == "metrics"), METRICS_PORT)
    return host_port(status["podIP"], port)
