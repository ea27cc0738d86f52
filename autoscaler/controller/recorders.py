"""What is done with every decision: plain callables that are given its record."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from algorithms.decider import FAILED
from algorithms.types import State
from autoscaler.controller.records import VERSION, explained, to_json
from autoscaler.ports import Record, Recorder, ServiceName

_LOG = logging.getLogger("autoscaler.decisions")


class Recording:
    """Gives every record to all recorders; deciding goes on whatever becomes of one of them, such as on a full disk.

    A recorder that fails is said in the log once, and once more when it works again; each record that it missed counts.
    """

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._recorders = [(_name(recorder), recorder) for recorder in recorders]
        self._failing: set[str] = set()
        self.failures = Counter({name: 0 for name, _ in self._recorders})
        """How many records each recorder, by name, could not take."""

    def __call__(self, record: Record) -> None:
        """Give it to all of them."""
        for name, recorder in self._recorders:
            try:
                recorder(record)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the controller
                self._failed(name, error)
            else:
                if self._failing and name in self._failing:
                    self._failing.remove(name)
                    _LOG.warning("%s records again; %d records were lost so far", name, self.failures[name])

    def forget(self, service: ServiceName) -> None:
        """Let all of them forget a service that is gone."""
        for _, recorder in self._recorders:
            if isinstance(recorder, Forgetting):
                recorder.forget(service)

    def _failed(self, name: str, error: Exception) -> None:
        self.failures[name] += 1
        if name not in self._failing:
            self._failing.add(name)
            _LOG.error("%s does not record, and deciding goes on without it: %s", name, error, exc_info=error)


def _name(recorder: Recorder) -> str:
    return str(getattr(recorder, "__qualname__", type(recorder).__name__))


def log_changes(record: Record) -> None:
    """Log a decision that changes the number, and every one that could not be written."""
    if record.outcome is not None and record.outcome.error:
        _LOG.warning("%s", explained(record), extra=_fields(record))
    elif record.decision.desired != record.observation.replicas:
        _LOG.info("%s", explained(record), extra=_fields(record))


def _fields(record: Record) -> dict[str, Any]:
    """Give what is worth filtering by."""
    observation, decision = record.observation, record.decision
    fields = {
        "service": record.service,
        "inflight": observation.inflight,
        "ready": observation.ready,
        "before": observation.replicas,
        "desired": decision.desired,
        "rules": [reason.rule for reason in decision.reasons],
    }
    return {"fields": fields}


@runtime_checkable
class Forgetting(Protocol):
    """A recorder that keeps something of each service."""

    def forget(self, service: ServiceName) -> None:
        """Keep nothing more of a service: it is gone."""
        ...


class OnChange:
    """Passes on what differs from the last record of its service in the number, its rules, or what came of it."""

    def __init__(self, recorder: Recorder) -> None:
        """Pass changes on to this recorder."""
        self._recorder = recorder
        self._last: dict[ServiceName, object] = {}

    def __call__(self, record: Record) -> None:
        """Pass it on if it is news."""
        decision, error = record.decision, record.outcome.error if record.outcome else ""
        told = (decision.desired, record.observation.replicas, [reason.rule for reason in decision.reasons], error)
        if self._last.get(record.service) != told:
            self._last[record.service] = told
            self._recorder(record)

    def forget(self, service: ServiceName) -> None:
        """Take in that a service is gone."""
        self._last.pop(service, None)


class LineFile(Protocol):
    """A text file, or what writes one."""

    def write(self, lines: str, /) -> object:
        """Write whole lines; raises OSError."""

    def flush(self) -> object:
        """Have written what was not yet; raises OSError."""


class DecisionLog:
    """Writes every decision as one line of JSON; such a log is the input of replay.

    After a decision that could not be written a service begins anew in the log, with what its decider knows by then. So
    does one whose decider has failed.

    Attributes:
        is_writing: tells whether a decision on a service was taken and comes only when its number has been written: a
            policy that begins meanwhile stands behind it.
    """

    def __init__(self, file: LineFile) -> None:
        """Write to a file that the caller closes."""
        self._file = file
        self._policies: dict[ServiceName, tuple[Mapping[str, Any], Callable[[], State]]] = {}
        self._begins: dict[ServiceName, Mapping[str, Any]] = {}
        """Lines that stand before the next decision of their service."""
        self._behind_a_write: dict[ServiceName, Mapping[str, Any]] = {}
        """Lines that stand before the next decision but one."""
        self.is_writing: Callable[[ServiceName], bool] = lambda _service: False
        self._lost: set[ServiceName] = set()
        self._after_failure: dict[ServiceName, Mapping[str, Any]] = {}
        """Lines that stand before the next decision of a service whose decider has failed, unless it fails again."""

    def begin(self, service: ServiceName, policy: Mapping[str, Any], knows: Callable[[], State]) -> None:
        """Take in by which policy a service is decided on from now on, and how to ask what its decider knows."""
        self._policies[service] = policy, knows
        lines = self._behind_a_write if self.is_writing(service) else self._begins
        lines[service] = self._begun(service)

    def begin_anew(self) -> None:
        """Begin each service anew, as after a loss: what is written from now on stands in another file."""
        self._lost.update(self._policies)

    def __call__(self, record: Record) -> None:
        """Write whole lines, so that a log that breaks off can be read up to there; raises OSError."""
        service = record.service
        failed = any(reason.rule == FAILED for reason in record.decision.reasons)
        after_failure = self._after_failure.pop(service, None)
        begins, line = self._begins.get(service) or (None if failed else after_failure), to_json(record)
        lines = [self._begun(service)] if service in self._lost else [begins, line] if begins else [line]
        try:
            self._write(lines)
        except OSError:
            self._behind_a_write.pop(service, None)
            if service in self._policies:
                self._lost.add(service)
            raise
        self._begins.pop(service, None)
        if service in self._behind_a_write:
            self._begins[service] = self._behind_a_write.pop(service)
        self._lost.discard(service)
        if failed and service in self._policies:
            self._after_failure[service] = self._begun(service)

    def forget(self, service: ServiceName) -> None:
        """Take in that a service is gone."""
        self._policies.pop(service, None)
        self._begins.pop(service, None)
        self._behind_a_write.pop(service, None)
        self._lost.discard(service)
        self._after_failure.pop(service, None)

    def _begun(self, service: ServiceName) -> Mapping[str, Any]:
        policy, knows = self._policies[service]
        return {"version": VERSION, "service": service, "policy": policy, "state": knows()}

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self._file.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        self._file.flush()


class Latest:
    """Keeps the newest record of every service, for `/status`."""

    def __init__(self) -> None:
        self._records: dict[ServiceName, Record] = {}
        self._only: Container[ServiceName] | None = None

    def only(self, services: Container[ServiceName]) -> None:
        """Give from now on only those services that are in here, which may change."""
        self._only = services

    def __call__(self, record: Record) -> None:
        """Keep it."""
        self._records[record.service] = record

    def forget(self, service: ServiceName) -> None:
        """Take in that a service is gone."""
        self._records.pop(service, None)

    def to_json(self) -> dict[str, Any]:
        """Give all of them, by service."""
        if self._only is not None:
            self._records = {service: record for service, record in self._records.items() if service in self._only}
        return {service: to_json(record) for service, record in self._records.items()}
