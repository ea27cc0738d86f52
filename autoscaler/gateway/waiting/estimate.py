"""What is expected of a request's wait, and how it is written for its client."""

import math
from typing import Any, Protocol

_LONGEST_S = 86_400.0


class Estimate(Protocol):
    """How long a request should wait from now on."""

    @property
    def position(self) -> int:
        """Its place among those that wait; 1 is next."""

    @property
    def p50_s(self) -> float:
        """Half of the requests like it wait no longer."""

    @property
    def p90_s(self) -> float:
        """Nine of ten wait no longer."""


def known(estimate: Estimate | None) -> Estimate | None:
    """Return an estimate that a client can use, else None."""
    if estimate is None or not all(0 <= each <= _LONGEST_S for each in (estimate.p50_s, estimate.p90_s)):
        return None
    return estimate


def header_lines(estimate: Estimate) -> bytes:
    """Return the place and the expected seconds as header lines; an item with a parameter (RFC 9651)."""
    return b"X-Inflight-Position: %d\r\nX-Inflight-Estimate: %.1f;p90=%.1f\r\n" % (
        estimate.position,
        estimate.p50_s,
        estimate.p90_s,
    )


def members(estimate: Estimate | None) -> dict[str, Any]:
    """Return it for an error in JSON; nothing if it is unknown."""
    if estimate is None:
        return {}
    return {
        "position": estimate.position,
        "estimate": {"p50": round(estimate.p50_s, 1), "p90": round(estimate.p90_s, 1)},
    }


def retry_after_s(estimate: Estimate, spread: float) -> int:
    """Return for `Retry-After` when half of the waits would be over; `spread` keeps clients from returning together."""
    return max(1, min(int(_LONGEST_S), math.ceil(estimate.p50_s * spread)))
