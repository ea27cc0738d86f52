"""SIGHUP and SIGUSR1, sent to this process."""

import asyncio
import os
import signal

import pytest

from autoscaler.runtime.signals import follow_hangups, ignore_hangups

pytestmark = pytest.mark.real_time
BOTH = (signal.SIGHUP, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def as_before():
    handlers = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


async def told(calls, number):
    os.kill(os.getpid(), number)
    before = len(calls)
    async with asyncio.timeout(30):
        while len(calls) == before:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_both_open_logs_anew_and_a_hangup_reads_files_again_too():
    calls = []
    follow_hangups([lambda: calls.append("log"), lambda: calls.append("other log")], lambda: calls.append("files"))
    await told(calls, signal.SIGUSR1)
    assert calls == ["log", "other log"]
    await told(calls, signal.SIGHUP)
    assert calls == ["log", "other log", "log", "other log", "files"]


async def test_where_there_are_no_files_a_hangup_opens_logs_anew():
    calls = []
    follow_hangups([lambda: calls.append("log")], None)
    await told(calls, signal.SIGHUP)
    assert calls == ["log"]


def test_a_process_that_starts_is_not_ended_by_them():
    ignore_hangups()
    for number in BOTH:
        os.kill(os.getpid(), number)
