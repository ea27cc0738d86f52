"""The stand-in's GPU: a hard limit, an exact account, and times that are the drawn ones."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.demo.fake_gpu import OverloadError, Pod, Report
from autoscaler.testing import VirtualTimeLoop


def now():
    return asyncio.get_running_loop().time()


def drawing(*times_s):
    drawn = iter(times_s)
    return lambda: next(drawn)


async def start(pod):
    """Start a job, and let it take its slot."""
    task = asyncio.create_task(pod.work())
    await asyncio.sleep(0)
    return task


async def test_a_job_takes_the_time_that_was_drawn_for_it():
    pod = Pod(1, drawing(8, 3))

    assert await pod.work()
    assert now() == 8
    assert await pod.work()
    assert now() == 11

    assert pod.report() == Report(served=2, interrupted=0, overlaps=0, peak=1, busy_s=11)


async def test_what_exceeds_the_concurrency_is_refused_counted_and_disturbs_nobody():
    pod = Pod(2, drawing(8, 8))
    running = [await start(pod), await start(pod)]

    with pytest.raises(OverloadError, match="2 running, and this pod can do 2 at a time"):
        await pod.work()

    assert await asyncio.gather(*running) == [True, True]
    assert pod.report() == Report(served=2, interrupted=0, overlaps=1, peak=3, busy_s=8)


async def test_time_with_several_jobs_is_busy_once_and_time_with_none_is_not_busy():
    pod = Pod(2, drawing(10, 10, 5))
    first = await start(pod)
    await asyncio.sleep(4)
    second = await start(pod)
    await first
    await second
    await asyncio.sleep(100)
    await pod.work()

    assert now() == 119
    assert pod.report().busy_s == 14 + 5


async def test_the_report_of_a_busy_pod_includes_the_time_so_far():
    pod = Pod(1, drawing(10))
    running = await start(pod)
    await asyncio.sleep(4)

    assert pod.report() == Report(served=0, interrupted=0, overlaps=0, peak=1, busy_s=4)
    await running


async def test_an_interrupted_job_ends_at_once_and_is_not_served():
    pod = Pod(1, drawing(10, 10))
    running = await start(pod)
    await asyncio.sleep(3)

    pod.interrupt()

    assert await running is False
    assert now() == 3
    assert pod.report() == Report(served=0, interrupted=1, overlaps=0, peak=1, busy_s=3)
    assert await pod.work()


async def test_progress_grows_from_nothing_to_one_with_the_time_that_is_left():
    pod = Pod(1, drawing(10))
    assert pod.progress() == (0, 0)
    running = await start(pod)

    await asyncio.sleep(2.5)
    assert pod.progress() == (0.25, 7.5)
    await asyncio.sleep(7)
    assert pod.progress() == (0.95, 0.5)

    await running
    assert pod.progress() == (0, 0)


async def test_a_job_of_no_time_is_done_when_it_begins():
    pod = Pod(1, drawing(0))

    assert await pod.work()
    assert pod.report().served == 1


async def test_a_pod_is_idle_when_its_last_job_has_ended():
    pod = Pod(2, drawing(5, 9))
    await pod.idle()
    running = [await start(pod), await start(pod)]

    await pod.idle()

    assert now() == 9
    assert all(task.done() for task in running)


@given(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_every_request_is_served_or_refused_and_never_more_run_than_there_are_slots(concurrency, arrivals):
    async def life():
        pod, running = Pod(concurrency, drawing(*(takes_s for _, takes_s in arrivals))), []
        for pause_s, _ in arrivals:
            await asyncio.sleep(pause_s)
            running.append(await start(pod))
            assert len(pod.jobs) <= concurrency
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        return pod.report(), outcomes, now()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        report, outcomes, end_s = runner.run(life())

    assert report.served == outcomes.count(True)
    assert report.overlaps == sum(isinstance(outcome, OverloadError) for outcome in outcomes)
    assert report.served + report.overlaps == len(arrivals)
    assert report.peak <= concurrency + (report.overlaps > 0)
    assert report.busy_s <= end_s
