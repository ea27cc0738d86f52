"""Answers from decision logs: as the page did at the time of the last decision, or at an earlier one."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

from autoscaler.controller.log_file import read_log
from autoscaler.documents.document import DocumentError
from autoscaler.explain.fleet import fleet_answer
from autoscaler.explain.log import LogViews
from autoscaler.explain.sentences import answer
from autoscaler.explain.why_not import why_not
from autoscaler.page import snapshot, tables
from autoscaler.terminal.page_client import unknown
from autoscaler.terminal.values import AnswerError, UnknownServiceError


class LogFiles:
    """Decision logs that belong together, such as those of one controller before and after a rotation.

    Args:
        logs: in any order.
        until_s: what was decided later is left out; None is nothing.

    Raises:
        AnswerError: one cannot be read; the message has its file and line.
    """

    def __init__(self, logs: Sequence[Path], until_s: float | None = None) -> None:
        self.name = " ".join(map(str, logs))
        self.notes: list[str] = []
        self._views = LogViews()
        try:
            for log in sorted(logs, key=_begins_s):
                values, notes = read_log(log)
                self.notes += notes
                self._views.read(values, str(log), inf if until_s is None else until_s)
        except (DocumentError, OSError) as error:
            raise AnswerError(str(error)) from error

    async def fleet(self) -> Any:
        """Give all services of the logs."""
        views = [self._views.view(service) for service in self._views.services]
        answers, shown = [answer(view) for view in views], [snapshot.figures(view) for view in views]
        now_s = max((view.now_s for view in views), default=0.0)
        return {
            **self._process(now_s),
            "sentence": snapshot.sentence(*fleet_answer(views, answers)),
            "totals": snapshot.totals(views, shown),
            "services": [snapshot.row(*each, ()) for each in zip(views, answers, shown, strict=True)],
        }

    async def service(self, service: str) -> Any:
        """Give one service."""
        view = self._view(service)
        rows = self._views.table(service).rows
        return {
            **self._process(view.now_s),
            **snapshot.service(view, answer(view), (), tables.quality(()), rows),
        }

    async def why_not(self, service: str, replicas: int) -> Any:
        """Give why it does not have this number of replicas."""
        sentences = why_not(self._view(service), replicas)
        return {"service": service, "replicas": replicas, "sentences": list(sentences)}

    def _view(self, service: str) -> Any:
        if service not in self._views.services:
            raise UnknownServiceError(unknown(service, list(self._views.services)))
        return self._views.view(service)

    @staticmethod
    def _process(now_s: float) -> dict[str, Any]:
        return {**snapshot.time_of(now_s), "role": "log", "leads": True, "leader": None}


def _begins_s(log: Path) -> float:
    """Give the time of the first decision of a log, so that logs can be read in order; infinite if there is none."""
    for value in read_log(log)[0]:
        try:
            return float(value["observation"]["now_s"])
        except (LookupError, TypeError, ValueError):
            continue
    return inf
