"""A number of bytes that many users share: each takes what it needs, or learns that too little is left."""


class MemoryBudget:
    """Counts what is taken of a limit; it allocates nothing and never waits.

    The limit may change while bytes are taken. After it is lowered, requests are refused until enough is returned.
    """

    __slots__ = ("limit_bytes", "taken_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.taken_bytes = 0

    def take(self, number: int) -> bool:
        """Take this many bytes, all or none; return False if fewer are left."""
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
            raise ValueError(f"{number} bytes are returned, but only {self.taken_bytes} are taken")
        self.taken_bytes -= number
