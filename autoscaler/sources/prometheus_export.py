"""What Prometheus kept of a service, for offline tools: it blocks, and nothing live imports it.

Rules:
1. A range query may give 11,000 points for each series, so a long time is asked for in chunks.
2. A query answers with a sample for up to five minutes after the last one, so each is asked for its age as well: what
   is older than two steps is not known.
3. Counters begin anew with their gateway; what came between its last sample and its end is not known.
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
"""Values by the number of their instant; what is not there is not known."""
Progress = Callable[[int, int], None]
"""Is told how many chunks are there, and of how many."""


class HistoryError(Exception):
    """Prometheus gave no history; the message says why."""


class Grid(NamedTuple):
    """Instants at which history is asked for: whole seconds, as the client library rounds to these."""

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
        progress: is told after every chunk.
    """

    def __init__(self, server: str, progress: Progress | None = None) -> None:
        self._shown = public(server)
        self._client = PrometheusConnect(server, timeout=DEADLINE_S, method="POST")
        self._progress = progress or (lambda _done, _total: None)

    def now_s(self) -> float:
        """Give the server's own time.

        Raises:
            HistoryError: Prometheus cannot be asked, or refuses.
        """
        return float(self._asked(lambda: self._client.custom_query("time()")[1]))

    def read(self, selector: str, grid: Grid) -> dict[str, Points]:
        """Give every series that a selector finds, by its labels as text.

        Raises:
            HistoryError: Prometheus cannot be asked, or refuses.
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
        series: list[dict[str, Any]] = self._asked(
            lambda: self._client.custom_query_range(query, start, end, str(grid.step_s))
        )
        return series

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (RequestException, PrometheusApiClientException) as error:
            raise HistoryError(f"{self._shown}: {public(str(error))}") from error
        except (LookupError, TypeError, ValueError) as error:
            raise HistoryError(f"{self._shown}: this is no answer of Prometheus: {public(repr(error))}") from error


def _labels(metric: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in sorted(metric.items()) if name != "__name__")
