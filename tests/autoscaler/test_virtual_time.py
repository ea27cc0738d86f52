import asyncio

import pytest

from autoscaler import testing
from autoscaler.testing import VirtualTimeLoop


async def test_a_day_passes_in_no_time():
    loop = asyncio.get_running_loop()
    for hour in range(1, 25):
        await asyncio.sleep(3600)
        assert loop.time() == hour * 3600


async def test_time_is_a_whole_number_of_nanoseconds_so_that_tenths_add_up():
    for _ in range(3):
        await asyncio.sleep(0.1)
    assert asyncio.get_running_loop().time() == 0.3


async def test_timers_go_off_in_the_order_of_their_deadlines():
    seen = []

    async def note(name, delay_s):
        await asyncio.sleep(delay_s)
        seen.append((name, asyncio.get_running_loop().time()))

    await asyncio.gather(note("late", 60), note("early", 0.5), note("at once", 0))
    assert seen == [("at once", 0), ("early", 0.5), ("late", 60)]


async def test_a_deadline_is_met_at_its_time():
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 30)
    assert asyncio.get_running_loop().time() == 30


async def test_work_that_is_ready_is_done_before_time_goes_on():
    steps = asyncio.Queue()
    asyncio.get_running_loop().call_later(1, steps.put_nowait, "a second later")
    for number in range(100):
        steps.put_nowait(number)
        await asyncio.sleep(0)
    assert steps.qsize() == 100


async def test_a_thread_may_answer():
    assert await asyncio.to_thread(sum, [1, 2]) == 3


def test_a_test_that_waits_for_nothing_is_told_so(monkeypatch):
    monkeypatch.setattr(testing, "HANGING_S", 0)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner, pytest.raises(RuntimeError, match="every task waits"):
        runner.run(asyncio.Event().wait())


@pytest.mark.real_time
async def test_what_is_marked_real_time_waits_for_real():
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
