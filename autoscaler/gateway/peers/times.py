"""How long gateways wait for each other."""

from typing import NamedTuple


class Times(NamedTuple):
    """Durations in seconds, the same at all gateways."""

    beat_s: float = 0.5
    silent_s: float = 1.5
    """Who is not heard for so long may be written out."""
    permit_s: float = 10.0
    clock_error: float = 1.1
    """How much longer than a permit others wait, because clocks run unequally fast."""
    read_s: float = 1.0
    """How often the store is read while that is needed."""
    low_permit_s: float = 2.0
    """With less than this left, the permit is renewed by reads of the store."""
    out_s: float = 5.0
    """How long clients wait at a gateway that is no member."""
    often_out_s: float = 60.0
    """Who was out three times in this time owns nothing for as long."""
    good_s: float = 10.0
    """How long a link that was cut has to be good before its ends own services again."""
