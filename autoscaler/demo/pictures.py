"""Small valid PNG pictures, each determined by a prompt."""

import base64
import hashlib
import struct
import zlib

SIZE = 32
"""Pixels along each side."""


def png(prompt: str) -> bytes:
    """Paint a gradient between two colours, which the prompt determines, as 8-bit RGB."""
    colours = hashlib.sha256(prompt.encode()).digest()
    rows = b"".join(b"\0" + _row(colours[:3], colours[3:6], y) for y in range(SIZE))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def png_text(prompt: str) -> str:
    """Give the picture in base64, as in the web UI's API."""
    return base64.b64encode(png(prompt)).decode()


def _row(start: bytes, end: bytes, y: int) -> bytes:
    steps = 2 * (SIZE - 1)
    return bytes(
        (a * (steps - x - y) + b * (x + y)) // steps for x in range(SIZE) for a, b in zip(start, end, strict=True)
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
