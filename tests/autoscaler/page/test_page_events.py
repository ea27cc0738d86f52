"""An event is computed once for all viewers, only while somebody looks, and nobody waits for a slow one."""

import asyncio
import json

import pytest

from autoscaler.page.events import LONGEST_S, MOST_VIEWERS, MOST_WAITING, Event, Stream, Streams, TooManyViewersError


class Counter:
    """What is looked at: a number that grows; it counts how often it was computed."""

    def __init__(self):
        self.computed = 0
        self.broken = False
        self.changed = asyncio.Event()

    def now_s(self):
        return asyncio.get_running_loop().time()

    async def after(self, since_s):
        self.computed += 1
        if self.broken:
            raise RuntimeError("a defect")
        return Event("number", self.now_s(), {"since": since_s, "number": self.computed})

    async def wait(self, _since_s):
        await self.changed.wait()
        self.changed.clear()

    def stream(self, _name=""):
        return Stream(self.after, self.wait)


def read(event):
    name, number, data, *rest = event.decode().split("\n")
    assert rest == ["", ""]
    return name.removeprefix("event: "), float(number.removeprefix("id: ")), json.loads(data.removeprefix("data: "))


async def take(viewer, number):
    events = aiter(viewer.events())
    return [read(await anext(events)) for _ in range(number)]


async def test_nothing_is_computed_while_nobody_looks():
    counter = Counter()
    streams = Streams(counter.stream)
    await asyncio.sleep(100)
    assert counter.computed == 0
    async with streams.viewer("", 0.0) as viewer:
        await take(viewer, 3)
    looked = counter.computed
    counter.changed.set()
    await asyncio.sleep(100)
    assert counter.computed == looked == 3
    assert len(asyncio.all_tasks()) == 1


async def test_a_viewer_first_gets_everything_since_the_time_that_it_names():
    async with Counter().stream().viewer(12.5) as viewer:
        assert await take(viewer, 1) == [("number", 0.0, {"since": 12.5, "number": 1})]


async def test_without_a_change_there_is_a_beat():
    async with Counter().stream().viewer(0.0) as viewer:
        assert [at_s for _, at_s, _ in await take(viewer, 4)] == [0.0, LONGEST_S, 2 * LONGEST_S, 3 * LONGEST_S]


async def test_many_changes_are_two_events_a_second_at_most():
    counter = Counter()

    async def change():
        while True:
            counter.changed.set()
            await asyncio.sleep(0.01)

    changing = asyncio.create_task(change())
    async with counter.stream().viewer(0.0) as viewer:
        times = [at_s for _, at_s, _ in await take(viewer, 9)]
    changing.cancel()
    assert times == pytest.approx([0.5 * number for number in range(9)], abs=0.02)


async def test_one_event_is_computed_for_all_viewers():
    counter = Counter()
    stream = counter.stream()
    async with stream.viewer(0.0) as one, stream.viewer(0.0) as other:
        first, second = await asyncio.gather(take(one, 3), take(other, 3))
    assert first[1:] == second[1:]
    assert counter.computed == 4


async def test_a_viewer_that_does_not_read_is_late_and_the_other_gets_everything():
    stream = Counter().stream()
    async with stream.viewer(0.0) as slow, stream.viewer(0.0) as quick:
        found = await take(quick, MOST_WAITING + 4)
        assert slow.is_late
        assert not quick.is_late
        assert [each async for each in slow.events()] == []
    assert len(found) == MOST_WAITING + 4


async def test_there_are_places_for_a_number_of_viewers_and_each_is_given_back():
    streams = Streams(Counter().stream)
    async with asyncio.TaskGroup() as group:
        leave = asyncio.Event()

        async def look(name):
            async with streams.viewer(name, 0.0):
                await leave.wait()

        for number in range(MOST_VIEWERS):
            group.create_task(look(f"default/s{number % 3}"))
        await asyncio.sleep(0)
        with pytest.raises(TooManyViewersError):
            async with streams.viewer("", 0.0):
                pass
        leave.set()
    async with streams.viewer("", 0.0) as viewer:
        await take(viewer, 2)


async def test_a_defect_ends_no_stream(caplog):
    counter = Counter()
    async with counter.stream().viewer(0.0) as viewer:
        counter.broken = True
        await asyncio.sleep(3 * LONGEST_S)
        counter.broken = False
        found = await take(viewer, 2)
    assert "a defect" in caplog.text
    assert found[-1][2]["since"] == 0.0, "the next event says what the ones that failed would have said"


async def test_a_defect_at_the_first_look_gives_the_place_back():
    counter = Counter()
    counter.broken = True
    streams = Streams(counter.stream)
    for _ in range(MOST_VIEWERS + 1):
        with pytest.raises(RuntimeError):
            async with streams.viewer("", 0.0):
                pass
