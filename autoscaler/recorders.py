"""What is done with every decision: plain callables that are given its record."""

import json
import logging
from collections.abc import Container, Mapping
from typing import Any, TextIO

from algorithms.types import State
from autoscaler.ports import Record, Recorder, ServiceName
from autoscaler.records import explained, to_json

_LOG = logging.getLogger("autoscaler.decisions")


def log_changes(record: Record) -> None:
    """Log a decision that changes the number, and every one that could not be written."""
    if record.outcome is not None and record.outcome.error:
        _LOG.warning("%s", explained(record))
    elif record.decision.desired != record.look.replicas:
        _LOG.info("%s", explained(record))


class OnChange:
    """Passes on what differs from the last record of its service in the number, its rules, or what came of it."""

    def __init__(self, recorder: Recorder) -> None:
        """Pass changes on to this recorder."""
        self._recorder = recorder
        self._last: dict[ServiceName, object] = {}

    def __call__(self, record: Record) -> None:
        """Pass it on if it is news."""
        decision, error = record.decision, record.outcome.error if record.outcome else ""
        told = (decision.desired, record.look.replicas, [reason.rule for reason in decision.reasons], error)
        if self._last.get(record.service) != told:
            self._last[record.service] = told
            self._recorder(record)


class DecisionLog:
    """Writes every decision as one line of JSON; such a log is the input of replay."""

    def __init__(self, file: TextIO) -> None:
        """Write to a text file that the caller closes."""
        self._file = file

    def __call__(self, record: Record) -> None:
        """Write one line, whole, so that a log that breaks off can be read up to there."""
        self._write(to_json(record))

    def begin(self, service: ServiceName, policy: Mapping[str, Any], state: State) -> None:
        """Write by which policy a service is decided on from now on, and what its decider knows already."""
        self._write({"service": service, "policy": policy, "state": state})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
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

    def to_json(self) -> dict[str, Any]:
        """Give all of them, by service."""
        if self._only is not None:
            self._records = {service: record for service, record in self._records.items() if service in self._only}
        return {service: to_json(record) for service, record in self._records.items()}
