"""How long a pod was idle while a request waited, from the books of clients and pods."""

from itertools import pairwise


def longest_idle_s(service, since_s, until_s, *, counts=lambda _request: True):
    """Give the longest time between two moments in which one pod ran nothing and some request waited.

    Args:
        service: with its pods and its ledger.
        since_s: the first moment, by the clock of the loop.
        until_s: the last one.
        counts: chooses the requests whose waiting counts.
    """
    waits = _united(_waits(service.ledger, filter(counts, service.ledger.requests), until_s))
    idle = (gap for pod in service.pods for gap in _gaps(_busy(service.ledger, pod, until_s), since_s, until_s))
    overlaps = (min(wait[1], gap[1]) - max(wait[0], gap[0], since_s) for gap in idle for wait in waits)
    return max([0.0, *overlaps])


def _waits(ledger, requests, until_s):
    for request in requests:
        runs = ledger.runs.get(request.name)
        yield request.sent_s, runs[0].begun_s if runs else request.ended_s or until_s


def _busy(ledger, pod, until_s):
    runs = (run for runs in ledger.runs.values() for run in runs if run.pod == f"{pod}")
    return _united((run.begun_s, run.ended_s or until_s) for run in runs)


def _united(intervals):
    """Merge what overlaps."""
    united = []
    for begin, end in sorted(intervals):
        if united and begin <= united[-1][1]:
            united[-1][1] = max(end, united[-1][1])
        else:
            united.append([begin, end])
    return united


def _gaps(busy, since_s, until_s):
    edges = [
        [since_s, since_s],
        *(each for each in busy if since_s < each[1] and each[0] < until_s),
        [until_s, until_s],
    ]
    return [(before[1], after[0]) for before, after in pairwise(edges)]
