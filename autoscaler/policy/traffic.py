"""Settings of `spec.traffic`: what the gateway does with a service's requests, and with those who send them."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from autoscaler.documents.fields import (
    RULES,
    Duration,
    Percent,
    ResourceModel,
    Shape,
    WholeSeconds,
    between,
    exactly_one,
    exactly_one_rule,
    lasting,
    rule,
)
from autoscaler.runtime.probe_user_agents import PROBES

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME_OR_ADDRESS = rf"{_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\]"
"""A host without its port: labels as DNS has them, with the underscores of Docker's names, or IPv6 in brackets."""

Host = Annotated[
    str,
    Shape(
        rf"\*|(\*\.)?({NAME_OR_ADDRESS})",
        "a name such as sd.example.com, an address such as [::1], a wildcard such as *.example.com, or * for any",
        253,
    ),
]
PathGlob = Annotated[
    str,
    Shape(
        r"/[^ ?#*]*(\*[^ ?#*]*){0,8}", "a path that begins with / and has no space, ? or #, with at most 8 stars", 256
    ),
]
Path = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=1024)]
Origin = Annotated[
    str,
    Shape(
        rf"\*|null|[A-Za-z][A-Za-z0-9+.-]*://({NAME_OR_ADDRESS})(:[0-9]{{1,5}})?",
        "an origin such as https://app.example.com, without a path, or * for any",
        300,
    ),
]
Method = Annotated[str, Shape(r"\*|[A-Z]{1,32}", "a method such as POST, or * for any", 32)]
HeaderName = Annotated[str, Shape(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a header, or * for any", 128)]
UserAgent = Annotated[str, Shape(r"[ -~]{3,256}", "3 to 256 printable characters of ASCII", 256)]
CookieName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=128)]


class Queue(ResourceModel):
    """Requests that wait for a replica."""

    max_length: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """More are refused at once with 503 and Retry-After."""
    timeout: Annotated[Duration, lasting("1s", "24h")] = 600.0
    """One that waited so long is refused with 504 and Retry-After."""


class Cookie(ResourceModel):
    """The gateway's own cookie, which brings a client back to its replica."""

    name: CookieName = "inflight"
    """Its name."""
    timeout: Annotated[Duration, lasting("1s", "720h")] = 1800.0
    """How long after the cookie was first given a client is remembered."""


class Affinity(ResourceModel):
    """Requests of one client go to one replica."""

    cookie: Cookie = Cookie()
    """What the client is known by."""
    when_busy: Literal["Wait", "Spill"] = "Wait"
    """Whether a request waits for its own busy replica, or goes to another one after `spillAfter`. With Wait, new
    replicas take no request of a client that is bound to another: right where a session lives in its replica."""
    spill_after: Annotated[Duration, lasting("0s", "1h")] = 30.0
    """How long a request waits for its own replica where `whenBusy` is Spill."""


class Timeouts(ResourceModel):
    """How long anything may stand still; none of them counts the wait in the queue."""

    response_start: Annotated[Duration, lasting("1s", "24h")] | None = None
    """From the grant to the first byte of the response, else 504. Absent: `requestTimeout`."""
    connect: Annotated[Duration, lasting("100ms", "1m")] = 2.0
    """To a replica; one that takes longer is taken for one that refuses, and the request goes elsewhere."""
    body_idle: Annotated[Duration, lasting("1s", "1h")] = 60.0
    """Silence of a client in the middle of its request's body while a replica has the request, then 408."""
    stalled_client: Annotated[Duration, lasting("1s", "1h")] = 60.0
    """How long a client may take nothing of a response that is ready for it, before it is cut."""
    stream_idle: Annotated[Duration, lasting("1s", "24h")] = 3600.0
    """Silence of a stream, which `requestTimeout` does not end while its client is there. Streams are responses of the
    types text/event-stream, application/x-ndjson, ndjson, jsonl, jsonlines, json-seq, stream+json and
    multipart/x-mixed-replace."""
    tunnel_idle: Annotated[Duration, lasting("1s", "24h")] = 3600.0
    """Silence on both sides of a WebSocket, which `requestTimeout` does not end; then it is closed with 1001. When one
    side has ended, the other has `requestTimeout` to end too."""


class Cors(ResourceModel):
    """The gateway's answer to browsers that ask whether a page of another origin may call the service.

    It wakes nobody for that. It lets these pages read the responses too, unless a replica says itself which ones may.
    """

    origins: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=64)]
    """Whose pages may call, such as https://app.example.com; `*` is any."""
    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=16)] = ("GET", "HEAD", "POST")
    """What they may ask for."""
    headers: Annotated[tuple[HeaderName, ...], Field(max_length=64)] = ("Content-Type", "Authorization")
    """Request headers that they may set besides those that any page may; `*` is any but Authorization."""
    max_age: Annotated[WholeSeconds, lasting("0s", "24h")] = 600.0
    """For how long a browser need not ask again."""


_LONGEST_IS_LONGER = "maxEjectionTime: must be at least baseEjectionTime; they are 5m and 30s where they are absent"
_LONGEST_IS_LONGER_CEL = (
    "duration(self.?maxEjectionTime.orValue('5m')) >= duration(self.?baseEjectionTime.orValue('30s'))"
)


class Health(ResourceModel):
    """Which replicas are not sent requests, though they are there.

    A replica that refuses a connection is left alone in any case: for 100ms, doubling to 5s.
    """

    model_config = ConfigDict(json_schema_extra={RULES: [rule(_LONGEST_IS_LONGER_CEL, _LONGEST_IS_LONGER)]})

    ready_path: Path | None = None
    """What a replica must answer with 200 to 399 before its first request; it is asked twice a second until then. With
    it, a 503 with Retry-After before its first other answer means that the replica is not ready: the request waits on.
    Absent: a replica is used as soon as it is there."""
    ready_timeout: Annotated[Duration, lasting("100ms", "1m")] = 2.0
    """How long the answer to `readyPath` may take."""
    consecutive_failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """A replica that fails so often in a row is ejected: it gets no requests for a while, if another one is ready."""
    failures: Annotated[tuple[Literal["Reset", "Timeout", "ServerError"], ...], Field(max_length=3)] = ("Reset",)
    """What counts as a failure. Reset: the connection breaks off, or what comes is not HTTP. Timeout: no answer within
    its time. ServerError: a status of 500 or more. Empty: none does."""
    base_ejection_time: Annotated[Duration, lasting("1s", "1h")] = 30.0
    """How long the first ejection lasts. Then the replica gets one counted request at a time: a good answer ends the
    trial, a failure ejects it again for twice as long."""
    max_ejection_time: Annotated[Duration, lasting("1s", "24h")] = 300.0
    """How long an ejection lasts at most."""
    max_ejection_percent: Annotated[Percent, between("0%", "100%")] = 0.5
    """Replicas that may be ejected at a time; one always may be while another is ready."""

    @model_validator(mode="after")
    def _longest_is_longer(self) -> Self:
        if self.max_ejection_time < self.base_ejection_time:
            raise ValueError(_LONGEST_IS_LONGER)
        return self


JsonPointer = Annotated[
    str,
    Shape(r"(/([^/~]|~[01])*)*", "a JSON pointer (RFC 6901) such as /queue_running; empty is all of the answer", 256),
]
MetricName = Annotated[str, Shape(r"[A-Za-z_:][A-Za-z0-9_:]*", "the name of a metric", 256)]


class Busy(ResourceModel):
    """What replicas are asked for the number of jobs they work on, where a response comes before its work is done.

    A job counts as a request in flight: it keeps its slot and its replica. It counts once, whether it is a request that
    is open or one of the replica's own number. A replica gets no request before its first answer. While it does not
    answer, its last number stands; a refused connection means that it has no jobs.
    """

    model_config = ConfigDict(json_schema_extra={RULES: [exactly_one_rule("json_pointers", "metrics")]})

    path: Path
    """What is asked for by GET; the answer has to be a 200 of at most 1 MiB."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Where it is asked for. Absent: the port on which the replica serves."""
    json_pointers: Annotated[tuple[JsonPointer, ...], Field(min_length=1, max_length=8)] | None = None
    """The answer is JSON, and at these places stand numbers, or lists whose elements are jobs; they are added up.
    Exactly one of this and `metrics`."""
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1, max_length=8)] | None = None
    """The answer is Prometheus' text format; all samples of these metrics are added up."""
    interval: Annotated[Duration, lasting("200ms", "1m")] = 2.0
    """How often a replica is asked; also soon after each response."""
    timeout: Annotated[Duration, lasting("100ms", "1m")] = 1.0
    """How long an answer may take."""

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        exactly_one(self, "json_pointers", "metrics")
        return self


class PathRule(ResourceModel):
    """What requests to some paths cost."""

    match: Annotated[tuple[PathGlob, ...], Field(min_length=1, max_length=64)]
    """Paths; `*` stands for any characters, slashes too, at most 8 times in a path."""
    class_: Annotated[Literal["Count", "Pass"], Field(alias="class")]
    """Count takes a slot of a replica and is scaled for; Pass does neither."""
    wake: bool = True
    """Whether a Pass request that meets zero replicas is held and asks for one, or is refused with 503, as it is where
    every replica refuses connections."""
    max_per_pod: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Pass requests that one replica is given at a time, and WebSockets that may be open there beside them."""
    request_timeout: Annotated[Duration, lasting("1s", "24h")] | None = None
    """In place of the service's, for these paths."""


_MOST_PATTERNS = 256
_TOO_MANY_PATTERNS = f"must have at most {_MOST_PATTERNS} patterns in all"


class Traffic(ResourceModel):
    """What the gateway does; without it another proxy routes."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule(
                    f"!has(self.paths) || self.paths.map(each, size(each.match)).sum() <= {_MOST_PATTERNS}",
                    f"paths: {_TOO_MANY_PATTERNS}",
                )
            ]
        }
    )

    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=64)]
    """Values of the Host header, without port; `*.` matches any labels in front, `*` alone any host. Each has one
    owner: in a cluster the oldest policy that names it, in files the only one."""
    port: Annotated[int, Field(ge=1, le=65535)] = 80
    """The port on which a pod serves."""
    queue: Queue = Queue()
    """Requests that wait for a replica."""
    request_timeout: Annotated[Duration, lasting("1s", "24h")] = 300.0
    """From the moment a replica is given the request; the wait in the queue does not count."""
    timeouts: Timeouts = Timeouts()
    """How long anything may stand still."""
    load_balancing: Literal["FirstAvailable", "LeastRequest"] | None = None
    """Which of several replicas with room gets a counted request. FirstAvailable: the one that was there first, so that
    later ones idle and can leave. LeastRequest: the one with the fewest requests. Absent: FirstAvailable where
    `containerConcurrency` is 1, else LeastRequest."""
    health: Health = Health()
    """Which replicas are not sent requests, though they are there."""
    busy: Busy | None = None
    """What replicas are asked for the number of their jobs. Absent: they work on requests alone."""
    max_body_bytes: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """A longer request body is refused with 413. Absent: no limit, for bodies stream through and take no memory."""
    min_body_bytes_per_second: Annotated[int, Field(ge=0, le=1_000_000_000)] = 16_384
    """How fast a request's body has to come while a replica has the request, over 10 s; a slower one is ended with 408,
    so that the slot is free. Up to 1 MiB is read while the request still waits, at any speed. 0: no rate."""
    on_abort: Literal["Close", "WaitUpstream", "Interrupt"] = "WaitUpstream"
    """A client hangs up on a counted request that runs. WaitUpstream: its slot is free when the replica is done.
    Interrupt: the same, and the replica is asked to break off. Close: the connection is closed and the slot free at
    once, which is right only where the server stops working then."""
    interrupt_path: Path = "/sdapi/v1/interrupt"
    """What Interrupt sends a POST to; it ends whatever the replica runs."""
    probes: Annotated[tuple[UserAgent, ...], Field(max_length=64)] = PROBES
    """User agents of those who ask only whether somebody is there, by a text that they contain, in any case. A GET or
    HEAD without a body from them wakes nobody: it is refused with 503 where there is no replica. Else it is as any."""
    cors: Cors | None = None
    """Absent: the replicas answer browsers themselves. A browser's question (a preflight: OPTIONS with Origin and
    Access-Control-Request-Method) takes no slot; at zero it is held and asks for a replica."""
    half_close: Literal["Abort", "Allow"] = "Abort"
    """Whether a client that closes its sending side before the response has come counts as one that hung up, as in
    nginx and Go, or still waits."""
    affinity: Affinity | None = None
    """Absent: each request goes where there is room."""
    paths: Annotated[tuple[PathRule, ...], Field(max_length=64)] = ()
    """First match wins; a path that none matches is Count. At most 256 patterns in all."""

    @model_validator(mode="after")
    def _has_not_too_many_patterns(self) -> Self:
        if sum(len(each.match) for each in self.paths) > _MOST_PATTERNS:
            raise ValueError(f"paths: {_TOO_MANY_PATTERNS}")
        return self
