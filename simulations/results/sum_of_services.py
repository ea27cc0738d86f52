"""The history of several services on one fleet as if they were one, for figures in sum."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulations.model.history import Change, History, Replicas, Requests


def sum_of(histories: Sequence[History]) -> History:
    """Add up the histories of one run, which all end at the same time."""
    first = histories[0]
    offsets = np.cumsum([0, *(len(history.replicas) for history in histories[:-1])])
    passing = [history.passing for history in histories if history.passing is not None]
    return replace(
        first,
        requests=_requests([history.requests for history in histories], offsets),
        passing=_requests(passing, offsets) if passing else None,
        replicas=Replicas(**_columns([history.replicas for history in histories])),
        changes=_changes(histories),
        decisions=tuple(
            sorted(
                (record for history in histories for record in history.decisions),
                key=lambda record: record.observation.now_s,
            )
        ),
        inflight_s=sum(history.inflight_s for history in histories),
        partial=any(history.partial for history in histories),
    )


def _columns(parts: Sequence[Requests] | Sequence[Replicas]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].__slots__}


def _requests(parts: Sequence[Requests], offsets: np.ndarray) -> Requests:
    """Merge requests in order of arrival; the replicas of each service get numbers of their own."""
    numbered = [
        replace(part, replica=np.where(part.replica >= 0, part.replica + offset, -1))
        for part, offset in zip(parts, offsets, strict=True)
    ]
    columns = _columns(numbered)
    order = np.argsort(columns["arrival_s"], kind="stable")
    return Requests(**{name: column[order] for name, column in columns.items()})


def _changes(histories: Sequence[History]) -> tuple[Change, ...]:
    """Add up the replicas asked for; of several changes at one time the last counts."""
    steps = sorted(
        ((change, number) for number, history in enumerate(histories) for change in history.changes),
        key=lambda step: step[0].t_s,
    )
    asked, found = [0] * len(histories), dict[float, int]()
    for change, number in steps:
        asked[number] = change.asked
        found[change.t_s] = sum(asked)
    return tuple(Change(t_s, count) for t_s, count in found.items())
