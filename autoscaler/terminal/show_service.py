"""Writes the answer for a service: the sentences, and decisions opened to their steps."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from shutil import get_terminal_size
from textwrap import wrap

from autoscaler.explain.wording import clock
from autoscaler.terminal.values import Decision, Sentence, Service, plain, zone_of

_LEAST_WIDTH = 60
_MOST_WIDTH = 120
_OF_FILES = 100


def width() -> int:
    """Give the width of the terminal; a file gets lines of a hundred characters."""
    return get_terminal_size((_OF_FILES, 24)).columns if sys.stdout.isatty() else _OF_FILES


def service_text(service: Service, why_not: Sequence[tuple[str, Sequence[str]]], columns: int) -> str:
    """Write why a service has its number, its newest decision, and why it is not another number.

    Args:
        service: the service.
        why_not: questions with their answers.
        columns: of the terminal.
    """
    columns = max(min(columns, _MOST_WIDTH), _LEAST_WIDTH)
    lines = [f"{plain(service.name)}   {plain(service.state)}", "", *_sentences(service.sentence, columns)]
    if service.decisions:
        lines += ["", *decision_lines(service.decisions[0], service.now, zone_of(service), columns)]
    for question, answers in why_not:
        lines += ["", question, *_wrapped(answers, columns, "  ")]
    return "\n".join(lines)


def _sentences(sentence: Sentence, columns: int) -> list[str]:
    return _wrapped([sentence.first, sentence.second], columns)


def _wrapped(texts: Iterable[str], columns: int, indent: str = "") -> list[str]:
    return [
        line
        for text in texts
        for line in wrap(plain(text), columns, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    ]


def decisions_text(
    decisions: Sequence[Decision], now_s: float, zone: tzinfo, columns: int, sentence: Sentence | None = None
) -> str:
    """Write decisions, each opened."""
    columns = max(min(columns, _MOST_WIDTH), _LEAST_WIDTH)
    parts = ["\n".join(_sentences(sentence, columns))] if sentence else []
    parts += ["\n".join(decision_lines(each, now_s, zone, columns)) for each in decisions]
    return "\n\n".join(parts)


def decision_lines(decision: Decision, now_s: float, zone: tzinfo, columns: int) -> Iterator[str]:
    """Write a decision with its steps; of a stretch of decisions the last one."""
    when = clock(decision.ends, now_s, zone)
    if decision.count > 1:
        when = f"{clock(decision.begins, now_s, zone)} to {when}, {decision.count} decisions, the last one"
    yield f"{when}: {decision.before} → {decision.after}, {plain(decision.result)}"
    label_width = max((len(plain(step.label)) for step in decision.steps), default=0)
    for step in decision.steps:
        number = "" if step.number is None else str(step.number)
        begin = f"  {plain(step.label):{label_width}} {number:>5}  "
        text = wrap(plain(step.text), columns - len(begin), break_on_hyphens=False) or [""]
        yield begin + text[0]
        yield from (" " * len(begin) + line for line in text[1:])
