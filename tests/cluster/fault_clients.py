"""Clients that do a gateway no good: `fault_clients.py HOST PORT IDLE UPLOADS SLOW_READERS`, until it is killed.

Some connect and say nothing, some are held with a large body that comes slowly, some take nothing of a large answer. It
prints a line when all have begun.
"""

import asyncio
import sys
from contextlib import suppress

LARGE, PIECE = 8 << 20, 64 << 10
PAUSE_S = 3
"""Between two connections of one client: a client that says nothing meanwhile is closed for newer ones."""


async def again(act, port, head=b""):
    """Connect and do it, again and again; the gateway may refuse and cut as it likes."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
            try:
                writer.write(head)
                await act(reader, writer)
            finally:
                writer.transport.abort()
        await asyncio.sleep(PAUSE_S)


async def say_nothing(reader, _writer):
    await reader.read()


async def trickle(_reader, writer):
    for _ in range(LARGE // PIECE):
        writer.write(bytes(PIECE))
        await writer.drain()
        await asyncio.sleep(0.05)


async def take_nothing(_reader, _writer):
    await asyncio.Event().wait()


async def main(host, port, idle, uploads, slow_readers):
    """Have so many of each."""
    upload = f"POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {LARGE}\r\n\r\n".encode()
    download = f"GET /large HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    async with asyncio.TaskGroup() as group:
        for number, act, head in (
            (idle, say_nothing, b""),
            (uploads, trickle, upload),
            (slow_readers, take_nothing, download),
        ):
            for _ in range(number):
                group.create_task(again(act, port, head))
        await asyncio.sleep(1)
        print("all have begun", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
