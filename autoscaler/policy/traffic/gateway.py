"""The section `spec.traffic`: what the gateway does with the requests and the clients of a service."""

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
from autoscaler.policy.http_texts import HeaderName, Host, Method, Origin, Path, PathGlob, Token, UserAgent
from autoscaler.policy.traffic.hints import PathHint
from autoscaler.policy.traffic.turns import Fairness, Priority
from autoscaler.policy.traffic.waiting import ColdStart, Queue, Waiting
from autoscaler.runtime.probe_user_agents import PROBES


class Cookie(ResourceModel):
    """The gateway's own cookie, which leads a client back to its replica."""

    name: Token = "inflight"
    """Its name."""
    timeout: Annotated[Duration, lasting("1s", "720h")] = 1800.0
    """How long the cookie is valid after it was first set."""


class Affinity(ResourceModel):
    """Requests of one client go to one replica."""

    cookie: Cookie = Cookie()
    """The cookie that identifies the client."""
    when_busy: Literal["Wait", "Spill"] = "Wait"
    """Wait: a request waits for its own busy replica. Spill: it goes to another one after `spillAfter`. With Wait, new
    replicas get no request of a client that is bound to another one; choose it if sessions are kept in replicas."""
    spill_after: Annotated[Duration, lasting("0s", "1h")] = 30.0
    """How long a request waits for its own replica if `whenBusy` is Spill."""


class Timeouts(ResourceModel):
    """Timeouts of the parts of a request. The time in the queue does not count."""

    response_start: Annotated[Duration, lasting("1s", "24h")] | None = None
    """From the start at a replica to the first byte of the response; then 504. Absent: `requestTimeout`."""
    connect: Annotated[Duration, lasting("100ms", "1m")] = 2.0
    """To connect to a replica. If it takes longer, the replica counts as refusing, and another one gets the request."""
    body_idle: Annotated[Duration, lasting("1s", "1h")] = 60.0
    """How long a client may pause in its request body while a replica has the request; then 408."""
    stalled_client: Annotated[Duration, lasting("1s", "1h")] = 60.0
    """How long a client may read nothing of a response that is ready; then its connection is closed."""
    stream_idle: Annotated[Duration, lasting("1s", "24h")] = 3600.0
    """How long a stream may be silent. `requestTimeout` does not end a stream while its client is connected. Responses
    of these types are streams: text/event-stream, application/x-ndjson, ndjson, jsonl, jsonlines, json-seq, stream+json
    and multipart/x-mixed-replace."""
    tunnel_idle: Annotated[Duration, lasting("1s", "24h")] = 3600.0
    """How long both sides of a WebSocket may be silent; then it is closed with 1001. `requestTimeout` does not end a
    WebSocket. When one side has closed, the other one has `requestTimeout` to close too."""


class Cors(ResourceModel):
    """The gateway answers browsers that ask whether a page of another origin may call the service.

    These questions start no replica. The pages may read the responses too, unless a replica sets its own CORS headers.
    """

    origins: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=64)]
    """Origins of the pages that may call, such as https://app.example.com; `*` is any."""
    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=16)] = ("GET", "HEAD", "POST")
    """Methods that they may use."""
    headers: Annotated[tuple[HeaderName, ...], Field(max_length=64)] = ("Content-Type", "Authorization")
    """Request headers that they may set besides those that every page may set; `*` is any except Authorization."""
    max_age: Annotated[WholeSeconds, lasting("0s", "24h")] = 600.0
    """How long a browser may keep the answer."""


_LONGEST_IS_LONGER = "maxEjectionTime: must be at least baseEjectionTime; they are 5m and 30s where they are absent"
_LONGEST_IS_LONGER_CEL = (
    "duration(self.?maxEjectionTime.orValue('5m')) >= duration(self.?baseEjectionTime.orValue('30s'))"
)


class Health(ResourceModel):
    """Which replicas get no requests although they exist.

    A replica that refuses a connection always gets none for 100ms, doubling up to 5s.
    """

    model_config = ConfigDict(json_schema_extra={RULES: [rule(_LONGEST_IS_LONGER_CEL, _LONGEST_IS_LONGER)]})

    ready_path: Path | None = None
    """A path that a replica must answer with 200 to 399 before its first request; the gateway asks twice a second. With
    it, a 503 with Retry-After before the first other response means that the replica is not ready, and the request
    waits on. Absent: a replica is used as soon as its pod is ready."""
    ready_timeout: Annotated[Duration, lasting("100ms", "1m")] = 2.0
    """How long the answer to `readyPath` may take."""
    consecutive_failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """After this many failures in a row a replica is ejected: for a time it gets no requests if another is ready."""
    failures: Annotated[tuple[Literal["Reset", "Timeout", "ServerError"], ...], Field(max_length=3)] = ("Reset",)
    """What counts as a failure. Reset: the connection breaks, or the response is not HTTP. Timeout: no response in
    time. ServerError: a status of 500 or more. Empty: nothing."""
    base_ejection_time: Annotated[Duration, lasting("1s", "1h")] = 30.0
    """How long the first ejection lasts. Then the replica gets one counted request at a time: a success ends the trial,
    a failure ejects it again for twice as long."""
    max_ejection_time: Annotated[Duration, lasting("1s", "24h")] = 300.0
    """The longest ejection."""
    max_ejection_percent: Annotated[Percent, between("0%", "100%")] = 0.5
    """The share of replicas that may be ejected at a time. One may always be, if another one is ready."""

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
    """How to ask replicas for their number of jobs, for servers that respond before the work is done.

    A job counts as a request in flight: it keeps its slot and its replica. A job and its open request count once. A
    replica gets no request before its first answer. While it does not answer, its last number counts. If it refuses the
    connection, it has no jobs.
    """

    model_config = ConfigDict(json_schema_extra={RULES: [exactly_one_rule("json_pointers", "metrics")]})

    path: Path
    """The path to GET; the answer must be a 200 of at most 1 MiB."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port to ask. Absent: the port on which the replica serves."""
    json_pointers: Annotated[tuple[JsonPointer, ...], Field(min_length=1, max_length=8)] | None = None
    """Places in a JSON answer with a number of jobs, or with a list of jobs; they are added up. Exactly one of this and
    `metrics`."""
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1, max_length=8)] | None = None
    """Metrics in an answer in Prometheus' text format; all their samples are added up."""
    interval: Annotated[Duration, lasting("200ms", "1m")] = 2.0
    """How often to ask a replica. It is also asked soon after each response."""
    timeout: Annotated[Duration, lasting("100ms", "1m")] = 1.0
    """How long an answer may take."""

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        exactly_one(self, "json_pointers", "metrics")
        return self


_NO_BODY = "body: a GET has none"


class WarmUp(ResourceModel):
    """One request to each pod that has started, after it is ready and before it gets requests of clients.

    It is not counted. If it fails, or takes longer than `timeout`, the pod gets requests all the same.
    """

    model_config = ConfigDict(
        json_schema_extra={RULES: [rule("self.?method.orValue('POST') != 'GET' || !has(self.body)", _NO_BODY)]}
    )

    method: Literal["GET", "POST", "PUT"] = "POST"
    """Its method."""
    path: Path
    """Its path, with a query if there is one."""
    body: Annotated[str, StringConstraints(max_length=16_384)] = ""
    """What to send, as application/json."""
    timeout: Annotated[Duration, lasting("1s", "1h")] = 300.0
    """How long to wait for its answer. While the pod refuses connections, it is tried again within this time."""

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        if self.method == "GET" and "body" in self.model_fields_set:
            raise ValueError(_NO_BODY)
        return self


class PathRule(ResourceModel):
    """How requests to some paths are treated."""

    match: Annotated[tuple[PathGlob, ...], Field(min_length=1, max_length=64)]
    """Paths; `*` stands for any characters including slashes, at most 8 times in a path."""
    class_: Annotated[Literal["Count", "Pass"], Field(alias="class")] = "Count"
    """Count: a request takes a slot of a replica, and replicas follow it. Pass: neither."""
    wake: bool = True
    """Whether a Pass request at zero replicas is held and starts one. If not, it is refused with 503, also when every
    replica refuses connections."""
    max_per_pod: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Pass requests that one replica gets at a time, and WebSockets that may be open there besides."""
    request_timeout: Annotated[Duration, lasting("1s", "24h")] | None = None
    """`requestTimeout` for these paths. Absent: that of the service."""
    hint: PathHint | None = None
    """What such a request announces, if `spec.hints` is there: a page that was opened, the job to come. Absent:
    nothing."""


_MOST_PATTERNS = 256
_TOO_MANY_PATTERNS = f"must have at most {_MOST_PATTERNS} patterns in all"


class Traffic(ResourceModel):
    """What the gateway does. Without it another proxy routes the requests."""

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
    """Values of the Host header, without port; `*.` matches any labels in front, `*` alone any host. Each host belongs
    to one policy: in a cluster the oldest that names it; in files only one may name it."""
    port: Annotated[int, Field(ge=1, le=65535)] = 80
    """The port on which a pod serves."""
    queue: Queue = Queue()
    """Requests that wait for a replica."""
    waiting: Waiting = Waiting()
    """What clients that wait learn. Nothing unless it is switched on."""
    cold_start: ColdStart = ColdStart()
    """What a person sees in place of a page that has to wait."""
    errors: Literal["Text", "Problem"] = "Text"
    """How the gateway writes its own errors. Text: a line of text. Problem: application/problem+json (RFC 9457), and on
    the paths of OpenAI's API, such as /v1/chat/completions, an object `error` as its clients expect."""
    request_timeout: Annotated[Duration, lasting("1s", "24h")] = 300.0
    """From the start at a replica to the end of the response. The time in the queue does not count."""
    timeouts: Timeouts = Timeouts()
    """Timeouts of the parts of a request."""
    load_balancing: Literal["FirstAvailable", "LeastRequest"] | None = None
    """Which of several replicas with a free slot gets a counted request. FirstAvailable: the oldest, so that later ones
    become idle and can be removed. LeastRequest: the one with the fewest requests. Absent: FirstAvailable if
    `containerConcurrency` is 1, else LeastRequest."""
    health: Health = Health()
    """Which replicas get no requests although they exist."""
    warm_up: WarmUp | None = None
    """A request to each pod that has started, before those of clients. Absent: none."""
    busy: Busy | None = None
    """How to ask replicas for their number of jobs. Absent: only requests are counted."""
    max_body_bytes: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """A longer request body is refused with 413. Absent: no limit, because bodies are streamed and take no memory."""
    min_body_bytes_per_second: Annotated[int, Field(ge=0, le=1_000_000_000)] = 16_384
    """The lowest rate of a request body while a replica has the request, over 10 s. A slower request ends with 408, so
    that its slot is free. While a request waits, up to 1 MiB is read at any rate. 0: no lowest rate."""
    on_abort: Literal["Close", "WaitUpstream", "Interrupt"] = "WaitUpstream"
    """What to do if a client disconnects during a running counted request. WaitUpstream: the slot is free when the
    replica is done. Interrupt: the same, and the replica is asked to stop. Close: the connection to the replica is
    closed and the slot is free at once; choose it only if the server stops working then."""
    interrupt_path: Path = "/sdapi/v1/interrupt"
    """The path to which Interrupt sends a POST. It stops what the replica runs."""
    probes: Annotated[tuple[UserAgent, ...], Field(max_length=64)] = PROBES
    """Texts in the user agents of health checkers, in upper or lower case. A GET or HEAD without a body from one of
    them starts no replica: without replicas it is refused with 503. Otherwise it is treated as any request."""
    cors: Cors | None = None
    """Absent: the replicas answer browsers themselves. Then a preflight (OPTIONS with Origin and
    Access-Control-Request-Method) takes no slot; at zero it is held and starts a replica."""
    takeover: Literal["Grace", "Immediate"] = "Grace"
    """What to do with the slots of a gateway that died, if several gateways serve the service. Grace: they stay taken
    for as long as the longest request of the last hour took, at least 10 s and at most `requestTimeout`, or until the
    replica proves idle. Immediate: they are free at once; choose it only if the server stops working when its
    connection breaks."""
    half_close: Literal["Abort", "Allow"] = "Abort"
    """What a client means that closes its sending side before the response. Abort: it has disconnected, as in nginx and
    Go. Allow: it still waits."""
    affinity: Affinity | None = None
    """Absent: each request goes to any replica with a free slot."""
    priority: Priority | None = None
    """Which requests go first among those that wait. Absent: those that arrived first."""
    fairness: Fairness | None = None
    """Clients take turns. Absent: a client has as many places in the queue as it has requests there."""
    paths: Annotated[tuple[PathRule, ...], Field(max_length=64)] = ()
    """The first match wins; a path without a match is Count. At most 256 patterns in all."""

    @model_validator(mode="after")
    def _has_not_too_many_patterns(self) -> Self:
        if sum(len(each.match) for each in self.paths) > _MOST_PATTERNS:
            raise ValueError(f"paths: {_TOO_MANY_PATTERNS}")
        return self
