"""What a run adds up to, in virtual time against numbers worked out by hand."""

import asyncio

import pytest

from algorithms.observation import Observation
from algorithms.types import Decision, Recommendation
from autoscaler.demo.report import DecisionPoint, Moment
from autoscaler.demo.timeline import SAMPLE_EVERY_S, RunRecorder, Snapshot
from autoscaler.ports import Fleet, Record, Replica

START_S = 1000.0


class Stage:
    """What there is to see, as a test sets it; a replica is told by when it was born."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self.asked = 0
        self.born_s = {}
        self.ready = {}
        self.leaving = 0
        self.queued = 0

    def now(self):
        return START_S + self._loop.time()

    def start(self, name):
        self.born_s[name] = self.now()
        self.asked += 1

    def serve(self, name, running=0):
        self.ready[name] = running

    def leave(self, name):
        del self.born_s[name]
        self.ready.pop(name, None)
        self.asked -= 1
        self.leaving += 1

    async def observe(self):
        replicas = tuple(
            Replica(name, name in self.ready, self.ready.get(name, 0), self.now() - born_s)
            for name, born_s in self.born_s.items()
        )
        running = sum(self.ready.values())
        return Snapshot(Fleet(self.asked, replicas), len(replicas) + self.leaving, running, self.queued)


@pytest.fixture
async def stage():
    return Stage()


@pytest.fixture
async def recorder(stage):
    recorder = RunRecorder(stage.observe, stage.now)
    watching = asyncio.create_task(recorder.watch())
    await asyncio.sleep(0)
    yield recorder
    watching.cancel()
    await asyncio.wait([watching])


async def test_replicas_cost_from_their_start_to_their_very_end_and_are_idle_while_ready_with_nothing_to_serve(
    stage, recorder
):
    stage.start("a")
    await asyncio.sleep(10)  # starts: 10 GPU-seconds
    stage.serve("a", running=1)
    stage.start("b")
    await asyncio.sleep(20)  # a serves, b starts: 40
    stage.serve("a")
    stage.serve("b", running=1)
    await asyncio.sleep(5)  # a idle, b serves: 10, of which 5 idle
    stage.leave("b")
    await asyncio.sleep(3)  # a idle, b on its way out: 6, of which 3 idle
    stage.leaving = 0
    await asyncio.sleep(2)  # a idle: 2, of which 2 idle
    stage.leave("a")
    stage.leaving = 0
    await asyncio.sleep(7)

    assert recorder.gpu_s == pytest.approx(10 + 40 + 10 + 6 + 2, abs=10 * SAMPLE_EVERY_S)
    assert recorder.idle_s == pytest.approx(5 + 3 + 2, abs=10 * SAMPLE_EVERY_S)
    assert recorder.elapsed_s == 47.0


async def test_a_cold_start_is_from_being_asked_for_to_being_ready_and_counted_once(stage, recorder):
    stage.start("a")
    await asyncio.sleep(4)
    stage.start("b")
    await asyncio.sleep(6)
    stage.serve("a")
    await asyncio.sleep(1)
    stage.serve("b")
    await asyncio.sleep(30)
    assert recorder.cold_starts_s == pytest.approx((10.0, 7.0), abs=2 * SAMPLE_EVERY_S)


async def test_a_replica_that_was_never_ready_has_no_cold_start_and_has_served_nobody(stage, recorder):
    stage.start("a")
    stage.start("b")
    await asyncio.sleep(4)
    stage.serve("b")
    await asyncio.sleep(1)
    stage.leave("a")
    stage.leave("b")
    await asyncio.sleep(1)
    assert len(recorder.cold_starts_s) == 1
    assert recorder.served == {"b"}


async def test_the_timeline_has_every_change_and_nothing_between(stage, recorder):
    await asyncio.sleep(5)
    stage.queued = 2
    stage.start("a")
    await asyncio.sleep(5)
    stage.serve("a", running=1)
    stage.queued = 1
    await asyncio.sleep(5)
    assert [moment[1:] for moment in recorder.timeline] == [(0, 0, 0, 0), (1, 0, 0, 2), (1, 1, 1, 1)]
    assert [moment.t_s for moment in recorder.timeline] == pytest.approx([0, 5, 10], abs=2 * SAMPLE_EVERY_S)
    assert recorder.last == Moment(recorder.timeline[-1].t_s, 1, 1, 1, 1)


async def test_it_is_at_zero_when_nothing_is_asked_for_and_nothing_runs_any_more(stage, recorder):
    stage.start("a")
    await asyncio.sleep(1)
    waiting = asyncio.create_task(recorder.at_zero())
    stage.leave("a")
    await asyncio.sleep(1)
    assert not waiting.done()  # it is still on its way out
    stage.leaving = 0
    await asyncio.wait_for(waiting, 1)


async def test_what_was_there_before_the_first_look_is_waited_for_too(stage):
    recorder = RunRecorder(stage.observe, stage.now)
    waiting = asyncio.create_task(recorder.at_zero())
    await asyncio.sleep(1)
    assert not waiting.done()
    await recorder.sample()
    watching = asyncio.create_task(recorder.watch())
    await asyncio.wait_for(waiting, 1)
    watching.cancel()


async def test_decisions_are_kept_with_their_time_since_the_beginning(stage, recorder):
    observation = Observation(START_S + 3, START_S + 1, 1.0, 0, 0)
    recorder.record(Record("default/sd", observation, Decision(2, Recommendation(2, "two wait"), ()), None))
    assert recorder.decisions == [DecisionPoint(3.0, 2, before=0, why="Two wait.")]
