"""Settings of requests that wait: how many may wait, for how long, and what their clients learn meanwhile."""

from typing import Annotated

from pydantic import Field

from autoscaler.documents.fields import Duration, ResourceModel, lasting


class QueueLimit(ResourceModel):
    """Limits that replace those of `queue` for requests that arrive in one state of the service."""

    max_length: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Replaces `queue.maxLength`."""
    timeout: Annotated[Duration, lasting("1s", "24h")] | None = None
    """Replaces `queue.timeout`."""


class Queue(ResourceModel):
    """Requests that wait for a replica."""

    max_length: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """More requests than this are refused at once with 503 and Retry-After."""
    timeout: Annotated[Duration, lasting("1s", "24h")] = 600.0
    """A request that has waited this long is refused with 504 and Retry-After."""
    none_ready: QueueLimit = QueueLimit()
    """Other limits for requests that arrive while no replica is ready and so wait for a start. What exceeds the length
    is refused with 503."""
    all_busy: QueueLimit | None = None
    """Other limits for requests that arrive while a replica is ready, so that all are busy. With it, what exceeds the
    length is refused with 429 in place of 503."""


class Waiting(ResourceModel):
    """What clients that wait learn. Nothing unless it is switched on."""

    headers: bool = False
    """Whether the answer of a request that waited has `X-Inflight-Position`, `X-Inflight-Estimate` and `Server-Timing`,
    and `Retry-After` of a refusal is the estimate. An unknown estimate is left out."""
