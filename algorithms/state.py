"""State from one process to the next: JSON-ready, with a version that is checked."""

from algorithms.types import State

VERSION = 1


def check(state: State, what: str, *legal: int) -> None:
    """Raise ValueError unless the state has a legal version, which is `VERSION` if none is given: else start afresh."""
    legal = legal or (VERSION,)
    if state.get("version") not in legal:
        raise ValueError(f"{what}: version {state.get('version')} is not {' or '.join(map(str, legal))}")


def is_empty(state: State) -> bool:
    """Tell whether a state is that of an object without one: it says its version and nothing else."""
    return state.keys() == {"version"}


class Stateless:
    """An object without state."""

    def export(self) -> State:
        """Give the empty state."""
        return {"version": VERSION}

    def restore(self, state: State) -> None:
        """Take the empty state back; raises ValueError on an unknown version."""
        check(state, type(self).__name__)
