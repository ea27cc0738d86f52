"""The clock of the core, in virtual time: it starts where it is told, goes on by itself, and can be woken."""

import asyncio
import time

import pytest

from autoscaler.runtime.clock import SystemClock

START_S = 1_700_000_000.0


async def test_it_starts_at_the_given_time_and_goes_on_with_the_event_loop():
    clock = SystemClock(START_S)
    assert clock.now() == START_S
    await asyncio.sleep(90)
    assert clock.now() == START_S + 90


async def test_without_a_time_it_starts_now():
    before_s = time.time()
    now_s = SystemClock().now()
    assert before_s <= now_s <= time.time()


async def test_it_never_steps_when_the_system_time_does(monkeypatch):
    clock = SystemClock()
    started_s = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    await asyncio.sleep(5)
    assert clock.now() == pytest.approx(started_s + 5)


async def test_it_sleeps_until_a_time_and_says_that_nobody_woke_it():
    clock = SystemClock(START_S)
    assert await clock.sleep_until(START_S + 2, asyncio.Event()) is False
    assert clock.now() == START_S + 2


async def test_a_wake_ends_the_sleep_at_once():
    clock, wake = SystemClock(START_S), asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, wake.set)
    assert await clock.sleep_until(START_S + 2, wake) is True
    assert clock.now() == START_S + 0.5


async def test_a_time_that_has_passed_is_no_sleep():
    clock = SystemClock(START_S)
    assert await clock.sleep_until(START_S - 1, asyncio.Event()) is False
    assert clock.now() == START_S


async def test_a_wake_that_came_before_is_not_slept_through():
    clock, wake = SystemClock(START_S), asyncio.Event()
    wake.set()
    assert await clock.sleep_until(START_S + 2, wake) is True
    assert clock.now() == START_S


async def test_cancelled_while_asleep_it_is_cancelled():
    sleep = asyncio.create_task(SystemClock(START_S).sleep_until(START_S + 2, asyncio.Event()))
    await asyncio.sleep(0.1)
    sleep.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleep
