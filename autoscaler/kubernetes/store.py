"""The state of one watch: pages and events in, objects by `namespace/name` out. No I/O.

Rules, because events can be repeated, late, or lost in a disconnection:
1. The newest resource version of an object wins; a late or repeated event changes nothing.
2. A list replaces everything: what is not in it is deleted, even if no event said so.
3. Users get changes to the kept fields of an object, and nothing else.
4. An object that cannot be read, because a field is missing or has another type, is left out as if it did not exist.
   `unreadable` says why. All others are kept.
"""

from collections.abc import Callable, Iterable, Mapping
from sys import intern
from typing import Any, Generic, NamedTuple, TypeVar

from autoscaler.kubernetes.client import ApiError, from_status

T = TypeVar("T")


class Change(NamedTuple, Generic[T]):
    """One object before and after; None before it is created or after it is deleted."""

    key: str
    before: T | None
    after: T | None


class Item(NamedTuple, Generic[T]):
    """One object as it is kept."""

    key: str
    version: int
    value: T


def key_of(item: Mapping[str, Any]) -> str:
    """Give `namespace/name` of an object; a cluster-scoped one has an empty namespace.

    Equal names share one string, which a dozen mappings hold.
    """
    metadata = item["metadata"]
    return intern(f"{metadata.get('namespace', '')}/{metadata['name']}")


class UnreadableError(Exception):
    """An object has a key and a version, and its other fields cannot be read; the cause says why."""

    def __init__(self, key: str, version: int) -> None:
        super().__init__(key)
        self.key = key
        self.version = version


class Store(Generic[T]):
    """The objects of one watch.

    Args:
        keep: gives what is kept of an object.
    """

    def __init__(self, keep: Callable[[Mapping[str, Any]], T]) -> None:
        self._keep = keep
        self._kept: dict[str, Item[T]] = {}
        self.version = ""
        """The version from which a watch can continue; empty if a new list is needed."""
        self.unreadable: dict[str, str] = {}
        """Objects that are left out, with the reason."""

    def get(self, key: str) -> T | None:
        """Give what is kept of one object."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def items(self) -> dict[str, T]:
        """Give what is kept of every object, by `namespace/name`."""
        return {key: kept.value for key, kept in self._kept.items()}

    def item(self, item: Mapping[str, Any]) -> Item[T]:
        """Read an object, without keeping it.

        Raises:
            UnreadableError: its fields cannot be read.
        """
        key, version = key_of(item), int(item["metadata"]["resourceVersion"])
        try:
            return Item(key, version, self._keep(item))
        except Exception as error:
            raise UnreadableError(key, version) from error

    def leave_out(self, key: str, why: str) -> list[Change[T]]:
        """Remove an object that cannot be read, and keep the reason; gives the change, if it is one."""
        self.unreadable[key] = why
        known = self._kept.pop(key, None)
        return [] if known is None else [Change(key, known.value, None)]

    def replace(self, items: Iterable[Item[T]], version: str) -> list[Change[T]]:
        """Take in a complete list, and give the changes."""
        before, self._kept, self.version, self.unreadable = self._kept, {}, version, {}
        changes = [change for item in items if (change := self._take(item, before.get(item.key)))]
        gone = [Change(key, kept.value, None) for key, kept in before.items() if key not in self._kept]
        return [*changes, *gone]

    def apply(self, event: Mapping[str, Any]) -> list[Change[T]]:
        """Take in one event, and give the change, if it is one.

        Raises:
            ApiError: the event ends the watch.
            UnreadableError: its object cannot be read.
        """
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise _ended(self, item)
        self.version = item["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return []
        key = key_of(item)
        known = self._kept.get(key)
        if known is not None and int(self.version) < known.version:
            return []
        if kind == "DELETED":
            self.unreadable.pop(key, None)
            return [] if self._kept.pop(key, None) is None or known is None else [Change(key, known.value, None)]
        change = self._take(self.item(item), known)
        return [change] if change else []

    def _take(self, item: Item[T], known: Item[T] | None) -> Change[T] | None:
        self._kept[item.key] = item
        self.unreadable.pop(item.key, None)
        before = None if known is None else known.value
        return None if before == item.value else Change(item.key, before, item.value)


def _ended(store: Store[Any], status: Mapping[str, Any]) -> ApiError:
    error = from_status(status)
    if error.is_expired:
        store.version = ""
    return error
