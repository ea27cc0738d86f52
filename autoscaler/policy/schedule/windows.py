"""`spec.schedule`: windows with other bounds, in the local time of a zone, and the bounds at a time that follow.

Rules:
1. A window is open from each time of `start` to the next time of `end` after it. Both are times on the wall.
2. A time on the wall that comes twice, in autumn, counts when it comes first. One that does not exist, in spring, is
   the next that does. A window within the hour that is left out is open for as long as it lasts on the wall.
3. A window without one of the bounds has the policy's. Of several open windows the highest minimum and the highest
   maximum hold, so that the minimum is never above the maximum.
4. The minimum of a window already holds `leadTime` before its start; the maximum is then at least as high.

Nothing here reads the clock. The zones are those of the system, or of the package tzdata.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import floor, inf
from typing import Annotated, Any, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from algorithms.bounds import BoundsAt, ReplicaBounds, fixed_bounds, replica_bounds
from autoscaler.documents.fields import RULES, Duration, ResourceModel, Shape, lasting, rule
from autoscaler.policy.schedule.cron import PATTERN as CRON_PATTERN
from autoscaler.policy.schedule.cron import read_cron

FIRST_S, LAST_S = -61.8e9, 252.7e9
"""The years 12 to 9977: before and after, the calendar is too short to search, and no window is open."""
_ZONE_EXISTS = "timestamp(0).getHours(self) >= 0"
_A_ZONE = "must be UTC or the name of a time zone with its area, such as Europe/Berlin"
ZONE_PATTERN = r"^(UTC|[A-Za-z]+(/[A-Za-z0-9_+-]+){1,2})$"


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError) as error:
        raise ValueError(_A_ZONE) from error
    return name


CronText = Annotated[
    str, Shape(CRON_PATTERN, "minute, hour, day of the month, month and day of the week, as in 30 7 * * MON-FRI", 100)
]
TimeZone = Annotated[
    str,
    StringConstraints(pattern=ZONE_PATTERN, max_length=64),
    AfterValidator(_is_zone),
    Field(json_schema_extra={RULES: [rule(_ZONE_EXISTS, _A_ZONE)]}),
]
_SETS_SOMETHING = "must have minReplicas, maxReplicas, or both"
_NOT_AT_ONCE = "end: must not be the same as start"


class Window(ResourceModel):
    """A time that comes again, with other bounds."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("has(self.minReplicas) || has(self.maxReplicas)", _SETS_SOMETHING),
                rule("self.start != self.end", _NOT_AT_ONCE),
            ]
        }
    )

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    """Its name in reasons; unique in the policy."""
    time_zone: TimeZone
    """The zone of `start` and `end`: an IANA name such as `Europe/Berlin`, or `UTC`."""
    start: CronText
    """When it opens, as in cron: minute, hour, day of the month, month, day of the week. A local time that comes twice
    counts once; one that does not exist is the next that does."""
    end: CronText
    """When it closes: at the next of these times after a start."""
    min_replicas: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """The lower bound while it is open. Absent: the policy's."""
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The upper bound while it is open. Absent: the policy's."""
    lead_time: Annotated[Duration, lasting("0s", "24h")] | None = None
    """How long before `start` its `minReplicas` holds already, so that replicas are ready at `start`. Absent: the
    longest `coldStart` of the policy's pools, and none without pools."""

    @model_validator(mode="after")
    def _is_open_at_times(self) -> Self:
        if self.min_replicas is None and self.max_replicas is None:
            raise ValueError(_SETS_SOMETHING)
        if read_cron(self.start) == read_cron(self.end):
            raise ValueError(_NOT_AT_ONCE)
        for name, text in (("start", self.start), ("end", self.end)):
            if read_cron(text).after(datetime(2000, 1, 1)) is None:  # noqa: DTZ001 - a time on the wall
                raise ValueError(f"{name}: {text} is a day that never comes")
        return self


_BOUNDS = "schedule: minReplicas of a window must be at most its maxReplicas; the policy has what is absent"
_UNIQUE = "schedule: must have each name once"
BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
"""Makes the API server hold names to be unique, and merge lists by them."""
_NOT_BELOW = "schedule: with kpa, hpa or keda, minReplicas of a window must be at least the policy's"


def schedule_rules(
    minimum: str, maximum: str, *, least_of_algorithm: str, all_windows: Callable[[str], str]
) -> list[Any]:
    """Give the rules of `check_schedule` in CEL, on a spec.

    Args:
        minimum: the spec's minReplicas in CEL.
        maximum: its maxReplicas in CEL.
        least_of_algorithm: in CEL, what the algorithm keeps by itself.
        all_windows: says in CEL that a condition holds for each window, which is called `each` in it.
    """
    fits = f"each.?minReplicas.orValue({minimum}) <= each.?maxReplicas.orValue({maximum})"
    not_below = f"each.?minReplicas.orValue({least_of_algorithm}) >= {least_of_algorithm}"
    return [rule(all_windows(condition), message) for condition, message in ((fits, _BOUNDS), (not_below, _NOT_BELOW))]


def check_schedule(schedule: Sequence[Window], minimum: int, maximum: int, *, least: int) -> None:
    """Check the windows of a policy.

    Args:
        schedule: the windows.
        minimum: the policy's minReplicas.
        maximum: the policy's maxReplicas.
        least: what the algorithm keeps by itself; a window cannot go below it.

    Raises:
        ValueError: two have one name, or a window's bounds contradict each other or the algorithm.
    """
    if len({window.name for window in schedule}) < len(schedule):
        raise ValueError(_UNIQUE)
    for window in schedule:
        low = minimum if window.min_replicas is None else window.min_replicas
        high = maximum if window.max_replicas is None else window.max_replicas
        if low > high:
            raise ValueError(f"{_BOUNDS}: window {window.name} has {low} and {high}")
        if window.min_replicas is not None and window.min_replicas < least:
            raise ValueError(f"{_NOT_BELOW}: window {window.name} has {window.min_replicas}, the policy has {least}")


def strictest(schedule: Sequence[Window], minimum: int, maximum: int) -> tuple[int, int]:
    """Give the highest minimum and the lowest maximum of a policy and its windows."""
    lows = [window.min_replicas for window in schedule if window.min_replicas is not None]
    highs = [window.max_replicas for window in schedule if window.max_replicas is not None]
    return max(minimum, *lows, 0), min([maximum, *highs])


class WindowState(NamedTuple):
    """A window at a time."""

    ends_s: float | None
    """When it closes; None if it is not open."""
    starts_s: float
    """When it opens next; infinite if it does not."""


def state_at(window: Window, now_s: float) -> WindowState:
    """Give the state of a window at a time between `FIRST_S` and `LAST_S`."""
    zone, start, end = ZoneInfo(window.time_zone), read_cron(window.start), read_cron(window.end)
    local = datetime.fromtimestamp(floor(now_s), zone)
    wall = local.replace(tzinfo=None, fold=0)
    # In the hour that comes twice, times after this one have been already.
    begun = start.until(wall + _repeated(local))
    while begun is not None and _first_s(begun, zone) > now_s:
        begun = start.until(begun - timedelta(minutes=1))
    coming = start.after(wall)
    while coming is not None and _first_s(coming, zone) <= now_s:
        coming = start.after(coming)
    ends_s = None if begun is None else _ends_s(begun, end.after(begun), zone)
    return WindowState(
        ends_s=ends_s if ends_s is not None and ends_s > now_s else None,
        starts_s=inf if coming is None else _first_s(coming, zone),
    )


def _repeated(local: datetime) -> timedelta:
    """Give how much of the wall's time comes again, if this is its second time; else nothing."""
    if not local.fold:
        return timedelta(0)
    first, second = local.replace(fold=0).utcoffset(), local.utcoffset()
    return (first or timedelta(0)) - (second or timedelta(0))


def _first_s(wall: datetime, zone: ZoneInfo) -> float:
    """Give when the wall first shows a time, or the next one that exists."""
    shown_s = wall.replace(tzinfo=zone).timestamp()
    if datetime.fromtimestamp(shown_s, zone).replace(tzinfo=None, fold=0) == wall:
        return shown_s
    before_s, after_s = wall.replace(tzinfo=zone, fold=1).timestamp(), shown_s
    offset = datetime.fromtimestamp(after_s, zone).utcoffset()
    while after_s - before_s > 1:  # the second in which the wall jumps
        middle_s = float((before_s + after_s) // 2)
        if datetime.fromtimestamp(middle_s, zone).utcoffset() == offset:
            after_s = middle_s
        else:
            before_s = middle_s
    return after_s


def _ends_s(begun: datetime, ended: datetime | None, zone: ZoneInfo) -> float:
    if ended is None:
        return inf
    start_s, end_s = _first_s(begun, zone), _first_s(ended, zone)
    return end_s if end_s > start_s else start_s + (ended - begun).total_seconds()


class _Part(NamedTuple):
    """What one window, or the policy itself, says of the bounds now."""

    least: int
    most: int
    least_by: str = ""
    most_by: str = ""


class ScheduledBounds:
    """Gives the bounds at a time; asked again within the time in which nothing changes, it remembers the answer.

    Args:
        schedule: the windows.
        least: the lower bound outside of all windows.
        most: the upper bound outside of all windows.
        lead_s: the lead time of windows that have none of their own.
    """

    def __init__(self, schedule: Sequence[Window], least: int, most: int, lead_s: float) -> None:
        self._schedule = schedule
        self._lead_s = lead_s
        self._usual = _Part(least, most)
        self._since_s = inf
        self._found = replica_bounds(least, most)

    def __call__(self, now_s: float) -> ReplicaBounds:
        """Give the bounds at a time; at what is no time those outside of all windows, which are not remembered."""
        if not FIRST_S <= now_s <= LAST_S:
            return replica_bounds(self._usual.least, self._usual.most)
        if not self._since_s <= now_s < self._found.until_s:
            self._found = self._at(now_s)
            self._since_s = now_s
        return self._found

    def _at(self, now_s: float) -> ReplicaBounds:
        states = [(window, state_at(window, now_s)) for window in self._schedule]
        opened = [self._open(window, state.ends_s, now_s) for window, state in states if state.ends_s is not None]
        leading = [
            _leading(window, state.starts_s, now_s)
            for window, state in states
            if state.ends_s is None and window.min_replicas is not None and self._leads_s(window, state) <= now_s
        ]
        parts = [*(opened or [self._usual]), *leading]
        least, most = max(parts, key=lambda part: part.least), max(parts, key=lambda part: part.most)
        changes_s = (
            change_s
            for window, state in states
            for change_s in (state.ends_s, state.starts_s, self._leads_s(window, state))
            if change_s is not None and change_s > now_s
        )
        until_s = min(changes_s, default=inf)
        return replica_bounds(least.least, most.most, until_s, least_by=least.least_by, most_by=most.most_by)

    def _open(self, window: Window, ends_s: float, now_s: float) -> _Part:
        by = f" by window {window.name} until {_on_the_wall(ends_s, now_s, window)}"
        return _Part(
            self._usual.least if window.min_replicas is None else window.min_replicas,
            self._usual.most if window.max_replicas is None else window.max_replicas,
            "" if window.min_replicas is None else by,
            "" if window.max_replicas is None else by,
        )

    def _leads_s(self, window: Window, state: WindowState) -> float:
        return state.starts_s - (self._lead_s if window.lead_time is None else window.lead_time)


def _leading(window: Window, starts_s: float, now_s: float) -> _Part:
    number = window.min_replicas or 0
    by = f" by window {window.name}, ahead of {_on_the_wall(starts_s, now_s, window)}"
    return _Part(number, number, by, by)


def _on_the_wall(when_s: float, now_s: float, window: Window) -> str:
    """Write a time for people, with its day if that is not today."""
    if when_s == inf:
        return "the end of time"
    zone = ZoneInfo(window.time_zone)
    when, now = datetime.fromtimestamp(when_s, zone), datetime.fromtimestamp(now_s, zone)
    return f"{when:%H:%M}{'' if when.date() == now.date() else f' on {when.date()}'} {window.time_zone}"


def bounds_over_time(schedule: Sequence[Window], least: int, most: int, lead_s: float) -> BoundsAt:
    """Give the bounds of a policy at any time; the arguments are those of `ScheduledBounds`."""
    return ScheduledBounds(schedule, least, most, lead_s) if schedule else fixed_bounds(least, most)
