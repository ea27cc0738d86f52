"""A TCP proxy on the way from one gateway to another, which does as it is told to the bytes that go through it.

The gateway that dials has the proxy's address in its list of peers. What the proxy does is set for each direction,
until it is healed; open connections are no exception.
"""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, suppress

THERE, BACK = "there", "back"
"""Directions: from the gateway that dials, and to it."""
BOTH = (THERE, BACK)


class CutError(Exception):
    """The connection is to be reset."""


async def through(piece):
    """Pass bytes on as they came."""
    yield piece


async def swallow(_piece):
    """Pass nothing on: the connection stays open and silent."""
    return
    yield


def delay(seconds):
    """Pass everything on so much later; what comes meanwhile waits its turn."""

    async def delayed(piece):
        await asyncio.sleep(seconds)
        yield piece

    return delayed


async def split(piece):
    """Cut lines in two: the halves come one after the other."""
    middle = len(piece) // 2
    yield piece[:middle]
    await asyncio.sleep(0.02)
    yield piece[middle:]


async def cut_in_a_line(piece):
    """Pass on half a line, and reset the connection."""
    yield piece[: len(piece) // 2]
    raise CutError


class PeerProxy:
    """One way to one gateway.

    Args:
        upstream: the port on which that gateway listens for its peers.
    """

    def __init__(self, upstream):
        self.port = 0
        self.taken = 0
        """Connections that were accepted."""
        self._upstream = upstream
        self._acts = dict.fromkeys(BOTH, through)
        self._refuses = False
        self._open = set()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def does(self, act, directions=BOTH):
        """Do this to all bytes of these directions until `heal`."""
        self._acts.update(dict.fromkeys(directions, act))

    def refuse(self):
        """Reset what is open, and each new connection at once, until `heal`."""
        self._refuses = True
        self.reset()

    def heal(self):
        """Pass everything on again. Bytes that were swallowed are lost, so what is open is reset."""
        self._refuses, self._acts = False, dict.fromkeys(BOTH, through)
        self.reset()

    def reset(self):
        """Reset what is open."""
        for writer in list(self._open):
            _reset(writer)

    @asynccontextmanager
    async def running(self):
        """Serve while the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        tasks = self._tasks = set()
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(task := asyncio.current_task())
        task.add_done_callback(self._tasks.discard)
        self.taken += 1
        if self._refuses:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(writer)
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            ways = (self._pass(reader, far_writer, THERE), self._pass(far_reader, writer, BACK))
            await _until_one_ends(ways)
        except asyncio.CancelledError:
            # asyncio logs a handler that is cancelled as one that has failed.
            return
        finally:
            self._open -= ends
            for end in ends:
                _reset(end)

    async def _pass(self, reader, writer, direction):
        with suppress(CutError, ConnectionError):
            while piece := await reader.read(1 << 16):
                async for passed in self._acts[direction](piece):
                    writer.write(passed)
                    await writer.drain()


async def _until_one_ends(ways):
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer):
    """End a connection with RST."""
    if (opened := writer.get_extra_info("socket")) is not None and opened.fileno() >= 0:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
