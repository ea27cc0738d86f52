"""Reads the answers to one query, tick after tick: of ten thousand services hardly any says anything new. No I/O.

Rules:
    * An element is known by its text, less the moment, which all of one answer share. What the last answer had too is
      not read again, in whatever order it comes.
    * What is read so is what `parse` would have read. An answer that is not written as Prometheus writes, or that says
      two things of one service, is read anew.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from sys import intern
from typing import NamedTuple

import msgspec

from autoscaler.ports import ServiceName
from autoscaler.sources.answers import Answer, Labels, collected, result_of, understood

_BEGIN = b'{"metric":'
_VALUE = b'"value":['
_MOMENT = re.compile(_VALUE[:-1] + rb"\[([0-9.e+]+),")


class _Element(msgspec.Struct, gc=False):
    """An element without its moment."""

    metric: Labels
    value: tuple[str]


_ELEMENT = msgspec.json.Decoder(_Element)


class _Texts(NamedTuple):
    evaluated_s: float
    elements: frozenset[bytes]


class _UnlikeError(Exception):
    """The answer cannot be told by what is new in it."""


class Reader:
    """Remembers the last answer."""

    def __init__(self) -> None:
        self._elements: frozenset[bytes] = frozenset()
        self._answer: Answer | None = None

    def read(self, body: bytes) -> Answer:
        """Read what the query was answered this time; raises Fault."""
        with understood():
            result, warning = result_of(body, "vector")
            texts = _texts(bytes(result))
            answer = self._changed(texts, warning) or collected(result, warning)
        self._answer, self._elements = None, frozenset()
        if texts and _is_plain(answer, len(texts.elements)):
            self._answer, self._elements = answer, texts.elements
        return answer

    def _changed(self, texts: _Texts | None, warning: str) -> Answer | None:
        """Change the last answer by what is new and what is gone; None if it has to be read whole."""
        if texts is None or self._answer is None:
            return None
        new, gone = texts.elements - self._elements, self._elements - texts.elements
        if 2 * len(new) > len(texts.elements):
            return None
        # Whatever is wrong with it, reading it whole says what.
        with suppress(_UnlikeError, msgspec.MsgspecError, ValueError, LookupError):
            return _apply(self._answer, new, gone)._replace(evaluated_s=texts.evaluated_s, warning=warning)
        return None


def _texts(result: bytes) -> _Texts | None:
    """Cut a vector into its elements; None if it is not written so that they can be told by their text."""
    moment = _MOMENT.search(result)
    if moment is None:
        return None
    same = result.replace(moment[0], _VALUE)
    opening, *elements = same.split(_BEGIN)
    # Each ends with what parts it from the next one, and the last one shall look like the others.
    elements[-1] = elements[-1][:-1] + b","
    texts = frozenset(elements)
    moments = (len(result) - len(same)) // (len(moment[0]) - len(_VALUE))
    if opening != b"[" or not len(elements) == len(texts) == moments:
        return None
    return _Texts(float(moment[1]), texts)


def _is_plain(answer: Answer, elements: int) -> bool:
    """Tell whether each element of an answer says something of its own."""
    told = (answer.value, answer.oldest, answer.series, answer.bare, answer.usual)
    return not answer.unlabelled and sum(map(len, told)) == elements


def _apply(answer: Answer, new: frozenset[bytes], gone: frozenset[bytes]) -> Answer:
    value, usual = dict(answer.value), dict(answer.usual)
    bare = dict.fromkeys(answer.bare, 0.0)
    kinds = {"value": value, "oldest": dict(answer.oldest), "series": dict(answer.series), "bare": bare}
    changed = set()
    for kind, service, _ in _read(gone):
        del (kinds[kind] if service else usual)[service or kind]
        changed.add(service)
    for kind, service, number in _read(new):
        of_kind = kinds[kind]
        table, key = (of_kind, service) if service else (usual, kind)
        if key in table or (kind == "value" and not service):
            raise _UnlikeError
        table[key] = number
        changed.add(service)
    zero = (answer.zero - changed) | {service for service in changed if value.get(service) == 0}
    return answer._replace(
        value=value, oldest=kinds["oldest"], series=kinds["series"], bare=frozenset(bare), usual=usual, zero=zero
    )


def _read(texts: frozenset[bytes]) -> Iterator[tuple[str, ServiceName, float]]:
    """Read elements; of one that is about no service the name is empty."""
    for text in texts:
        element = _ELEMENT.decode(_BEGIN + text[:-1])
        labels = element.metric
        is_about_one = labels.namespace is not None and labels.service is not None
        service = intern(f"{labels.namespace}/{labels.service}") if is_about_one else ""
        yield labels.f, service, float(element.value[0])
