"""Reads the responses to one query, tick after tick: of ten thousand services hardly any changes. No I/O.

Rules:
    * An element is identified by its text without the time, which all elements of a response share. Elements of the
      last response are not read again, in any order, and a common beginning is not even split into elements.
    * The result equals that of `parse`. A response that is not formatted as Prometheus formats it, or that has two
      values for one service, is read whole.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from sys import intern
from typing import NamedTuple

import msgspec

from autoscaler.ports import ServiceName
from autoscaler.sources.prometheus_response import Labels, QueryResponse, malformed_is_error, parse_vector, result_of

_OF_ONE = frozenset({"value", "other"})
"""Kinds that are never shared by all services."""
_BEGIN = b'{"metric":'
_VALUE = b'"value":['
_MOMENT = re.compile(_VALUE[:-1] + rb"\[([0-9.e+]+),")


class _Element(msgspec.Struct, gc=False):
    """An element without its time."""

    metric: Labels
    value: tuple[str]


_ELEMENT = msgspec.json.Decoder(_Element)


class _Text(NamedTuple):
    """The text of a vector without its time."""

    evaluated_s: float
    text: bytes
    moments: int
    """How often the time was in it: once in each element. 0 if elements cannot be identified by their text."""


class _UnlikeError(Exception):
    """The response cannot be read by its changes."""


_KEPT_BYTES, _KEPT_BYTES_OF_A_SERVICE = 64 * 2**10, 1024
"""The remembered text is bounded by the number of services in the query, not by the size of the response."""


class IncrementalReader:
    """Remembers the last response; it may be used in any thread.

    Args:
        services: the services of the query.
    """

    def __init__(self, services: frozenset[ServiceName] = frozenset()) -> None:
        self.services = services
        self._last: tuple[bytes, QueryResponse] | None = None
        """A text and its response, as one object: a thread whose response was given up may still be reading."""
        self._most_bytes = _KEPT_BYTES + _KEPT_BYTES_OF_A_SERVICE * len(services)

    def read(self, body: bytes) -> QueryResponse:
        """Read a response; raises QueryError."""
        with malformed_is_error():
            result, warning = result_of(body, "vector")
            vector = _text(bytes(result))
            response = self._changed(vector, warning) or parse_vector(result, warning)
        is_kept = len(vector.text) <= self._most_bytes and _is_plain(response, vector.moments)
        self._last = (vector.text, response) if is_kept else None
        return response

    def _changed(self, vector: _Text, warning: str) -> QueryResponse | None:
        """Update the last response with new and removed elements; None if the new one has to be read whole."""
        last = self._last
        if last is None or not vector.moments:
            return None
        text, response = last
        same = _common(text, vector.text)
        old, new = (frozenset(each[same:].split(_BEGIN)[1:]) for each in (text, vector.text))
        if 2 * len(new - old) > vector.moments:
            return None
        # If anything is wrong with it, reading it whole raises the error.
        with suppress(_UnlikeError, msgspec.MsgspecError, ValueError, LookupError):
            response = _apply(response, new - old, old - new)
            if _is_plain(response, vector.moments):
                return response._replace(evaluated_s=vector.evaluated_s, warning=warning)
        return None


def _text(result: bytes) -> _Text:
    moment = _MOMENT.search(result)
    if moment is None:
        return _Text(0.0, result, 0)
    text = result.replace(moment[0], _VALUE)
    moments = (len(result) - len(text)) // (len(moment[0]) - len(_VALUE))
    if not text.startswith(b"[" + _BEGIN) or text.count(_BEGIN) != moments:
        moments = 0
    # Each element ends with a comma. The last one gets one too, so that all look alike.
    return _Text(float(moment[1]), text[:-1] + b",", moments)


def _common(old: bytes, new: bytes) -> int:
    """Give the length of the whole elements with which both texts begin."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if new.startswith(old[low:middle], low) else (low, middle - 1)
    return max(new.rfind(_BEGIN, 0, low), 0)


def _is_plain(response: QueryResponse, moments: int) -> bool:
    """Tell whether each element of a response has a meaning of its own, and all have the same time."""
    parts = (
        *(response.value, response.oldest, response.series, response.bare),
        *(response.usual, response.twice, response.others),
    )
    return not response.unlabelled and not response.repeated and sum(map(len, parts)) == moments


def _apply(response: QueryResponse, new: frozenset[bytes], gone: frozenset[bytes]) -> QueryResponse:
    value, usual = dict(response.value), dict(response.usual)
    bare, twice = dict.fromkeys(response.bare, 0.0), dict.fromkeys(response.twice, 0.0)
    kinds = {
        "value": value,
        "oldest": dict(response.oldest),
        "series": dict(response.series),
        "bare": bare,
        "twice": twice,
    }
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
    zero = response.zero
    if changed:
        zero = (zero - changed) | {service for service in changed if value.get(service) == 0}
    return response._replace(
        value=value,
        oldest=kinds["oldest"],
        series=kinds["series"],
        bare=frozenset(bare),
        usual=usual,
        zero=zero,
        twice=frozenset(twice),
    )


def _read(texts: frozenset[bytes]) -> Iterator[tuple[str, ServiceName, float]]:
    """Read elements; the name is empty for one without a service."""
    for text in texts:
        element = _ELEMENT.decode(_BEGIN + text[:-1])
        labels = element.metric
        is_about_one = labels.namespace is not None and labels.service is not None
        service = intern(f"{labels.namespace}/{labels.service}") if is_about_one else ""
        yield labels.f, service, float(element.value[0])
