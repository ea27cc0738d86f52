"""What a load came to, as plain values: every answer with its times, and what was never answered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple


class Answer(NamedTuple):
    """One request that was answered; all times in seconds."""

    latency_s: float
    dialup_s: float
    """DNS and connecting; 0 where a connection was there already."""
    dns_s: float
    write_s: float
    wait_s: float
    """From the last byte of the request to the first of the answer."""
    read_s: float
    status: int
    offset_s: float
    """When it was sent, counted from the start of the load."""
    size: int = 0
    """Bytes of the answer; 0 where unknown."""

    def scaled(self, by: float) -> "Answer":
        """Give the same answer with all its times multiplied."""
        return self._replace(**{name: value * by for name, value in self._asdict().items() if name.endswith("_s")})


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a load; `answers` are in the order in which they came."""

    total_s: float
    answers: tuple[Answer, ...]
    errors: Mapping[str, int]
    """How many requests got no answer, by reason."""

    def scaled(self, by: float) -> "Result":
        """Give the same result with all its times multiplied."""
        return replace(self, total_s=self.total_s * by, answers=tuple(answer.scaled(by) for answer in self.answers))
