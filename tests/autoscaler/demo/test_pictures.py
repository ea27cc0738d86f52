"""The pictures are PNG files by the specification, read here by a reader of our own."""

import base64
import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.demo.pictures import SIZE, png, png_text


def chunks(picture):
    """Read a PNG file's chunks, and check each one's sum."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = [], 8
    while place < len(picture):
        (length,) = struct.unpack(">I", picture[place : place + 4])
        kind, data = picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        (check,) = struct.unpack(">I", picture[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(kind + data)
        found.append((kind, data))
        place += 12 + length
    return found


@given(st.text())
def test_every_text_has_a_picture_of_the_announced_size(prompt):
    (header, fields), (body, packed), end = chunks(png(prompt))

    assert (header, body, end) == (b"IHDR", b"IDAT", (b"IEND", b""))
    assert struct.unpack(">IIBBBBB", fields) == (SIZE, SIZE, 8, 2, 0, 0, 0)
    rows = zlib.decompress(packed)
    assert len(rows) == SIZE * (1 + 3 * SIZE)
    assert {rows[y * (1 + 3 * SIZE)] for y in range(SIZE)} == {0}


def test_pictures_differ_by_their_text_and_are_small():
    assert png("pretty dog") == png("pretty dog") != png("pretty cat")
    assert len(png("pretty dog")) < 4096


def test_the_text_form_is_base64_of_the_picture():
    assert base64.b64decode(png_text("pretty dog"), validate=True) == png("pretty dog")
