"""What a viewer gets, as JSON values. The shapes: docs/reference/page-api.md. No I/O.

None is unknown, never zero. Times are Unix seconds. Nothing of a policy is here but its numbers and names: no
address of a server, no header, no annotation.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoscaler.accounts import Start
from autoscaler.explain.decisions import Row, row_json
from autoscaler.explain.episodes import asked_after
from autoscaler.explain.pods import PodRow, pod_rows
from autoscaler.explain.sentences import Answer
from autoscaler.explain.view import ServiceView
from autoscaler.explain.wording import zone_of
from autoscaler.page import tables
from autoscaler.page.candidates import candidates
from autoscaler.page.history import Sample

Values = dict[str, Any]


def time_of(now_s: float) -> Values:
    """Give the time with the zone of this process. It is not rounded: events go on from just there."""
    zone, offset = zone_of(now_s, None)
    return {"now": now_s, "zone": zone, "offset": offset}


def sentence(first: str, second: str) -> Values:
    """Give the two sentences of an answer."""
    return {"first": first, "second": second}


def row(view: ServiceView, answer: Answer, shown: Values, samples: Sequence[Sample]) -> Values:
    """Give one row of the fleet.

    Args:
        view: what is known of the service.
        answer: what is said of it.
        shown: its figures.
        samples: its rows since `tables.spark_begins_s`.
    """
    slots = 1.0 if view.policy is None else view.policy.spec.requests_per_replica
    return {
        "name": view.service,
        "state": answer.state.value,
        "attention": answer.attention,
        "short": answer.short,
        **{key: shown[key] for key in _OF_ROWS},
        "spark": tables.spark(samples, slots),
    }


_OF_ROWS = ("asked", "ready", "queued", "running", "oldestWait", "p95", "cost", "peakCost", "currency")


def figures(view: ServiceView) -> Values:
    """Give the figures of a service now."""
    record, measured, account = view.record, view.figures, view.account
    observation = None if record is None else record.observation
    return {
        "asked": None if record is None else asked_after(record),
        "ready": None if observation is None else observation.ready,
        "starting": None if observation is None else observation.starting,
        "queued": tables.short(view.queued),
        "running": tables.short(view.running),
        "oldestWait": _oldest_wait(view),
        "p95": None if measured is None else measured.p95_s,
        "cost": None if account is None else account.cost,
        "peakCost": None if account is None else account.peak_cost,
        "currency": None if account is None else account.currency,
    }


def _max(view: ServiceView) -> int | None:
    """Give the upper bound of the replicas now."""
    return None if view.policy is None else view.policy.spec.replica_range(view.now_s)[1]


def _oldest_wait(view: ServiceView) -> float | None:
    if view.queued == 0:
        return 0.0
    return None if view.figures is None else view.figures.oldest_wait_s


def totals(views: Sequence[ServiceView], shown: Sequence[Values]) -> Values:
    """Add up the fleet; a service whose count is unknown is named, and left out of what is counted.

    Args:
        views: what is known of each service.
        shown: the figures of each.
    """
    is_known = [each["queued"] is not None and each["running"] is not None for each in shown]
    known = [each for each, counts in zip(shown, is_known, strict=True) if counts]
    waits = [(each["oldestWait"], view.service) for each, view in zip(shown, views, strict=True) if each["oldestWait"]]
    currencies = {each["currency"] for each in shown if each["currency"] is not None}
    currency = currencies.pop() if len(currencies) == 1 else None
    return {
        **{key: _sum(shown, key) for key in ("ready", "asked", "starting")},
        **{key: _sum(known, key) for key in ("queued", "running")},
        "oldestWait": max(waits)[0] if waits else 0 if known else None,
        "oldestAt": max(waits)[1] if waits else None,
        **{key: _sum(shown, key) if currency else None for key in ("cost", "peakCost")},
        "currency": currency,
        "quotes": _quotes(views),
        "leftOut": [view.service for view, counts in zip(views, is_known, strict=True) if not counts],
    }


def _sum(figures_of_all: Iterable[Mapping[str, Any]], key: str) -> float | None:
    known = [each[key] for each in figures_of_all if each[key] is not None]
    return sum(known) if known else None


def _quotes(views: Iterable[ServiceView]) -> Values | None:
    measured = [view.figures for view in views if view.figures is not None and view.figures.quotes]
    if not measured:
        return None
    return {"kept": sum(each.quotes_kept or 0 for each in measured), "of": sum(each.quotes or 0 for each in measured)}


def service(
    view: ServiceView,
    answer: Answer,
    samples: Sequence[Sample],
    quality: tables.Table,
    decisions: Iterable[Row],
) -> Values:
    """Give a service.

    Args:
        view: what is known of it.
        answer: what is said of it.
        samples: its history.
        quality: how well it was served in that time.
        decisions: the rows of its decisions.
    """
    averages = view.record.decision.recommendation.averages if view.record else ()
    return {
        "name": view.service,
        "state": answer.state.value,
        "attention": answer.attention,
        "sentence": sentence(answer.first, answer.second),
        "figures": {**figures(view), "max": _max(view)},
        "begins": samples[0].at_s if samples else view.now_s,
        "series": tables.series(samples),
        "averageOver": averages[0].over_s if averages else None,
        "averageName": f"average, {averages[0].over_s:g} s" if averages else None,
        "forecast": _forecast(view),
        "quality": quality,
        "pods": [_pod(each) for each in pod_rows(view)],
        "starts": [_start(each) for each in view.starts.newest],
        "decisions": [row_json(each, view.policy) for each in decisions],
        "candidates": candidates(view),
    }


def _forecast(view: ServiceView) -> Values | None:
    """Give what is asked for next if nothing more arrives."""
    if view.forecast is None:
        return None
    return {
        **tables.forecast(view.forecast.points),
        "first": view.forecast.first_s,
        "last": view.forecast.last_s,
    }


def _pod(row: PodRow) -> Values:
    return {
        "name": row.name,
        "state": row.state,
        "since": row.since_s,
        "age": round(row.age_s, 1),
        "startedIn": row.started_in_s,
        "answers": row.answers,
        "goes": row.goes,
    }


def _start(start: Start) -> Values:
    return {
        "pod": start.pod,
        "at": start.at_s,
        "stages": [list(stage) for stage in start.stages],
        "total": start.total_s,
    }
