"""Say why a service has its number of replicas: in a sentence, and step by step.

It asks the page of a running controller or gateway (`--page`). Without --address it reaches that of the controller in
the cluster through `kubectl port-forward`, if kubectl is there. With --log it answers from decision logs, as of
their end or of --at.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from autoscaler.commands.connection_options import add_connection, connection, number_from
from autoscaler.commands.options import InvalidValueError
from autoscaler.explain.wording import clock
from autoscaler.terminal.show_service import decisions_text, service_text, width
from autoscaler.terminal.source import Source
from autoscaler.terminal.times import Moment, moment
from autoscaler.terminal.values import AnswerError, Decision, Fleet, Service, WhyNot, plain, read, zone_of

EXIT_STATUS = {0: "it was said", 2: "there is no such service, no page, no decision at that time, or a log is invalid"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the service, the question, and where the answers come from."""
    parser.add_argument("service", metavar="SERVICE", help="NAMESPACE/NAME, or NAME in the namespace default")
    question = parser.add_mutually_exclusive_group()
    question.add_argument("--at", type=_moment, metavar="TIME", help="the decision at a time, such as 14:35:02")
    question.add_argument("--last", type=number_from(1), metavar="N", help="the last N rows of the table of decisions")
    question.add_argument("--why-not", type=number_from(0), metavar="N", help="why it does not have N replicas")
    parser.add_argument("--json", action="store_true", help="print JSON values, as the page has them")
    add_connection(parser)


def run(arguments: argparse.Namespace) -> int:
    """Answer; 2 if there is no answer."""
    name = arguments.service if "/" in arguments.service else f"default/{arguments.service}"
    try:
        values, text = asyncio.run(_answer(arguments, name))
    except AnswerError as error:
        print(f"explain: {error}", file=sys.stderr)
        return 2
    print(json.dumps(values, indent=1) if arguments.json else text)
    return 0


async def _answer(arguments: argparse.Namespace, name: str) -> tuple[Any, str]:
    async with connection(arguments) as source:
        for note in source.notes:
            print(note, file=sys.stderr)
        if arguments.why_not is not None:
            return await _why_not(source, name, arguments.why_not)
        if arguments.at is not None and arguments.log:
            return await _log_at(arguments, source, name)
        values = await source.service(name)
        service = read(values, Service, source.name)
        if arguments.at is not None:
            return _at(values, service, arguments.at)
        if arguments.last is not None:
            shown = service.decisions[: arguments.last]
            text = decisions_text(shown, service.now, zone_of(service), width())
            return {"service": name, "decisions": values["decisions"][: arguments.last]}, text
        return values, service_text(service, await _questions(source, service), width())


async def _why_not(source: Source, name: str, replicas: int) -> tuple[Any, str]:
    values = await source.why_not(name, replicas)
    return values, "\n".join(plain(text) for text in read(values, WhyNot, source.name).sentences)


async def _questions(source: Source, service: Service) -> list[tuple[str, Sequence[str]]]:
    """Ask why there is not one more, and not one fewer."""
    asked = service.figures.get("asked")
    if not isinstance(asked, int):
        return []
    numbers = [("Why not more?", asked + 1), *([("Why not fewer?", asked - 1)] if asked else [])]
    return [
        (question, read(await source.why_not(service.name, number), WhyNot, source.name).sentences)
        for question, number in numbers
    ]


async def _log_at(arguments: argparse.Namespace, source: Source, name: str) -> tuple[Any, str]:
    """Read the log again up to the time: then all is as it was."""
    fleet = read(await source.fleet(), Fleet, source.name)
    at_s = arguments.at.unix_s(fleet.now, None)
    await source.service(name)
    async with connection(arguments, at_s) as earlier:
        known = read(await earlier.fleet(), Fleet, source.name)
        if name not in {row.name for row in known.services}:
            raise AnswerError(f"{source.name} has no decision on {name} at {arguments.at.text} or before")
        values = await earlier.service(name)
        service = read(values, Service, source.name)
        return values, service_text(service, await _questions(earlier, service), width())


def _at(values: Any, service: Service, at: Moment) -> tuple[Any, str]:
    """Find the decision that was the last one at a time, in the rows that the page keeps."""
    at_s = at.unix_s(service.now, zone_of(service))
    place = next((place for place, row in enumerate(service.decisions) if row.begins <= at_s), None)
    if place is None:
        raise AnswerError(f"the page has no decision on {service.name} at {at.text} or before{_oldest(service)}")
    row: Decision = service.decisions[place]
    text = decisions_text([row], service.now, zone_of(service), width())
    return {"service": service.name, "at": at_s, "decision": values["decisions"][place]}, text


def _oldest(service: Service) -> str:
    if not service.decisions:
        return ""
    oldest = clock(service.decisions[-1].begins, service.now, zone_of(service))
    return f": its rows begin at {oldest}; a decision log (--log) goes further back"


# Options.


def _moment(text: str) -> Moment:
    try:
        return moment(text)
    except ValueError as error:
        raise InvalidValueError(str(error)) from error
