"""The result of a load, as plain values: every response with its times, and the requests without a response."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple


class Response(NamedTuple):
    """The response to one request; all times in seconds."""

    latency_s: float
    dialup_s: float
    """DNS and connecting; 0 on an existing connection."""
    dns_s: float
    write_s: float
    wait_s: float
    """From the last byte of the request to the first byte of the response."""
    read_s: float
    status: int
    offset_s: float
    """When the request was sent, after the start of the load."""
    size: int = 0
    """Bytes of the response; 0 if unknown."""

    def scaled(self, by: float) -> "Response":
        """Give the same response with all its times multiplied."""
        return self._replace(**{name: value * by for name, value in self._asdict().items() if name.endswith("_s")})


@dataclass(frozen=True, slots=True)
class LoadResult:
    """All responses, in the order in which they arrived."""

    total_s: float
    answers: tuple[Response, ...]
    errors: Mapping[str, int]
    """The number of requests without a response, by reason."""

    def scaled(self, by: float) -> "LoadResult":
        """Give the same result with all its times multiplied."""
        return replace(self, total_s=self.total_s * by, answers=tuple(answer.scaled(by) for answer in self.answers))
