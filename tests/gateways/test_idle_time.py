"""The judge of idle pods is right about books that are made up."""

from types import SimpleNamespace

import pytest
from fault_ledger import Ledger, Request, Run
from idle_time import longest_idle_s


def service(waits, runs):
    """Two pods; (sent, begun or None, ended) of requests that one pod ran, and (pod, begun, ended) of others."""
    ledger = Ledger("web")
    for number, (sent_s, begun_s, ended_s) in enumerate(waits):
        ledger.requests.append(Request(name := f"web/{number}", sent_s, ended_s=ended_s))
        if begun_s is not None:
            ledger.runs[name].append(Run("p0", begun_s, ended_s))
    for number, (pod, begun_s, ended_s) in enumerate(runs, 100):
        ledger.runs[f"web/{number}"].append(Run(pod, begun_s, ended_s))
    return SimpleNamespace(pods=["p0", "p1"], ledger=ledger)


@pytest.mark.parametrize(
    ("waits", "runs", "idle_s"),
    [
        ([], [], 0),
        ([(1, 3, 4)], [("p0", 0, 2.5), ("p1", 0, 9)], 0.5),
        ([(1, 3, 4)], [("p0", 0, 3), ("p1", 0, 9)], 0),
        ([(1, 3, 4), (2, 5, 6)], [("p0", 0, 3), ("p1", 0, 9)], 1),
        ([(1, None, 7)], [("p0", 0, 9), ("p1", 0, 2)], 5),
        ([(1, 3, 4)], [("p0", 0, 3), ("p1", 2.25, 9)], 1.25),
    ],
    ids=["at rest", "late", "at once", "the second of two waits", "refused in the end", "the other pod is late"],
)
def test_the_longest_time_of_an_idle_pod_beside_a_waiting_request_is_found(waits, runs, idle_s):
    assert longest_idle_s(service(waits, runs), 0, 9) == idle_s


def test_only_the_requests_that_count_are_taken_to_wait():
    made = service([(1, 3, 4)], [("p0", 0, 2), ("p1", 0, 9)])
    assert longest_idle_s(made, 0, 9, counts=lambda request: request.name != "web/0") == 0
