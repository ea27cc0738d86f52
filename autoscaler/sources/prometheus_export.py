"""The history of a service in Prometheus, for offline tools: it blocks, and no long-running program imports it.

Rules:
1. A range query gives at most 11,000 points for each series, so a long time is read in chunks.
2. A query gives a sample for up to five minutes after it was taken. Each query also asks for its age: a sample older
   than two steps is unknown.
3. Counters restart with their gateway. Requests between its last sample and its end are unknown.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.exceptions import RequestException

from autoscaler.documents.prometheus_address import public

MOST_POINTS = 11_000
"""Prometheus' own limit."""
AGE_STEPS = 2
DEADLINE_S = 60

Points = dict[int, float]
"""Values by the number of their instant; an absent one is unknown."""
Progress = Callable[[int, int], None]
"""Called with the number of chunks read, and with the number of all chunks."""


class HistoryError(Exception):
    """Prometheus gave no history; the message says why."""


class Grid(NamedTuple):
    """The instants of a history: whole seconds, because the client library rounds to them."""

    start_s: int
    step_s: int
    instants: int

    def time_s(self, number: int) -> int:
        """Give an instant as Unix time."""
        return self.start_s + number * self.step_s


class Prometheus:
    """History from one server.

    Args:
        server: its base address.
        progress: called after every chunk.
    """

    def __init__(self, server: str, progress: Progress | None = None) -> None:
        self._shown = public(server)
        self._client = PrometheusConnect(server, timeout=DEADLINE_S, method="POST")
        self._progress = progress or (lambda _done, _total: None)

    def now_s(self) -> float:
        """Give the server's own time.

        Raises:
            HistoryError: Prometheus cannot be reached, or refuses.
        """
        return float(self._call(lambda: self._client.custom_query("time()")[1]))

    def read(self, selector: str, grid: Grid) -> dict[str, Points]:
        """Give every series that a selector finds, by its labels as text.

        Raises:
            HistoryError: Prometheus cannot be reached, or refuses.
        """
        fresh = f"{selector} and (time() - timestamp({selector}) < {AGE_STEPS * grid.step_s})"
        starts = range(0, grid.instants, MOST_POINTS)
        found: dict[str, Points] = {}
        for done, first in enumerate(starts, 1):
            for series in self._chunk(fresh, grid, first, min(first + MOST_POINTS, grid.instants) - 1):
                points = found.setdefault(_labels(series["metric"]), {})
                points.update((round((t - grid.start_s) / grid.step_s), float(value)) for t, value in series["values"])
            self._progress(done, len(starts))
        return found

    def _chunk(self, query: str, grid: Grid, first: int, last: int) -> list[dict[str, Any]]:
        start, end = (datetime.fromtimestamp(grid.time_s(number), UTC) for number in (first, last))
        series: list[dict[str, Any]] = self._call(
            lambda: self._client.custom_query_range(query, start, end, str(grid.step_s))
        )
        return series

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (RequestException, PrometheusApiClientException) as error:
            raise HistoryError(f"{self._shown}: {public(str(error))}") from error
        except (LookupError, TypeError, ValueError) as error:
            raise HistoryError(f"{self._shown}: the response is not from Prometheus: {public(repr(error))}") from error


def _labels(metric: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in sorted(metric.items()) if name != "__name__")
