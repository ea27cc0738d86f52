"""Lines on a connection between gateways: split from a stream, with a bound on their length."""

from collections.abc import Iterator


class LineTooLongError(ValueError):
    """A line is longer than is allowed."""


class LineReader:
    """Splits bytes into lines, however the network has cut them.

    Attributes:
        longest: the most bytes of a line; it may change while lines are read.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the lines that are complete now, without their ends.

        Raises:
            LineTooLongError: a line is too long; nothing more can be read.
        """
        self._rest += data
        if b"\n" in data:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._check(line)
                yield line
        self._check(self._rest)

    def _check(self, line: bytes | bytearray) -> None:
        if len(line) > self.longest:
            raise LineTooLongError(f"a line has more than {self.longest} bytes")
