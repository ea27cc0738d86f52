"""How state is carried from one process to the next: JSON-ready, with a version that is checked."""

from algorithms.types import State

VERSION = 1


def check(state: State, what: str) -> None:
    """Raise ValueError unless this version of the code wrote the state: an unknown one means start afresh."""
    if state.get("version") != VERSION:
        raise ValueError(f"{what}: version {state.get('version')} is not {VERSION}")


class Stateless:
    """Something that remembers nothing."""

    def export(self) -> State:
        """Give the empty state."""
        return {"version": VERSION}

    def restore(self, state: State) -> None:
        """Take the empty state back; raises ValueError on an unknown version."""
        check(state, type(self).__name__)
