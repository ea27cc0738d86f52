"""Reads the answers to one query, tick after tick: of ten thousand services hardly any says anything new. No I/O.

Rules:
    * An element is known by its text, less the moment, which all of one answer share. What the last answer had too is
      not read again, in whatever order it comes, and what both begin with is not even cut into elements.
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
from autoscaler.sources.prometheus_response import Answer, Labels, collected, result_of, understood

_OF_ONE = frozenset({"value", "other"})
"""Kinds that are not said of all services."""
_BEGIN = b'{"metric":'
_VALUE = b'"value":['
_MOMENT = re.compile(_VALUE[:-1] + rb"\[([0-9.e+]+),")


class _Element(msgspec.Struct, gc=False):
    """An element without its moment."""

    metric: Labels
    value: tuple[str]


_ELEMENT = msgspec.json.Decoder(_Element)


class _Text(NamedTuple):
    """A vector as it is written, less its moment."""

    evaluated_s: float
    text: bytes
    moments: int
    """How often that was in it: once in each element. 0 where elements cannot be told by their text."""


class _UnlikeError(Exception):
    """The answer cannot be told by what is new in it."""


_KEPT_BYTES, _KEPT_BYTES_OF_A_SERVICE = 64 * 2**10, 1024
"""What is remembered grows with what is asked about, not with what is answered."""


class Reader:
    """Remembers the last answer; it may be used in any thread.

    Args:
        services: whom the query is asked about.
    """

    def __init__(self, services: frozenset[ServiceName] = frozenset()) -> None:
        self.services = services
        self._last: tuple[bytes, Answer] | None = None
        """A text and what was read from it. It is one object, since a thread whose answer nobody waits for any more may
        still be reading."""
        self._most_bytes = _KEPT_BYTES + _KEPT_BYTES_OF_A_SERVICE * len(services)

    def read(self, body: bytes) -> Answer:
        """Read what the query was answered this time; raises Fault."""
        with understood():
            result, warning = result_of(body, "vector")
            vector = _text(bytes(result))
            answer = self._changed(vector, warning) or collected(result, warning)
        is_kept = len(vector.text) <= self._most_bytes and _is_plain(answer, vector.moments)
        self._last = (vector.text, answer) if is_kept else None
        return answer

    def _changed(self, vector: _Text, warning: str) -> Answer | None:
        """Change the last answer by what is new and what is gone; None if it has to be read whole."""
        last = self._last
        if last is None or not vector.moments:
            return None
        text, answer = last
        same = _common(text, vector.text)
        old, new = (frozenset(each[same:].split(_BEGIN)[1:]) for each in (text, vector.text))
        if 2 * len(new - old) > vector.moments:
            return None
        # Whatever is wrong with it, reading it whole says what.
        with suppress(_UnlikeError, msgspec.MsgspecError, ValueError, LookupError):
            answer = _apply(answer, new - old, old - new)
            if _is_plain(answer, vector.moments):
                return answer._replace(evaluated_s=vector.evaluated_s, warning=warning)
        return None


def _text(result: bytes) -> _Text:
    moment = _MOMENT.search(result)
    if moment is None:
        return _Text(0.0, result, 0)
    text = result.replace(moment[0], _VALUE)
    moments = (len(result) - len(text)) // (len(moment[0]) - len(_VALUE))
    if not text.startswith(b"[" + _BEGIN) or text.count(_BEGIN) != moments:
        moments = 0
    # Each element ends with what parts it from the next one, and the last one shall look like the others.
    return _Text(float(moment[1]), text[:-1] + b",", moments)


def _common(old: bytes, new: bytes) -> int:
    """Give the length of the whole elements that both begin with; nothing of them is cut into pieces."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if new.startswith(old[low:middle], low) else (low, middle - 1)
    return max(new.rfind(_BEGIN, 0, low), 0)


def _is_plain(answer: Answer, moments: int) -> bool:
    """Tell whether each element of an answer says something of its own, at the moment of all."""
    told = (answer.value, answer.oldest, answer.series, answer.bare, answer.usual, answer.twice, answer.others)
    return not answer.unlabelled and not answer.repeated and sum(map(len, told)) == moments


def _apply(answer: Answer, new: frozenset[bytes], gone: frozenset[bytes]) -> Answer:
    value, usual = dict(answer.value), dict(answer.usual)
    bare, twice = dict.fromkeys(answer.bare, 0.0), dict.fromkeys(answer.twice, 0.0)
    kinds = {"value": value, "oldest": dict(answer.oldest), "series": dict(answer.series), "bare": bare, "twice": twice}
    changed = set()
    for kind, service, _ in _read(gone):
        del (kinds[kind] if service else usual)[service or kind]
        changed |= {service} if service else set()
    for kind, service, number in _read(new):
        of_kind = kinds[kind]
        table, key = (of_kind, service) if service else (usual, kind)
        if key in table or (kind in _OF_ONE and not service):
            raise _UnlikeError
        table[key] = number
        changed |= {service} if service else set()
    zero = answer.zero
    if changed:
        zero = (zero - changed) | {service for service in changed if value.get(service) == 0}
    return answer._replace(
        value=value,
        oldest=kinds["oldest"],
        series=kinds["series"],
        bare=frozenset(bare),
        usual=usual,
        zero=zero,
        twice=frozenset(twice),
    )


def _read(texts: frozenset[bytes]) -> Iterator[tuple[str, ServiceName, float]]:
    """Read elements; of one that is about no service the name is empty."""
    for text in texts:
        element = _ELEMENT.decode(_BEGIN + text[:-1])
        labels = element.metric
        is_about_one = labels.namespace is not None and labels.service is not None
        service = intern(f"{labels.namespace}/{labels.service}") if is_about_one else ""
        yield labels.f, service, float(element.value[0])
