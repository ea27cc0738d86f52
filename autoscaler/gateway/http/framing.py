"""The rules of HTTP framing that hold for requests and for responses.

Rules:
1. `chunked`, once and alone, is the only known transfer coding; RFC 9112 (6.1, 6.3) says how others are refused.
2. Everything of a message that is not its body is counted: its head, interim responses, chunk sizes and extensions,
   trailers, and what lies between two messages. Beyond the limit no more of it is read.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

import httptools

HTTP_VERSIONS = {"1.1": False, "1.0": True}
"""The versions that are spoken, and whether each is HTTP/1.0."""
_FREE_PER_PART = 16
_FREE_PER_BODY_BYTE = 2


class HeadLimits(NamedTuple):
    """How large a message's head, and everything else of it that is not its body, may be."""

    line_bytes: int = 16 * 1024
    field_bytes: int = 32 * 1024
    fields: int = 128
    underscores: bool = False
    """Whether a request keeps its headers with `_` in their names. WSGI and CGI read `X_Forwarded_For` as
    `X-Forwarded-For`, so a client could use one to contradict what the gateway says with the other."""

    @property
    def head_bytes(self) -> int:
        """The limit for the whole head."""
        return self.line_bytes + 4 * self.field_bytes


class Overhead:
    """Counts the bytes of a message that are not its body.

    As in Go's net/http, each part of a body allows for 16 bytes and twice its size: a stream of chunks of one byte is
    legal and has no limit, but the same bytes as extensions or trailers have one.
    """

    __slots__ = ("_bytes", "_most", "_paid", "restarted")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._paid = 0
        self.restarted = False
        """Set when a message ends; the rest of the same read belongs to the next one and is not counted."""

    def body(self, size: int) -> None:
        """Note a part of a body."""
        self._paid += size + _FREE_PER_PART + _FREE_PER_BODY_BYTE * size

    def read(self, size: int) -> bool:
        """Note how many bytes were read, with the body; return False if too many of them were not body."""
        if self.restarted:
            self.restarted = False
            self._bytes = self._paid = 0
            return True
        self._bytes = max(0, self._bytes + size - self._paid)
        self._paid = 0
        return self._bytes <= self._most


def refused_coding(fields: Sequence[bytes], *, http10: bool) -> HTTPStatus | None:
    """Return the status that refuses a message with these `Transfer-Encoding` fields; None if they are legal."""
    codings = [coding.strip(b" \t").lower() for coding in b",".join(fields).split(b",")]
    *others, last = codings
    if http10 or last != b"chunked" or b"chunked" in others or b"" in others:
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.NOT_IMPLEMENTED if others else None


def reason_of(error: httptools.HttpParserError, otherwise: Exception) -> BaseException:
    """Return the error that a callback of the parser raised; `otherwise` for an error that the parser found itself."""
    raised = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    return otherwise if raised is None or isinstance(raised, httptools.HttpParserError) else raised
