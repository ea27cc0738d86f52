"""What a watch has told so far: pages and events in, objects by `namespace/name` out. No I/O.

Rules, for events come twice, late, and after a cut:
1. The newest resource version of an object wins; a late or repeated event changes nothing.
2. A list replaces everything: what is not in it is gone, though nobody told of its deletion.
3. Users hear of changes of what is kept of an object, and of nothing else.
4. An object of which nothing can be kept, because it lacks a field or has another type in it, is left out as if it were
   not there; `unreadable` says why. All others are kept.
"""

from collections.abc import Callable, Iterable, Mapping
from sys import intern
from typing import Any, Generic, NamedTuple, TypeVar

from autoscaler.kubernetes.client import ApiError, from_status

T = TypeVar("T")


class Change(NamedTuple, Generic[T]):
    """One object as it was and as it is; None where it was not, or is no more."""

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

    Equal names are one string, which a dozen mappings hold.
    """
    metadata = item["metadata"]
    return intern(f"{metadata.get('namespace', '')}/{metadata['name']}")


class UnreadableError(Exception):
    """An object that is one, of which nothing can be kept; its cause says why."""

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
        """From where a watch can go on; empty when only a list can tell."""
        self.unreadable: dict[str, str] = {}
        """Objects that are left out, with why."""

    def get(self, key: str) -> T | None:
        """Give what is kept of one object."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def items(self) -> dict[str, T]:
        """Give what is kept of every object, by `namespace/name`."""
        return {key: kept.value for key, kept in self._kept.items()}

    def item(self, item: Mapping[str, Any]) -> Item[T]:
        """Give what is kept of an object, without keeping it.

        Raises:
            UnreadableError: it is one, and nothing can be kept of it.
        """
        key, version = key_of(item), int(item["metadata"]["resourceVersion"])
        try:
            return Item(key, version, self._keep(item))
        except Exception as error:
            raise UnreadableError(key, version) from error

    def leave_out(self, key: str, why: str) -> list[Change[T]]:
        """Have nothing of an object, and say why; gives the change if it is one."""
        self.unreadable[key] = why
        known = self._kept.pop(key, None)
        return [] if known is None else [Change(key, known.value, None)]

    def replace(self, items: Iterable[Item[T]], version: str) -> list[Change[T]]:
        """Take a whole list in, and give what has changed since."""
        before, self._kept, self.version, self.unreadable = self._kept, {}, version, {}
        changes = [change for item in items if (change := self._take(item, before.get(item.key)))]
        gone = [Change(key, kept.value, None) for key, kept in before.items() if key not in self._kept]
        return [*changes, *gone]

    def apply(self, event: Mapping[str, Any]) -> list[Change[T]]:
        """Take one event in, and give the change if it is one.

        Raises:
            ApiError: the event says that the watch is over.
            UnreadableError: nothing can be kept of its object.
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
