"""The hints of a run: which requests are announced, and when, and what is announced and does not come.

They depend on the seed and the workloads alone, so that every policy hears the same.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush, merge
from itertools import count

from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Announcement
from simulations.scenario.request_sources import EVEN, source_of_workload
from simulations.scenario.workloads import Hints, Workload

FALSE_WITHIN_S = 3600.0
"""A hint without a request follows one with a request within this time, so that it comes where the load is."""


def announcements(workloads: Sequence[Workload], random_streams: RandomStreams) -> Iterator[Announcement]:
    """Give the hints of all workloads in order of time.

    Args:
        workloads: the workloads of one service.
        random_streams: unused ones with the same seed as those of the requests.
    """
    return merge(
        *(
            _of_workload(workload, workload.hints, number, random_streams)
            for number, workload in enumerate(workloads)
            if workload.hints is not None
        ),
        key=lambda announced: announced.t_s,
    )


def _of_workload(
    workload: Workload, hints: Hints, number: int, random_streams: RandomStreams
) -> Iterator[Announcement]:
    draws = random_streams.draws("hint", EVEN, number)
    false_of_each = (1 - hints.hit_rate) / hints.hit_rate
    later: list[tuple[float, int]] = []
    order = count()
    for arrival in source_of_workload(workload, random_streams, number).arrivals():
        if next(draws) >= hints.coverage:
            continue
        t_s = max(arrival.t_s - hints.lead_time, 0.0)
        while later and later[0][0] <= t_s:
            yield _false(heappop(later), number, hints)
        yield Announcement(t_s, (number, arrival.t_s), hints.within_s)
        for _ in range(int(false_of_each + next(draws))):
            heappush(later, (t_s + next(draws) * FALSE_WITHIN_S, next(order)))
    while later:
        yield _false(heappop(later), number, hints)


def _false(found: tuple[float, int], number: int, hints: Hints) -> Announcement:
    t_s, order = found
    return Announcement(t_s, (number, -1.0 - order), hints.within_s)
