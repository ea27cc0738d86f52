"""Settings of `spec.hints` and of `hint` in `spec.traffic.paths`: requests that are announced before they arrive."""

from typing import Annotated

from pydantic import Field

from autoscaler.documents.fields import Duration, ResourceModel, lasting

HINTS_NEED_OURS = "hints: needs concurrency or mpa; kpa, hpa and keda decide as the original, without hints"
HINTS_NEED_TRAFFIC = "hints: needs traffic, for the gateway takes them"
HINT_NEEDS_HINTS = "traffic.paths: a hint needs spec.hints, which says how many may be announced"


class Hints(ResourceModel):
    """Requests that may be announced. An announced request counts as in flight until it arrives or its time is over.

    It can raise the number of replicas, up to maxReplicas, and never lowers it.
    """

    max: Annotated[int, Field(ge=1, le=1000)] = 2
    """Announced requests that count at a time, whoever announced them; each gateway takes no more than these."""
    max_per_sender: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Of them from one sender: a client that opens pages, or the address of a program that posts hints. Absent:
    `max`."""
    lead_time: Annotated[Duration, lasting("0s", "1h")] = 120.0
    """How long before its request is to come a hint begins to count. A replica that starts in this time is ready."""


class PathHint(ResourceModel):
    """What a request to a path announces: counted requests of the same client."""

    requests: Annotated[int, Field(ge=1, le=100)] = 1
    """How many. A further request of the same client replaces what it announced before."""
    within: Annotated[Duration, lasting("1s", "1h")] = 60.0
    """How long they may take to come; what has not come then is forgotten."""
