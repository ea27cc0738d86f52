"""The decisions of the last hour of all services, those that changed nothing gathered, in bounded memory. No I/O."""

from collections import deque
from collections.abc import Sequence

from autoscaler.explain.decisions import Row, joined, row_of
from autoscaler.ports import Record, ServiceName

SPAN_S = 3600.0
MOST_ROWS = 500
"""Of one service."""
MOST_ROWS_OF_ALL = 30_000
"""Of all services together, about 60 MB: the more services change all the time, the fewer rows each has."""
_FEWEST_ROWS = 20


class RecentDecisions:
    """The rows of all services; a recorder."""

    def __init__(self) -> None:
        self._rows: dict[ServiceName, deque[Row]] = {}

    def __call__(self, record: Record) -> None:
        """Keep a decision."""
        rows, row = self._rows.setdefault(record.service, deque()), row_of(record)
        if rows and (both := joined(rows[-1], row)):
            rows[-1] = both
            return
        rows.append(row)
        most = min(MOST_ROWS, max(_FEWEST_ROWS, MOST_ROWS_OF_ALL // len(self._rows)))
        while len(rows) > most or rows[0].to_s < row.to_s - SPAN_S:
            rows.popleft()

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._rows.pop(service, None)

    def rows(self, service: ServiceName, since_s: float) -> Sequence[Row]:
        """Give the rows of a service that have changed since a time, newest first."""
        return [row for row in reversed(self._rows.get(service, ())) if row.to_s >= since_s]
