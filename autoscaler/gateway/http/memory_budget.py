"""A number of bytes that many share: whoever wants some takes them, or learns that there are none left."""


class MemoryBudget:
    """Counts what is taken of a limit; it reserves nothing and waits for nobody.

    The limit may change while bytes are taken. A lower one takes nothing back; it refuses until enough was returned.
    """

    __slots__ = ("limit_bytes", "taken_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.taken_bytes = 0

    def take(self, number: int) -> bool:
        """Take this many bytes, all or none; False where fewer are left."""
        if self.taken_bytes + number > self.limit_bytes:
            return False
        self.taken_bytes += number
        return True

    def give_back(self, number: int) -> None:
        """Return what was taken.

        Raises:
            ValueError: more is returned than was taken.
        """
        if number > self.taken_bytes:
            raise ValueError(f"{number} bytes are returned, and only {self.taken_bytes} were taken")
        self.taken_bytes -= number
