"""The answer for all services: who needs attention, what waits."""

from collections import Counter
from collections.abc import Sequence

from autoscaler.explain.episodes import asked_after
from autoscaler.explain.sentences import Answer, answer
from autoscaler.explain.states import State
from autoscaler.explain.view import ServiceView
from autoscaler.explain.wording import duration, listed, number_of

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NEEDS = {
    State.NO_STOCK: ("waits for GPUs", "wait for GPUs"),
    State.UNKNOWN: ("has an unknown count", "have an unknown count"),
    State.REFUSED: ("cannot be written", "cannot be written"),
    State.FOREIGN: ("has another writer", "have another writer"),
    State.AT_MAX: ("is at its maximum", "are at their maximum"),
}
_FAILS = ("cannot be decided on", "cannot be decided on")
_DOES = {State.WAKING: "starts", State.SCALING_UP: "starts", State.AT_ZERO: "is at zero"}
_MOST_NAMED = 2


def fleet_answer(
    views: Sequence[ServiceView], answers: Sequence[Answer] | None = None, *, namespaces: int | None = None
) -> tuple[str, str]:
    """Say in two sentences how all services are.

    Args:
        views: all services.
        answers: the answer for each, if they are there already.
        namespaces: how many namespaces are read, for the words when there is no policy; None is all, or unknown.
    """
    if not views:
        return _empty(namespaces)
    answers = [answer(view) for view in views] if answers is None else answers
    return _attention(views, answers), _counts(views)


def _empty(namespaces: int | None) -> tuple[str, str]:
    where = "." if namespaces is None else f" in the {number_of(namespaces, 'namespace')} that this controller sees."
    return (
        f"No ScalingPolicy is known{where}",
        "The first one appears here by itself within 2 s. Begin with `kubectl apply -f policy.yaml`.",
    )


def _attention(views: Sequence[ServiceView], answers: Sequence[Answer]) -> str:
    in_need = [(view, found) for view, found in zip(views, answers, strict=True) if found.attention]
    services = number_of(len(views), "service")
    if not in_need and len(views) == 1:
        return f"1 service, which needs no attention: {views[0].service} {_DOES.get(answers[0].state, 'runs')}."
    if not in_need:
        return f"None of {services} needs attention: {_doing(answers)}."
    if len(in_need) == 1:
        view, found = in_need[0]
        return f"1 of {services} needs attention: {view.service} {_NEEDS.get(found.state, _FAILS)[0]}."
    kinds = Counter(_NEEDS.get(found.state, _FAILS) for _, found in in_need)
    parts = [f"{_in_words(often)} {words[often > 1]}" for words, often in kinds.items()]
    return f"{len(in_need)} of {services} need attention: {', '.join(parts)}."


def _in_words(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def _doing(answers: Sequence[Answer]) -> str:
    """Count the services by what they do."""
    states = [found.state for found in answers]
    starting = sum(state in {State.WAKING, State.SCALING_UP} for state in states)
    at_zero = states.count(State.AT_ZERO)
    others = len(states) - starting - at_zero
    parts = [
        number_of(others, "runs", "run") if others else "",
        number_of(starting, "starts", "start") if starting else "",
        f"{number_of(at_zero, 'is', 'are')} at zero" if at_zero else "",
    ]
    return listed([part for part in parts if part])


def _counts(views: Sequence[ServiceView]) -> str:
    known = [view.record for view in views if view.record is not None]
    ready, asked = sum(record.observation.ready for record in known), sum(map(asked_after, known))
    unknown = [view.service for view in views if view.queued is None]
    queued = sum(view.queued or 0 for view in views)
    first = ""
    if known:
        first = f"{number_of(ready, 'replica is', 'replicas are')} ready of {asked} asked for; "
    waiting = f"{number_of(queued, 'request waits', 'requests wait')}"
    text = (
        f"{first}{waiting}{_left_out(unknown)}."
        if len(unknown) < len(views)
        else f"{first}how many requests wait is unknown."
    )
    return f"{text} {_oldest(views)}".strip()


def _left_out(unknown: Sequence[str]) -> str:
    if not unknown:
        return ""
    names = " and ".join(unknown) if len(unknown) <= _MOST_NAMED else number_of(len(unknown), "service")
    return f", not counting {names}"


def _oldest(views: Sequence[ServiceView]) -> str:
    waits = [
        (view.figures.oldest_wait_s, view.service)
        for view in views
        if view.figures is not None and view.figures.oldest_wait_s is not None
    ]
    if not waits:
        return ""
    longest_s, service = max(waits)
    return f"The oldest has waited {duration(longest_s)}, at {service}."
