"""The requests of one client's connection that have been read and are not served yet."""

import logging
from http import HTTPStatus

from autoscaler.gateway.http.framing import HeadLimits
from autoscaler.gateway.http.incoming_body import Source
from autoscaler.gateway.http.own_response import GATEWAY_FAILED
from autoscaler.gateway.http.request_parser import BrokenRequestError, IncomingRequest, RequestParser

_log = logging.getLogger(__name__)
_MOST_PIPELINED = 64
"""Requests that may wait behind the current one; then no more is parsed or read."""
_MOST_AHEAD_BYTES = 1 << 16
"""Bytes of them that may have been parsed, in addition to the last piece: heads can be large."""
_PARSED_AT_A_TIME = 1 << 14
"""Bytes; one read may hold thousands of requests."""


class Pipeline:
    """Parses what a client sends, up to a limit of waiting requests."""

    __slots__ = (
        "_limits",
        "_parsed_ahead_bytes",
        "_parser",
        "_source",
        "_unparsed",
        "_waiting",
        "behind_upgrade",
        "stopped",
    )

    def __init__(self, source: Source, limits: HeadLimits) -> None:
        self._source = source
        self._limits = limits
        self._waiting: list[IncomingRequest | BrokenRequestError] = []
        self._parser = RequestParser(source, limits, self._waiting.append)
        self._unparsed = b""
        """Data that must not be parsed yet, because enough requests wait."""
        self._parsed_ahead_bytes = 0
        """Bytes parsed while a request waited."""
        self.behind_upgrade: bytearray | None = None
        """Data that followed a request for a WebSocket, while that is not answered."""
        self.stopped = False
        """Whether no more requests are read."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not whole."""
        return self._parser.in_head

    @property
    def _is_ahead(self) -> bool:
        return len(self._waiting) > _MOST_PIPELINED or self._parsed_ahead_bytes > _MOST_AHEAD_BYTES

    def feed(self, data: bytes) -> bool:
        """Parse data from the client, and keep what must not be parsed yet; return whether the client must pause."""
        if not (self._unparsed or self._waiting) and len(data) <= _PARSED_AT_A_TIME:
            self._parse(data, b"")
            return self._is_ahead
        self._unparsed += data
        return self.read_on()

    def read_on(self) -> bool:
        """Parse what was kept, if there is room; return whether the client must still pause."""
        self._unparsed = self._parse_pieces(self._unparsed)
        return bool(self._unparsed) or self._is_ahead

    def next(self) -> IncomingRequest | BrokenRequestError | None:
        """Take the first request that waits, or the error that follows the last one; None if there is none."""
        if not self._waiting:
            return None
        request = self._waiting.pop(0)
        if not self._waiting:
            self._parsed_ahead_bytes = 0
        return request

    def take_behind_upgrade(self) -> bytes:
        """Take the data that followed a request for a WebSocket which the pod accepted."""
        behind, self.behind_upgrade = self.behind_upgrade, None
        return bytes(behind or b"")

    def decline_upgrade(self) -> bytes:
        """Take the data that followed a request for a WebSocket which the pod declined."""
        self._parser.close()
        self._parser = RequestParser(self._source, self._limits, self._waiting.append)
        return self.take_behind_upgrade()

    def stop(self) -> None:
        """Drop the requests that wait, and read no more."""
        self.stopped = True
        self._waiting.clear()
        self._unparsed = b""

    def close(self) -> None:
        """Stop, and drop all references: no request may wait for the garbage collector."""
        self.stop()
        self._parser.close()
        del self._parser, self._source

    def _parse_pieces(self, data: bytes) -> bytes:
        """Parse until enough requests wait, and return the rest."""
        for start in range(0, len(data), _PARSED_AT_A_TIME):
            if self._is_ahead:
                return data[start:]
            end = start + _PARSED_AT_A_TIME
            if not self._parse(data[start:end], data[end:]):
                break
        return b""

    def _parse(self, piece: bytes, behind_it: bytes) -> bool:
        """Parse a piece; return whether more may be parsed."""
        try:
            behind = self._parser.feed(piece)
        except BrokenRequestError as broken:
            self._break_off(broken)
            return False
        except Exception:  # noqa: BLE001 - one connection must not end the others
            _log.exception("data of a client could not be read")
            self._break_off(BrokenRequestError(HTTPStatus.INTERNAL_SERVER_ERROR, GATEWAY_FAILED))
            return False
        if behind is not None:
            self.behind_upgrade = bytearray(behind + behind_it)
            return False
        if self._waiting:
            self._parsed_ahead_bytes += len(piece)
        return True

    def _break_off(self, broken: BrokenRequestError) -> None:
        self.stopped = True
        if not self._parser.break_body(broken.status):
            self._waiting.append(broken)
