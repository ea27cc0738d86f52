"""Which gateways count at one time, and whether their sum is whole.

Rules:
    * A gateway reports if its last line is not too old. One that is known by more than one address counts once.
    * Every gateway that reports counts, also one that is no member: it joins, drains, or was written out of the roster,
      and still has clients of its own.
    * If no gateway reports a roster, a sum is whole when all known gateways report.
    * Otherwise the roster with the highest epoch says who belongs to the sum. It is whole when the last line of each
      member is of this epoch, and only then. A gateway that does not report and is no member is not missing: the owners
      hold the slots in which its requests may still run.
    * A gateway without peers is in no roster, so it is missing whenever it stops reporting.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from autoscaler.sources.gateway_report import GatewayReport


class CountedGateways(NamedTuple):
    """The gateways by what a sum takes from them."""

    members: Sequence[GatewayReport]
    """Their last lines are of the highest epoch, or nobody has a roster. What they hold for lost gateways counts."""
    others: Sequence[GatewayReport]
    """They report too, and their requests may be among those for which members hold slots."""
    silent: Sequence[GatewayReport]
    """They do not report, and the requests that they last reported may still run."""
    gone: Sequence[GatewayReport]
    """They do not report, and are no members any more."""
    missing: str
    """Which gateways a whole sum lacks, and why; empty if none."""
    expected: int
    """How many gateways a whole sum has."""
    oldest_line_s: float
    """The oldest of the lines that count."""

    @property
    def reporting(self) -> Sequence[GatewayReport]:
        """All gateways that report."""
        return [*self.members, *self.others] if self.others else self.members


class _Roster(NamedTuple):
    epoch: int
    members: Collection[str]


def counted_gateways(known: Mapping[str, GatewayReport], now_s: float, silent_s: float) -> CountedGateways:
    """Tell which of the known gateways count now.

    Args:
        known: all known gateways by address.
        now_s: the time, by the controller's clock.
        silent_s: a gateway whose last line is older does not report.
    """
    reporting = distinct(each for each in known.values() if now_s - each.last_line_s <= silent_s)
    silent = [each for each in known.values() if now_s - each.last_line_s > silent_s]
    oldest_s = min((each.last_line_s for each in reporting), default=math.inf)
    roster = _newest_roster(reporting)
    if roster is None:
        missing = "; ".join(each.silence for each in silent) if known else "no gateway is known"
        return CountedGateways(reporting, (), silent, (), missing, len(known), oldest_s)
    members = [each for each in reporting if _is_in_step(each, roster)]
    others = [each for each in reporting if not _is_in_step(each, roster)]
    awaited = [each for each in silent if each.membership is None or each.membership.name in roster.members]
    gone = [each for each in silent if each not in awaited]
    missing = "; ".join(_missing(roster, reporting, silent))
    expected = len({*roster.members, *(each.name for each in reporting)})
    return CountedGateways(members, others, awaited, gone, missing, expected, oldest_s)


def distinct(gateways: Iterable[GatewayReport]) -> Sequence[GatewayReport]:
    """Leave out gateways that are known by another address too."""
    return list({gateway.incarnation: gateway for gateway in gateways}.values())


def _newest_roster(reporting: Iterable[GatewayReport]) -> _Roster | None:
    """Give the roster with the highest epoch; if gateways differ about its members, all of them."""
    rosters = [each.membership for each in reporting if each.membership is not None and each.membership.members]
    epoch = max((roster.epoch for roster in rosters), default=0)
    members = {name for roster in rosters if roster.epoch == epoch for name in roster.members}
    return _Roster(epoch, sorted(members)) if members else None


def _is_in_step(gateway: GatewayReport, roster: _Roster) -> bool:
    own = gateway.membership
    return own is not None and own.epoch == roster.epoch and own.name in roster.members


def _missing(roster: _Roster, reporting: Iterable[GatewayReport], silent: Sequence[GatewayReport]) -> Iterable[str]:
    by_name = {each.name: each for each in (*silent, *reporting) if each.membership is not None}
    for name in roster.members:
        known = by_name.get(name)
        if known is None:
            yield f"gateway {name} does not report: it is a member, and no known gateway has reported under this name"
        elif known in silent:
            yield known.silence
        elif not _is_in_step(known, roster):
            yield f"gateway {name} has not reported epoch {roster.epoch} yet"
    is_one_unknown = not by_name.keys() >= set(roster.members)
    for each in silent:
        never_reported = each.complete_since_s == math.inf
        if each.membership is None and (is_one_unknown or not never_reported):
            yield each.silence
