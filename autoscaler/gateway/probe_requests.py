"""Health checks from outside: they are served like other requests, but do not wake a pod.

Every client can use such a user agent, so nothing else depends on it: neither a request's class nor its slot.
"""

from collections.abc import Iterable, Sequence

_METHODS = frozenset({b"GET", b"HEAD"})


class ProbeUserAgents:
    """The user agents that a service takes for health checks."""

    def __init__(self, user_agents: Iterable[str]) -> None:
        self._parts = tuple(text.lower().encode("latin-1") for text in user_agents)

    def match(self, method: bytes, user_agents: Sequence[bytes]) -> bool:
        """Return whether a request without a body is a health check: GET or HEAD, with one of the user agents."""
        if method not in _METHODS or not user_agents:
            return False
        asked_by = b"\n".join(user_agents).lower()
        return any(part in asked_by for part in self._parts)
