"""What holds for requests and responses alike, so that both are read by one discipline.

Rules:
1. `chunked`, once and alone, is the one transfer coding that we know; RFC 9112 (6.1, 6.3) says how others are refused.
2. What of a message is no body is counted, from the end of the message before to its own: its head, interim responses,
   sizes and extensions of chunks, trailers. Beyond the limit nothing more of it is read.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

import httptools

HTTP_VERSIONS = {"1.1": False, "1.0": True}
"""Those that we speak, and whether each is the old one."""
_FREE_PER_PART = 16
_FREE_PER_BODY_BYTE = 2


class HeadLimits(NamedTuple):
    """How large a message's head may be, and all else of it that is no body."""

    line_bytes: int = 16 * 1024
    field_bytes: int = 32 * 1024
    fields: int = 128
    underscores: bool = False
    """Whether a request keeps its fields with `_` in their names. WSGI and CGI read `X_Forwarded_For` as
    `X-Forwarded-For`, so a client could say with one what the gateway says with the other."""

    @property
    def head_bytes(self) -> int:
        """All of it, while it comes in parts."""
        return self.line_bytes + 4 * self.field_bytes


class Overhead:
    """Counts what a message has beside its body.

    As in Go's net/http, each part of a body pays for 16 bytes and for twice its size: a stream of chunks of one byte is
    legal and has no end, while the same bytes as extensions or trailers have one.
    """

    __slots__ = ("_bytes", "_most", "_paid", "_restarted")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._paid = 0
        self._restarted = False

    def body(self, size: int) -> None:
        """Take note of a part of a body."""
        self._paid += size + _FREE_PER_PART + _FREE_PER_BODY_BYTE * size

    def restart(self) -> None:
        """Take note that a message ends; what else came in the same read is not known and not counted."""
        self._restarted = True

    def read(self, size: int) -> bool:
        """Take note that so many bytes were read, body and all; False if too many were no body."""
        self._bytes = 0 if self._restarted else max(0, self._bytes + size - self._paid)
        self._paid = 0
        self._restarted = False
        return self._bytes <= self._most


def refused_coding(fields: Sequence[bytes], *, http10: bool) -> HTTPStatus | None:
    """Say with which status a message with these `Transfer-Encoding` fields is refused; None if it is fine."""
    if not fields:
        return None
    codings = [coding.strip(b" \t").lower() for coding in b",".join(fields).split(b",")]
    *others, last = codings
    if http10 or last != b"chunked" or b"chunked" in others or b"" in others:
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.NOT_IMPLEMENTED if others else None


def reason_of(error: httptools.HttpParserError, otherwise: Exception) -> BaseException:
    """Give what a callback of the parser raised, an error of ours too; `otherwise` for what the parser itself finds."""
    raised = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    return otherwise if raised is None or isinstance(raised, httptools.HttpParserError) else raised
