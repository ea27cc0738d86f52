"""Where the runs of a sweep are done: in this process, in processes of this machine, or where an executor sends them.

An executor is any object with `submit(function, argument)`. If it has `gather(futures)`, as Dask's client has, that
gives the outcomes; if not, each future has `result()`, as those of `concurrent.futures` have.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from simulations.processes import in_processes

DASK = "dask://"
TaskT = TypeVar("TaskT")
OutcomeT = TypeVar("OutcomeT")


class Executor(Protocol):
    """Runs functions somewhere."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Begin a call, and give its future."""
        ...


@contextmanager
def opened(on: "Executor | str | None") -> Generator["Executor | None", None, None]:
    """Give the executor that a caller names; what is opened here is closed at the end.

    Args:
        on: an executor, the address of a Dask scheduler such as `dask://host:8786`, or None for this machine.

    Raises:
        ValueError: the address is of no known kind, or nobody answers there.
        TypeError: it is no executor.
        ModuleNotFoundError: the package `distributed` is not installed.
    """
    if not isinstance(on, str):
        if on is not None and not callable(getattr(on, "submit", None)):
            raise TypeError(f"on: {on!r}: must be an address such as {DASK}host:8786, or an object with submit")
        yield on
        return
    if not on.startswith(DASK) or on == DASK:
        raise ValueError(f"on: {on!r}: must be an address such as {DASK}host:8786")
    from distributed import Client  # noqa: PLC0415  # only whoever asks for it needs it

    try:
        client: Any = Client(f"tcp://{on.removeprefix(DASK)}", set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ValueError(f"on: {on!r}: no scheduler answers: {error}") from error
    with client:
        yield client


def outcomes(
    one: Callable[[TaskT], OutcomeT], tasks: Sequence[TaskT], *, workers: int, on: "Executor | None"
) -> Iterator[OutcomeT]:
    """Run tasks, and give their outcomes in order."""
    if on is not None:
        yield from _submitted(one, tasks, on)
    elif workers > 1 and len(tasks) > 1:
        yield from in_processes(one, tasks, workers)
    else:
        yield from map(one, tasks)


def _submitted(one: Callable[[TaskT], OutcomeT], tasks: Sequence[TaskT], on: Any) -> Iterator[OutcomeT]:
    futures = [on.submit(one, task) for task in tasks]
    try:
        for future in futures:
            yield on.gather([future])[0] if hasattr(on, "gather") else future.result()
    finally:
        for future in futures:
            if hasattr(future, "cancel"):
                future.cancel()
