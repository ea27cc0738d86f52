"""What a test can say to the fake target, beyond the contract that all targets keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.ports import Fleet, Outcome, ScaleRequest
from autoscaler.testing import FakeScaleTarget, VirtualTimeLoop

SERVICE, OTHER = "default/sd", "default/other"


class Time:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def target(time):
    return FakeScaleTarget([SERVICE, OTHER], time, cold_start_s=20)


async def test_a_replica_is_ready_from_the_very_end_of_its_cold_start(target, time):
    await target.scale([ScaleRequest(SERVICE, 1, ())])

    time.now_s = 19.999
    (starting,) = (await target.observe([SERVICE]))[SERVICE].replicas
    time.now_s = 20.0
    (started,) = (await target.observe([SERVICE]))[SERVICE].replicas

    assert (starting.ready, started.ready) == (False, True)
    assert (starting.age_s, started.age_s) == (19.999, 20.0)


async def test_a_replica_that_was_killed_starts_anew_and_serves_nothing_but_does_not_grow_younger(target, time):
    await target.scale([ScaleRequest(SERVICE, 1, ())])
    target.running["sd-1"] = 1
    time.now_s = 30.0

    target.kill("sd-1")

    time.now_s = 49.0
    (replica,) = (await target.observe([SERVICE]))[SERVICE].replicas
    assert (replica.ready, replica.running, replica.age_s) == (False, 0, 49.0)
    time.now_s = 50.0
    assert (await target.observe([SERVICE]))[SERVICE].replicas[0].ready


async def test_an_order_fails_as_the_test_says_and_changes_nothing(target):
    target.errors[SERVICE] = "403 forbidden"

    outcomes = await target.scale([ScaleRequest(SERVICE, 2, ()), ScaleRequest(OTHER, 2, ())])

    assert outcomes == [Outcome(SERVICE, "403 forbidden"), Outcome(OTHER)]
    seen = await target.observe([SERVICE, OTHER])
    assert seen[SERVICE] == Fleet(0, ())
    assert seen[OTHER].asked == 2


async def test_a_service_is_out_of_sight_as_long_as_the_test_says(target):
    await target.scale([ScaleRequest(SERVICE, 1, ())])
    target.unseen.add(SERVICE)
    assert list(await target.observe([SERVICE, OTHER])) == [OTHER]

    target.unseen.clear()
    assert (await target.observe([SERVICE]))[SERVICE].asked == 1


steps = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.integers(0, 6)),
        st.tuples(st.just("serve"), st.integers(1, 8)),
        st.tuples(st.just("end"), st.integers(1, 8)),
        st.tuples(st.just("kill"), st.integers(1, 8)),
    ),
    max_size=30,
)


@given(steps)
def test_whatever_happens_there_are_as_many_replicas_as_asked_for_and_none_is_gone_that_serves(steps):
    async def life():
        time = Time()
        target = FakeScaleTarget([SERVICE], time, cold_start_s=1)
        for kind, number in steps:
            time.now_s += 0.5
            name = f"sd-{number}"
            serving = {name for name in target.alive(SERVICE) if target.running.get(name)}
            if kind == "scale":
                await target.scale([ScaleRequest(SERVICE, number, ())])
                assert serving <= set(target.alive(SERVICE))
            elif kind == "kill":
                target.kill(name)
            elif name in target.alive(SERVICE):
                target.running[name] = int(kind == "serve")
            fleet = (await target.observe([SERVICE]))[SERVICE]
            assert len(fleet.replicas) == fleet.asked
            assert {replica.name for replica in fleet.replicas} <= set(target.alive(SERVICE))

    run(life())


def run(coroutine):
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()
