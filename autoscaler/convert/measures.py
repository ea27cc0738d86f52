"""What a number of another autoscaler counts, by its name or its query, and how many requests a server says it takes.

What does not count requests in flight is never made a target of them. Names are read as people choose them; a name
that says nothing is not interpreted.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from autoscaler.convert.source import Source
from autoscaler.documents.document import KeyPath


class Measure(Enum):
    """What a number is; the value is the rest of a sentence that begins with its name."""

    IN_FLIGHT = "counts requests in flight, which the gateway counts here"
    RUNNING = "counts running requests only; here waiting ones count too"
    WAITING = "counts waiting requests only; requests in flight are running + waiting"
    RATE = "is a rate and no count; requests in flight are the rate x the time of a request"
    TIME = "is a time and no count of requests"
    LOAD = "is the load of a machine and no count of requests"
    COMPUTED = "is computed, and no sum of requests in flight"
    UNKNOWN = "does not say by its name that it counts requests in flight"

    @property
    def is_of_requests(self) -> bool:
        """Whether a target of this number is one of requests in flight."""
        return self in {Measure.IN_FLIGHT, Measure.RUNNING}


_BY_NAME = (
    (Measure.TIME, r"seconds|latency|duration|milliseconds|_ms$|ttft"),
    (
        Measure.IN_FLIGHT,
        r"in_?flight|concurren|outstanding|ongoing|rq_active|active_requests|(open|active)_connections",
    ),
    (Measure.WAITING, r"waiting|queue|pending|backlog|deferred"),
    (Measure.RUNNING, r"running|batch_current_size|processing|busy"),
    (Measure.LOAD, r"util|gpu|cpu|memory|usage|dcgm|temperature|power"),
    (Measure.RATE, r"_total$|per_second|rps|qps"),
)
_SUMS = {"sum", "vector", "scalar", "ceil", "round", "clamp_min", "last_over_time"}
_RATES = {"rate", "irate", "increase", "delta", "idelta", "deriv"}
_OPERATORS = {"or", "and", "unless", "bool", "offset", "inf", "nan"}
_STRING = r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'|`[^`]*`"
_NAME_LABEL = re.compile(rf"__name__\s*=~?\s*({_STRING})")
_LABELS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_CALL = re.compile(r"([a-zA-Z_]+)\s*\(")
_ARITHMETIC = re.compile(r"[-*/%^<>]|[!=]=")


def measure_of_name(name: str) -> Measure:
    """Tell what a metric counts; names of other systems may have pipes, dots and dashes."""
    return next(
        (found for found, words in _BY_NAME if re.search(words, re.sub(r"[^a-z0-9]", "_", name.lower()))),
        Measure.UNKNOWN,
    )


def measure_of_query(query: str) -> Measure:
    """Tell what a query of Prometheus counts."""
    names = [name[1:-1] for name in _NAME_LABEL.findall(query)]
    plain = _LABELS.sub(" ", re.sub(_STRING, '""', query))
    calls = set(_CALL.findall(plain))
    names += [word for word in _WORD.findall(plain) if word not in calls | _OPERATORS]
    found = {measure_of_name(name) for name in names}
    for measure in (Measure.TIME, Measure.LOAD):
        if measure in found:
            return measure
    if found == {Measure.WAITING}:
        return Measure.WAITING
    if calls & _RATES:
        return Measure.RATE
    if calls - _SUMS - _OPERATORS or _ARITHMETIC.search(plain):
        return Measure.COMPUTED
    if found == {Measure.RUNNING, Measure.WAITING}:
        return Measure.IN_FLIGHT
    return found.pop() if len(found) == 1 else Measure.UNKNOWN


class ServerLimit(NamedTuple):
    """The requests that a server says it takes at a time."""

    requests: int
    setting: str


_FLAGS = (
    "--max-num-seqs",
    "--max-concurrent-requests",
    "--max-running-requests",
    "--max-batch-size",
    "--parallel",
    "--limit-concurrency",
)
_VARIABLES = ("MAX_NUM_SEQS", "MAX_CONCURRENT_REQUESTS", "OLLAMA_NUM_PARALLEL", "MAX_BATCH_SIZE")


def server_limit(workload: Source) -> ServerLimit | None:
    """Find how many requests the server of a workload says it takes, in its arguments or its environment."""
    for container in workload.get("spec", "template", "spec", "containers", default=[]):
        found = next(_limits(container), None)
        if found is not None:
            return found
    return None


def _limits(container: dict[str, Any]) -> Iterator[ServerLimit]:
    words = " ".join(str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])])
    for flag in _FLAGS:
        if given := re.search(rf"(?:^|\s){flag}[= ]\s*([0-9]+)\b", words):
            yield ServerLimit(int(given[1]), flag)
    for variable in container.get("env") or []:
        if variable.get("name") in _VARIABLES and re.fullmatch("[0-9]+", str(variable.get("value"))):
            yield ServerLimit(int(variable["value"]), variable["name"])


def ask_for_a_target(source: Source, path: KeyPath, limit: ServerLimit | None) -> None:
    """Ask for the number of requests in flight for each replica, which nothing in the input says."""
    hint = f"; the server takes {limit.requests} at a time by its {limit.setting}" if limit else ""
    source.decide(
        path,
        "this is no number of requests in flight for each replica, and none is guessed: containerConcurrency: 0 is "
        "written, no limit and 100 for each replica. Write targetPerReplica, or containerConcurrency if a pod must not "
        f"get more{hint}",
    )
