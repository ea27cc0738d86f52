"""Runs tasks in worker processes that end with the process that started them, however that one ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

TaskT = TypeVar("TaskT")
OutcomeT = TypeVar("OutcomeT")

NEVER_BEGAN = (
    "workers: {workers}: the worker processes ended before the first run had. Each worker imports the script that "
    'called this: in a script the call must stand under `if __name__ == "__main__":`. If it does, a worker was ended '
    "from outside, as by a lack of memory"
)
ENDED = "workers: {workers}: a worker process was ended from outside, as by a lack of memory"


def in_processes(one: Callable[[TaskT], OutcomeT], tasks: Sequence[TaskT], workers: int) -> Iterator[OutcomeT]:
    """Run tasks in worker processes, and give their outcomes in order. Ctrl-C ends the workers immediately.

    Raises:
        RuntimeError: a worker ended before its task did; the message says what a script needs.
    """
    # A fork of a process with threads may hang, and numba starts threads.
    context, others = multiprocessing.get_context("forkserver"), set(multiprocessing.active_children())
    began = False
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        try:
            for outcome in pool.map(one, tasks):
                began = True
                yield outcome
        except (KeyboardInterrupt, GeneratorExit):
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        except BrokenProcessPool as error:
            raise RuntimeError((ENDED if began else NEVER_BEGAN).format(workers=workers)) from error


def _begin() -> None:
    """Leave interrupts to the parent, and end when it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """Wait for the parent's end: one that is killed cannot tell its workers, and they would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
