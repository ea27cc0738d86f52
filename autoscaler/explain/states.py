"""The tags of a service: what it is doing, in one or two words."""

from enum import StrEnum


class State(StrEnum):
    """What a service is doing; the value is what is shown."""

    RUNNING = "Running"
    WAKING = "Waking"
    SCALING_UP = "Scaling up"
    HOLDING = "Holding"
    AT_ZERO = "At zero"
    AT_MAX = "At max"
    NO_STOCK = "Waiting for stock"
    UNKNOWN = "Count unknown"
    FOREIGN = "Another writer"
    REFUSED = "Write refused"
    PAUSED = "Paused"
    DRY_RUN = "Dry run"
    STANDBY = "Standing by"
    NOT_LIVE = "Not live"
    EMPTY = "Empty"


ATTENTION = frozenset({State.UNKNOWN, State.REFUSED, State.NO_STOCK, State.FOREIGN})
"""The states in which somebody should look; at max it depends on whether requests wait."""
