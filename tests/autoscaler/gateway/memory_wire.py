"""Connections without sockets, so that a gateway with its clients and pods lives in virtual time: hours take seconds.

What is written arrives in a later turn of the loop, in order. A side that reads no more fills the writer's buffer, as a
socket does; there is no buffer between them.
"""

import asyncio

AT_ONCE = 1 << 18
"""Bytes of one read."""


class NoSocket:
    """Takes options and keeps none."""

    def setsockopt(self, *_option):
        pass


class MemoryTransport(asyncio.Transport):
    def __init__(self, loop):
        super().__init__({"socket": NoSocket(), "peername": ("10.0.0.9", 40_000)})
        self._loop = loop
        self._buffer = bytearray()
        self._paused = self._full = self._closing = self._ends = self._lost = self._due = False
        self._high, self._low = 1 << 16, 1 << 14
        self.protocol = self.peer = None

    # What is written.

    def write(self, data):
        if self._ends:
            raise RuntimeError("nothing can be written behind the end")  # as uvloop does
        if not self._closing:
            self._buffer += data
            if len(self._buffer) > self._high and not self._full:
                self._full = True
                self.protocol.pause_writing()
            self._soon()

    def write_eof(self):
        self._ends = True
        self._soon()

    def close(self):
        self._closing = True
        self._soon()

    def abort(self):
        self._closing = True
        self._buffer.clear()
        self._soon()

    def is_closing(self):
        return self._closing

    def set_write_buffer_limits(self, high=None, low=None):
        self._high, self._low = high, high // 4 if low is None else low

    def get_write_buffer_size(self):
        return len(self._buffer)

    # What is read.

    def pause_reading(self):
        self._paused = True

    def resume_reading(self):
        self._paused = False
        self.peer._soon()

    # In a later turn.

    def _soon(self):
        if not self._due:
            self._due = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self):
        self._due = False
        if self._buffer and not self.peer._paused and not self.peer._lost:
            data = bytes(self._buffer[:AT_ONCE])
            del self._buffer[:AT_ONCE]
            self.peer.protocol.data_received(data)
            if self._buffer:
                self._soon()
        if self._full and len(self._buffer) <= self._low:
            self._full = False
            self.protocol.resume_writing()
        if (self._closing or self._ends) and (not self._buffer or self.peer._lost):
            self._end()

    def _end(self):
        if self._closing:
            self._lose()
        if not (self.peer._lost or self.peer._ended_by_us):
            self.peer._ended_by_us = True
            if not self.peer.protocol.eof_received():
                self.peer.close()

    _ended_by_us = False

    def _lose(self):
        if not self._lost:
            self._lost = True
            self.protocol.connection_lost(None)


def join(loop, here, there):
    """Connect two protocols."""
    ends = MemoryTransport(loop), MemoryTransport(loop)
    for transport, peer, protocol in zip(ends, reversed(ends), (here, there), strict=True):
        transport.peer, transport.protocol = peer, protocol
    for transport in ends:
        transport.protocol.connection_made(transport)


def streams(loop, serve=None):
    """A protocol whose bytes come as a stream; `serve` is given reader and writer, else the reader is returned."""
    reader = asyncio.StreamReader(limit=1 << 20, loop=loop)
    return asyncio.StreamReaderProtocol(reader, serve, loop=loop), reader


class MemoryNet:
    """Pods by address, and a gateway that clients connect to."""

    def __init__(self, loop, pods):
        self._loop = loop
        self._pods = pods
        loop.create_connection = self._create_connection

    async def _create_connection(self, make, host, port):
        pod = self._pods.get(f"{host}:{port}")
        if pod is None:
            raise ConnectionRefusedError
        protocol = make()
        join(self._loop, protocol, streams(self._loop, pod._serve)[0])
        return None, protocol

    def client(self, core):
        """A stream to and from the gateway."""
        protocol, reader = streams(self._loop)
        join(self._loop, protocol, core.accept())
        return reader, asyncio.StreamWriter(protocol._transport, protocol, reader, self._loop)
