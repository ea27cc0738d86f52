"""What happens with each decision record: recorders are callables that take one."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from algorithms.decider import FAILED
from algorithms.types import Decision, State
from autoscaler.controller.records import VERSION, explained, to_json
from autoscaler.ports import Outcome, Record, Recorder, ServiceName

_LOG = logging.getLogger("autoscaler.decisions")


class Recording:
    """Gives each record to all recorders; one that fails, such as on a full disk, does not stop the others.

    The log has one line when a recorder begins to fail and one when it works again. Each record that it missed counts.
    """

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._recorders = [(_name(recorder), recorder) for recorder in recorders]
        self._failing: set[str] = set()
        self.failures = Counter({name: 0 for name, _ in self._recorders})
        """How many records each recorder, by name, has missed."""

    def add(self, recorder: Recorder) -> None:
        """Give records to one more recorder from now on."""
        self._recorders.append((name := _name(recorder), recorder))
        self.failures[name] = 0

    def __call__(self, record: Record) -> None:
        """Give a record to all recorders."""
        for name, recorder in self._recorders:
            try:
                recorder(record)
            except Exception as error:  # noqa: BLE001 - no error of a recorder may end the controller
                self._failed(name, error)
            else:
                if self._failing and name in self._failing:
                    self._failing.remove(name)
                    _LOG.warning("%s records again; %d records were lost so far", name, self.failures[name])

    def forget(self, service: ServiceName) -> None:
        """Let all recorders forget a service that is gone."""
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
    """Log a decision that changes the number or was written, and every one that could not be written."""
    if record.outcome is not None and record.outcome.error:
        _LOG.warning("%s", explained(record), extra=_fields(record))
    elif record.outcome is not None or record.decision.desired != record.observation.replicas:
        _LOG.info("%s", explained(record), extra=_fields(record))


def _fields(record: Record) -> dict[str, Any]:
    """Give the fields of the log line that people filter by."""
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


def _decisions(record: Record) -> Sequence[Decision]:
    """Give the decision, and those of candidates."""
    return (record.decision, *(decision for _, decision in record.candidates))


@runtime_checkable
class Forgetting(Protocol):
    """A recorder that keeps data of each service."""

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        ...


class OnChange:
    """Passes on a record if desired replicas, replicas, rules or error differ from the service's last one.

    What candidates decide makes no difference.
    """

    def __init__(self, recorder: Recorder) -> None:
        """Pass on to this recorder."""
        self._recorder = recorder
        self._last: dict[ServiceName, object] = {}

    def __call__(self, record: Record) -> None:
        """Pass the record on if it differs."""
        decision, outcome = record.decision, record.outcome or Outcome(record.service)
        rules = [reason.rule for reason in (*decision.reasons, *outcome.drain)]
        shown = (decision.desired, record.observation.replicas, rules, outcome.error)
        if self._last.get(record.service) != shown:
            self._last[record.service] = shown
            self._recorder(record)

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._last.pop(service, None)


class LineFile(Protocol):
    """A text file, or a writer of one."""

    def write(self, lines: str, /) -> object:
        """Write whole lines; raises OSError."""

    def flush(self) -> object:
        """Write what is buffered; raises OSError."""


class DecisionLog:
    """Writes each decision as a line of JSON, and before it the policy and the decider's state if they are new.

    The policy and the state are also written again after a record was lost, and after a decider failed: replay can go
    on from there.

    Attributes:
        is_writing: tells whether a number of a service is being written. Its record follows, and a policy that begins
            in the meantime comes after that record.
    """

    def __init__(self, file: LineFile) -> None:
        """Write to a file that the caller closes."""
        self._file = file
        self._policies: dict[ServiceName, tuple[Mapping[str, Any], Callable[[], State]]] = {}
        self._begins: dict[ServiceName, Mapping[str, Any]] = {}
        """Policy lines to write before the service's next decision."""
        self._behind_a_write: dict[ServiceName, Mapping[str, Any]] = {}
        """Policy lines to write after the service's next decision."""
        self.is_writing: Callable[[ServiceName], bool] = lambda _service: False
        self._lost: set[ServiceName] = set()
        self._after_failure: dict[ServiceName, Mapping[str, Any]] = {}
        """Policy lines to write before the next decision of a service whose decider failed, unless it fails again."""

    def begin(self, service: ServiceName, policy: Mapping[str, Any], state: Callable[[], State]) -> None:
        """Set the policy of a service from now on, and how to get its decider's state."""
        self._policies[service] = policy, state
        lines = self._behind_a_write if self.is_writing(service) else self._begins
        lines[service] = self._begun(service)

    def begin_file(self) -> None:
        """Write each policy and state again before the next decision: the lines go to a new file."""
        self._lost.update(self._policies)

    def __call__(self, record: Record) -> None:
        """Write whole lines, so that a log that was cut off can be read up to there; raises OSError."""
        service = record.service
        failed = any(reason.rule == FAILED for decision in _decisions(record) for reason in decision.reasons)
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
        """Drop what is kept of a service that is gone."""
        self._policies.pop(service, None)
        self._begins.pop(service, None)
        self._behind_a_write.pop(service, None)
        self._lost.discard(service)
        self._after_failure.pop(service, None)

    def _begun(self, service: ServiceName) -> Mapping[str, Any]:
        policy, state = self._policies[service]
        return {"version": VERSION, "service": service, "policy": policy, "state": state()}

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self._file.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        self._file.flush()


class Latest:
    """Keeps the last record of each service, for `/status`."""

    def __init__(self) -> None:
        self._records: dict[ServiceName, Record] = {}
        self._only: Container[ServiceName] | None = None

    def only(self, services: Container[ServiceName]) -> None:
        """Give only the services in this container from now on; it may change."""
        self._only = services

    def __call__(self, record: Record) -> None:
        """Keep the record."""
        self._records[record.service] = record

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._records.pop(service, None)

    def to_json(self) -> dict[str, Any]:
        """Give all records by service."""
        if self._only is not None:
            self._records = {service: record for service, record in self._records.items() if service in self._only}
        return {service: to_json(record) for service, record in self._records.items()}
