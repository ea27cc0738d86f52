"""Requests that only ask whether somebody is there: they are served as any other, and wake nobody.

Anybody can call itself a probe, so nothing else may depend on it: neither the class of a request nor its slot.
"""

from collections.abc import Iterable, Sequence

_METHODS = frozenset({b"GET", b"HEAD"})


class ProbeUserAgents:
    """Knows the user agents that a service takes for probes."""

    def __init__(self, user_agents: Iterable[str]) -> None:
        self._parts = tuple(text.lower().encode("latin-1") for text in user_agents)

    def match(self, method: bytes, user_agents: Sequence[bytes]) -> bool:
        """Say whether a request without a body is a probe: a GET or HEAD whose user agent contains one of the texts."""
        if method not in _METHODS or not user_agents:
            return False
        asked_by = b"\n".join(user_agents).lower()
        return any(part in asked_by for part in self._parts)
