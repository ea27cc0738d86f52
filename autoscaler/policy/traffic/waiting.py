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


class WaitingEvents(ResourceModel):
    """Comments to a client that waits for an event stream, so that no proxy closes the connection.

    They are for requests with `Accept: text/event-stream`. The first comment fixes the status 200. If the replica then
    answers with anything but an event stream, the client gets an event `error`.
    """

    after: Annotated[Duration, lasting("0s", "1h")] = 5.0
    """How long the status stays open. A request that is served or refused before has the status as without this."""
    every: Annotated[Duration, lasting("1s", "10m")] = 15.0
    """The time between two comments."""


class Waiting(ResourceModel):
    """What clients that wait learn. Nothing unless it is switched on."""

    headers: bool = False
    """Whether the answer of a request that waited has `X-Inflight-Position`, `X-Inflight-Estimate` and `Server-Timing`,
    and `Retry-After` of a refusal is the estimate. An unknown estimate is left out."""
    deadlines: bool = False
    """Whether a client may limit its wait: by `Prefer: wait=N` in seconds, or by `X-Request-Deadline` as Unix seconds
    or as a time with a zone. If its estimate (half of the requests wait no longer) is beyond that, it is refused at
    once with 503. A refused request starts a replica all the same if none is ready."""
    events: WaitingEvents | None = None
    """Comments to clients that wait for an event stream. Absent: they get nothing until a replica answers."""


class ColdStart(ResourceModel):
    """What a person sees in place of a page that has to wait."""

    page: bool = False
    """Whether a browser that opens a page gets a small page at once if it has to wait. The page says how long it should
    take, and what was asked for replaces it when it is ready. Browsers are recognised by `Sec-Fetch-Mode: navigate`,
    which they send over https and to localhost."""
    keep_place: Annotated[Duration, lasting("5s", "5m")] = 15.0
    """How long the place of a browser is kept that asks no more, because its tab was closed or its network is down."""
