"""The leash: the command keeps its identity, and ends with the pipe."""

import subprocess
import sys

import pytest

from autoscaler.targets.local_replica import DIE_WITH_PARENT

pytestmark = pytest.mark.real_time

PATIENCE_S = 30
PYTHON = [sys.executable, "-I", "-S"]


@pytest.fixture
def start():
    started = []

    def start(*command):
        process = subprocess.Popen(
            [*PYTHON, DIE_WITH_PARENT, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.__exit__(None, None, None)


def test_the_command_has_the_process_id_that_its_starter_knows_and_a_group_of_its_own(start):
    process = start(*PYTHON, "-c", "import os; print(os.getpid(), os.getpgid(0))")

    assert process.stdout.readline().split() == [str(process.pid)] * 2


def test_the_exit_status_is_the_commands(start):
    assert start(*PYTHON, "-c", "raise SystemExit(7)").wait(PATIENCE_S) == 7


def test_the_command_has_nothing_to_read_and_cannot_take_the_pipe(start):
    process = start(*PYTHON, "-c", "import sys; print(repr(sys.stdin.read()))")

    assert process.stdout.readline() == "''\n"


def test_a_signal_goes_to_the_command(start):
    process = start(*PYTHON, "-c", "import time; print(flush=True); time.sleep(600)")
    process.stdout.readline()

    process.terminate()

    assert process.wait(PATIENCE_S) == -15


def test_the_end_of_the_pipe_is_the_end_of_the_command_whatever_it_does_about_signals(start):
    ignoring = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; print(flush=True)"
    process = start(*PYTHON, "-c", f"{ignoring}; time.sleep(600)")
    process.stdout.readline()

    process.stdin.close()

    assert process.wait(PATIENCE_S) == -9


def test_a_pipe_that_has_ended_before_the_command_began_ends_it_too(start):
    process = start(*PYTHON, "-c", "import time; time.sleep(600)")

    process.stdin.close()

    assert process.wait(PATIENCE_S) == -9


def test_a_command_that_is_not_there_is_named(start):
    process = start("/no/such/program")

    assert process.wait(PATIENCE_S) == 1
    assert process.stderr.read() == "/no/such/program cannot be started: No such file or directory\n"
