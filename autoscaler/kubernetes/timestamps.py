"""Kubernetes' timestamps."""

from datetime import UTC, datetime


def unix_s(text: str) -> float:
    """Read a timestamp of Kubernetes."""
    return datetime.fromisoformat(text).timestamp()


def timestamp(unix: float, *, micro: bool = False) -> str:
    """Write a timestamp as Kubernetes does: whole seconds, or `MicroTime`."""
    text = datetime.fromtimestamp(unix, UTC).isoformat(timespec="microseconds" if micro else "seconds")
    return text.replace("+00:00", "Z")
