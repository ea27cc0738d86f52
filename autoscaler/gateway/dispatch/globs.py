"""Patterns with stars, matched without backtracking: clients choose the text, so time must grow with its length only.

A star stands for any characters, also for none; nothing else is special.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Self


class Glob(NamedTuple):
    """A pattern as the parts between its stars; each part is found at its first place after the one before."""

    first: str
    """What the text begins with."""
    middle: tuple[re.Pattern[str], ...] = ()
    last: str | None = None
    """What the text ends with; None if the pattern has no star and `first` is all of it."""

    @classmethod
    def of(cls, parts: Sequence[str]) -> Self:
        """Build the pattern with stars between these parts."""
        first, *middle = parts
        if not middle:
            return cls(first)
        # `re` searches for a literal by Knuth, Morris and Pratt; `str.find` needs the product of both lengths.
        return cls(first, tuple(re.compile(re.escape(part)) for part in middle[:-1] if part), middle[-1])

    def matches(self, text: str) -> bool:
        """Return whether the pattern matches the whole text; reads each character at most three times."""
        if self.last is None:
            return text == self.first
        at, end = len(self.first), len(text) - len(self.last)
        if at > end or not text.startswith(self.first) or not text.endswith(self.last):
            return False
        for part in self.middle:
            found = part.search(text, at, end)
            if found is None:
                return False
            at = found.end()
        return True
