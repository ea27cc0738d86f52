"""The format of a gateway's stream `GET /v1/inflight`: bytes in, validated lines out. No I/O.

A line is a JSON object, for example
`{"gateway": uid, "started": t, "services": {"ns/name": {"queued": 2, "running": 5, "seconds_total": 12.5}}}`;
`at`, and `pods`, `draining`, `held`, `holding_pass`, `passed_total`, `hinted` and `hinted_until` of a service, are
optional: a gateway of 0.1.0 has no `draining`, and so confirms no drain. Nor has it `arrived_total`, `finished_total`
and `served_seconds_total`. A gateway with peers adds `"name": "a", "epoch": 12, "members": ["a"]`.
Unknown keys are ignored.
"""

import json
import math
from collections.abc import Collection, Mapping
from sys import intern
from typing import Any, NamedTuple

from autoscaler.ports import ServiceName

_MOST = 2**53
"""The largest count: above it a JSON number is not exact."""


class MalformedLineError(ValueError):
    """The bytes are not a line of this format; the message says why."""


class Totals(NamedTuple):
    """The requests of one service since its gateway started."""

    arrived: int = 0
    """Counted requests that arrived."""
    finished: int = 0
    """Those that a pod finished."""
    served_s: float = 0.0
    """How long pods took for these, summed."""


class Count(NamedTuple):
    """One service as one gateway sees it."""

    queued: int
    running: int
    seconds_total: float
    """The integral of queued and running requests over time, since the gateway started."""
    pods: Mapping[str, int]
    """Running requests by pod."""
    holding_pass: int
    """Pass requests that are held because there is no pod."""
    passed_total: int
    """All Pass requests since the gateway started."""
    draining: Collection[str] = ()
    """The marked pods to which the gateway sends nothing new."""
    held: Mapping[str, int] = {}
    """Slots of lost gateways by pod; only the owner of the service reports them."""
    hinted: int = 0
    """Requests that are announced to this gateway and count now."""
    hinted_until_s: float = 0.0
    """When the last of them ends, by the gateway's monotonic clock."""
    totals: Totals | None = Totals()
    """None if the gateway does not tell them, as earlier releases."""

    @property
    def inflight(self) -> int:
        """Requests queued or running."""
        return self.queued + self.running


IDLE = Count(queued=0, running=0, seconds_total=0.0, pods={}, holding_pass=0, passed_total=0)
"""A service that never had a request: always this object."""


class Membership(NamedTuple):
    """The roster of the gateways as one of them sees it."""

    name: str
    """The name of this gateway in the roster."""
    epoch: int
    members: Collection[str]
    """The names of all members; empty if it knows of no roster yet."""


class Line(NamedTuple):
    """One line: the gateway and the counts of services."""

    gateway: str
    started_s: float
    """By the gateway's own clock; used only to tell a restarted gateway from the one before."""
    services: Mapping[ServiceName, Count]
    at_s: float | None = None
    """The time of the integrals, by a monotonic clock of the gateway."""
    membership: Membership | None = None
    """None for a gateway without peers."""


class LineSplitter:
    """Splits received bytes into lines; no line may be longer than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Give the lines that this chunk completes; raises MalformedLineError when one grows too long."""
        *ended, rest = chunk.split(b"\n")
        lines = []
        for end in ended:
            lines.append(bytes(self._rest + end))
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > self._max_bytes or any(len(line) > self._max_bytes for line in lines):
            raise MalformedLineError(f"a line that is longer than {self._max_bytes} bytes")
        return lines


def parse_line(line: bytes) -> Line:
    """Read one line; raises MalformedLineError."""
    try:
        document = json.loads(line)
        services = {intern(service): _count(count) for service, count in document["services"].items()}
        parsed = Line(document["gateway"], document["started"], services, document.get("at"), _membership(document))
    except KeyError as error:
        raise MalformedLineError(f"a line without {error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedLineError(f"a line that is not of this format ({str(error)[:100]})") from error
    if not (isinstance(parsed.gateway, str) and parsed.gateway and _is_measure(parsed.started_s)):
        raise MalformedLineError("a line without the gateway's id or start time")
    if parsed.at_s is not None and not _is_measure(parsed.at_s):
        raise MalformedLineError("a line whose at is not a time")
    return parsed


def _membership(document: Mapping[str, Any]) -> Membership | None:
    if "epoch" not in document:
        return None
    membership = Membership(document["name"], document["epoch"], _names(document, "members"))
    if not (isinstance(membership.name, str) and membership.name and _is_number(membership.epoch)):
        raise ValueError(f"epoch {membership.epoch!r} of gateway {membership.name!r}")
    return membership


def _count(given: Mapping[str, Any]) -> Count:
    count = Count(
        given["queued"],
        given["running"],
        given["seconds_total"],
        given.get("pods", {}),
        given.get("holding_pass", 0),
        given.get("passed_total", 0),
        _names(given, "draining"),
        given.get("held", {}),
        given.get("hinted", 0),
        given.get("hinted_until", 0.0),
        _totals(given),
    )
    slots = (*count.pods.values(), *count.held.values())
    numbers = (count.queued, count.running, count.holding_pass, count.passed_total, count.hinted, *slots)
    measures = (count.seconds_total, count.hinted_until_s)
    if not (all(map(_is_number, numbers)) and all(map(_is_measure, measures)) and _are_totals(count.totals)):
        raise ValueError(f"not numbers of requests: {given}")
    return IDLE if count == IDLE else count


def _totals(given: Mapping[str, Any]) -> Totals | None:
    """Read the totals; those of a service that never had a request are zero, whoever tells of it."""
    if "arrived_total" not in given:
        return None if given["seconds_total"] else Totals()
    return Totals(given["arrived_total"], given["finished_total"], given["served_seconds_total"])


def _are_totals(totals: Totals | None) -> bool:
    return totals is None or (
        _is_number(totals.arrived) and _is_number(totals.finished) and _is_measure(totals.served_s)
    )


def _names(given: Mapping[str, Any], key: str) -> Collection[str]:
    names = given.get(key, [])
    if not isinstance(names, list):
        raise TypeError(f"{key} is no list")
    return tuple(map(intern, names))


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_measure(value: Any) -> bool:
    return _is_number(value) or (type(value) is float and 0 <= value < math.inf)
