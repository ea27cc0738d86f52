"""Why this number: the answer for one service, in a sentence with the cause and one with what comes next.

Rules:
1. The first sentence begins with the number asked for. If another one is wanted, it names both.
2. The cause is the last rule that changed the number; if none did, the recommendation. What somebody outside of the
   policy has said comes first, an unknown count next.
3. The numbers of the cause are those that the decision used. What is in flight now is newer.
4. A forecast names its condition. There is none while the count is unknown.
5. What is not known is left out, or called unknown. It is never 0.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from algorithms.good_time import current_count
from algorithms.types import Reason
from autoscaler.explain.causes import needed, per_replica, recommended, requests, short_recommended
from autoscaler.explain.episodes import asked_after, unplaced
from autoscaler.explain.expectations import expected_starts, last_served_s
from autoscaler.explain.next_change import next_change, now, short_next
from autoscaler.explain.rules import STANDING, Case, Said, said
from autoscaler.explain.states import ATTENTION, State
from autoscaler.explain.stock import no_place
from autoscaler.explain.view import ServiceView
from autoscaler.explain.wording import clock, compared, count, duration, number_of, replicas, sentence
from autoscaler.ports import Record


class Answer(NamedTuple):
    """Why a service has this number."""

    number: int | None
    """Replicas asked for; None is unknown."""
    first: str
    second: str
    """Empty if there is nothing to say."""
    short: str
    """The cause in a row of a table, which begins with the number."""
    state: State
    attention: bool
    """Whether somebody should look."""


def answer(view: ServiceView) -> Answer:
    """Say why a service has this number, and what comes next."""
    if view.record is None:
        return _without_decision(view)
    for situation in _SITUATIONS:
        found = situation(view, view.record)
        if found is not None:
            return found
    return _decided(view, view.record)


def _answer(number: int | None, said: Said, state: State, *, attention: bool | None = None, second: str = "") -> Answer:
    first = f"{'No number' if number is None else replicas(number)}{said.first}"
    second = second if said.second is None else said.second
    short = f"{'' if number is None else number}{said.short}"
    return Answer(
        number, _ended(first), second, _ended(short), state, state in ATTENTION if attention is None else attention
    )


def _ended(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _without_decision(view: ServiceView) -> Answer:
    if view.role == "gateway":
        return _at_gateway(view)
    first = "No decision on this service is known yet."
    return Answer(
        None,
        first,
        "It is decided on when its target and its counts were observed.",
        first,
        State.EMPTY,
        attention=False,
    )


def _at_gateway(view: ServiceView) -> Answer:
    """Say what a gateway knows: nothing of replicas."""
    second = "This is the page of a gateway. A controller's page says how many replicas are asked for, and why."
    if view.queued is None or view.running is None:
        first = "How many requests are in flight is unknown."
        return Answer(None, first, second, first, State.UNKNOWN, attention=True)
    total = view.queued + view.running
    what = f"{requests(total)} {'is' if total == 1 else 'are'} in flight" if total else "Nothing is in flight"
    parts = f": {count(view.running)} running, {count(view.queued)} queued" if total else ""
    first = f"{what}{parts}."
    return Answer(None, first, second, first, State.RUNNING, attention=False)


# Situations that come before the cause of the decision, in their order.


def _standby(view: ServiceView, record: Record) -> Answer | None:
    if view.leader is None:
        return None
    since = "" if view.leads_since_s is None else f", which has led since {_clock(view, view.leads_since_s)}"
    by = f", decided by {view.leader}{since}"
    second = (
        "This controller decides on the same data and writes nothing. "
        "If the leader is silent, it takes over with windows and delays as they are."
    )
    return _answer(record.observation.replicas, Said(by, f", decided by {view.leader}", second), State.STANDBY)


def _refused(view: ServiceView, record: Record) -> Answer | None:
    refusals = view.episodes.refusals
    error = record.outcome.error if record.outcome else "" if refusals is None else refusals.error
    if not error:
        return None
    wanted, number = record.decision.desired, record.observation.replicas
    since = ""
    if refusals is not None:
        times = f"{refusals.times} times since" if refusals.times > 1 else "at"
        since = f" {times} {_clock(view, refusals.since_s)}"
    text = f", though {number_of(wanted, 'is', 'are')} wanted: the number could not be written{since}"
    return _answer(number, Said(text, text, sentence(error)), State.REFUSED)


def _dry_run(view: ServiceView, record: Record) -> Answer | None:
    mode = view.policy is not None and view.policy.spec.mode == "DryRun"
    if not mode and record.unwritten != "dryRun":
        return None
    number, wanted = record.observation.replicas, record.decision.desired
    would = "ask for the same number" if wanted == number else f"ask for {wanted}"
    cause = _cause(view, record)
    why = (
        ""
        if not isinstance(cause, str)
        else sentence(cause.lstrip(",: ").removeprefix("held ").removeprefix("because "))
    )
    if not isinstance(cause, str):
        why = sentence(f"{wanted}{said(Case(view, record, cause, wanted)).short}")
    text = Said(
        f", and this policy does not write: in mode DryRun it would {would}", f", dry run: it would {would}", why
    )
    return _answer(number, text, State.DRY_RUN)


def _standing(view: ServiceView, record: Record) -> Answer | None:
    """Say what somebody outside of the policy has ordered."""
    cause = _cause(view, record)
    if isinstance(cause, str) or cause.rule not in STANDING:
        return None
    number = asked_after(record)
    words = said(Case(view, record, cause, number))
    attention = cause.rule == "deciderFailed" or None
    return _answer(
        number, words, words.state or State.HOLDING, attention=attention, second=_second(view, record, number)
    )


def _unknown(view: ServiceView, record: Record) -> Answer | None:
    if record.observation.inflight is not None:
        return None
    number, since_s = asked_after(record), view.episodes.unknown_since_s
    for_s = "" if since_s is None else f" has been unknown for {duration(view.now_s - since_s)}"
    at = "" if since_s is None else f" since {_clock(view, since_s)}"
    problem = record.observation.problem
    stands = "windows and delays stand still" if _stands_still(view) else "the number stays"
    second = f"{sentence(problem)} Until a count is known, {stands}.".strip()
    text = Said(f", held because the count{for_s or ' is unknown'}", "", second)
    short = f"Held at {number}: the count is unknown{at}{', ' + problem if problem else ''}"
    return _answer(number, text, State.UNKNOWN)._replace(short=_ended(short))


def _stands_still(view: ServiceView) -> bool:
    """Tell whether time that is unknown does not count, as in algorithms of our own."""
    if view.policy is None:
        return False
    chosen = view.policy.spec.algorithm
    return chosen.name == "mpa" or (chosen.concurrency is not None and chosen.concurrency.safety.good_time)


def _no_stock(view: ServiceView, record: Record) -> Answer | None:
    number, missing = asked_after(record), unplaced(record)
    if not missing or not number:
        return None
    ready = record.observation.ready
    since_s = view.episodes.unplaced_since_s
    text = f" asked, {ready} ready: {no_place(record, missing)}"
    if since_s is not None:
        text += f" since {_clock(view, since_s)}"
    queued, second = view.queued, ""
    if queued:
        second = f"{requests(queued)} {'waits' if queued == 1 else 'wait'}"
        left_s = last_served_s(view, queued, ready)
        if left_s is not None:
            second += f"; with {replicas(ready)} the last of them is expected in {duration(left_s)}"
        second += "."
    elif queued == 0:
        second = "Nothing waits."
    return _answer(number, Said(text, text, second), State.NO_STOCK)


def _at_zero(view: ServiceView, record: Record) -> Answer | None:
    """Say since when nothing is in flight, if nothing is asked for."""
    if asked_after(record) or not _is_quiet(view, record) or not isinstance(_cause(view, record), str):
        return None
    quiet_s, zero_s = view.episodes.quiet_since_s, view.episodes.zero_for_s
    nothing = "nothing is in flight" if quiet_s is None else f"nothing has been in flight since {_clock(view, quiet_s)}"
    delay = "" if not zero_s else f" and zero was recommended for {duration(zero_s)}"
    since_s = view.episodes.asked_since_s
    short = f"{'' if since_s is None else f' since {_clock(view, since_s)}'}: nothing is in flight"
    return _answer(0, Said(f", because {nothing}{delay}", short, _would_wait(view)), State.AT_ZERO)


def _is_quiet(view: ServiceView, record: Record) -> bool:
    observation = record.observation
    known = not observation.problem and not current_count(observation) and not observation.passing
    return known and not view.queued and not view.running


def _would_wait(view: ServiceView) -> str:
    half_s, most_s = view.starts.median_s, view.starts.p90_s
    if half_s is None or most_s is None:
        return "How long the next request would wait is unknown: no start was measured yet."
    half, most = compared(half_s, most_s)
    return f"The next request would wait about {half} (half of the starts), {most} (9 of 10)."


_SITUATIONS: Sequence[Callable[[ServiceView, Record], Answer | None]] = (
    _standby,
    _refused,
    _dry_run,
    _standing,
    _unknown,
    _no_stock,
    _at_zero,
)


# The cause of the decision.


def cause(record: Record) -> Reason | None:
    """Give the rule that is the cause of the number; None if it is the recommendation."""
    drain = record.outcome.drain if record.outcome else ()
    for reason in reversed((*record.decision.reasons, *drain)):
        if reason.before != reason.after or reason.rule in STANDING:
            return reason
    return None


def _cause(view: ServiceView, record: Record) -> Reason | str:
    """Give the rule that is the cause, or the words of the recommendation."""
    return cause(record) or recommended(view, record.decision.recommendation)


def _decided(view: ServiceView, record: Record) -> Answer:
    number, reason = asked_after(record), cause(record)
    second = _second(view, record, number)
    state = _state(view, record, number)
    if reason is None:
        words = Said(recommended(view, record.decision.recommendation), _short(record, number))
        if state is State.WAKING and _all_wait(view, record, number):
            words = said(Case(view, record, Reason("fromZero", number, number, ""), number))
    else:
        words = said(Case(view, record, reason, number))
    state = words.state or state
    if state is State.AT_MAX:
        second = _at_max(view)
    tail = _short_tail(view, number, state) if words.second is None else ""
    found = _answer(number, words, state, second=second, attention=bool(view.queued) if state is State.AT_MAX else None)
    return found._replace(short=f"{found.short} {tail}".strip())


def _short_tail(view: ServiceView, number: int, state: State) -> str:
    """Say what comes next in a row of a table."""
    if state is State.HOLDING:
        return short_next(view, number)
    first_s = expected_starts(view, number).first_s if state is State.WAKING else None
    return "" if first_s is None else f"The first is expected at {_clock(view, view.now_s + first_s)}."


def _short(record: Record, number: int) -> str:
    text = short_recommended(record.decision.recommendation)
    ready = record.observation.ready
    return f" asked, {ready} ready: {text}" if ready < number else f": {text}"


def _all_wait(view: ServiceView, record: Record, number: int) -> bool:
    """Tell whether the requests that wait for the first replica explain the number."""
    per, waiting = per_replica(view), current_count(record.observation)
    return per is not None and waiting > 0 and needed(waiting, per) == number


def _state(view: ServiceView, record: Record, number: int) -> State:
    ready = record.observation.ready if view.fleet is None else view.fleet.ready
    if not number:
        return State.AT_ZERO
    if not ready:
        return State.WAKING
    if ready < number:
        return State.SCALING_UP
    per = per_replica(view)
    if per is not None and needed(current_count(record.observation), per) < number:
        return State.HOLDING
    return State.RUNNING


def _second(view: ServiceView, record: Record, number: int) -> str:
    """Say what is in flight now, and what comes next."""
    ready = record.observation.ready if view.fleet is None else view.fleet.ready
    if not ready and number:
        return _first_expected(view, number)
    if ready < number:
        expected = expected_starts(view, number)
        text = f"{number_of(ready, 'is', 'are')} ready, {number_of(expected.starting, 'starts', 'start')}"
        return f"{text}; the next is expected in {duration(expected.first_s)}." if expected.first_s else f"{text}."
    return f"{now(view, number)} {next_change(view, number)}".strip()


def _first_expected(view: ServiceView, number: int) -> str:
    expected = expected_starts(view, number)
    if expected.first_s is None:
        known = view.starts.newest
        return (
            "The start takes longer than 9 of 10 did."
            if known
            else "When the first is ready is unknown: no start was measured yet."
        )
    if number == 1 or expected.last_s is None:
        return f"The first is expected in {duration(expected.first_s)} ({_clock(view, view.now_s + expected.first_s)})."
    first, last = compared(expected.first_s, expected.last_s)
    return f"The first is expected in {first} ({_clock(view, view.now_s + expected.first_s)}), the last in {last}."


def _at_max(view: ServiceView) -> str:
    if view.queued is None:
        return "Raise maxReplicas to allow more."
    if not view.queued:
        return "Nothing waits."
    oldest = view.figures.oldest_wait_s if view.figures else None
    wait = "" if oldest is None else f", the oldest for {duration(oldest)}"
    return f"{number_of(view.queued, 'waits', 'wait')}{wait}. Raise maxReplicas to serve them sooner."


def _clock(view: ServiceView, at_s: float) -> str:
    return clock(at_s, view.now_s, view.zone)
