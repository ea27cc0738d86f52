"""What every store of the roster keeps to, wherever it keeps it."""

import asyncio
from contextlib import suppress

import pytest
from roster_worlds import FakeWorld, FileWorld, LeaseWorld

from autoscaler.gateway.peers.roster import Member, Roster
from autoscaler.gateway.peers.roster_store import RosterUnavailableError, forget

pytestmark = pytest.mark.real_time

FIRST = Roster.first("a", Member("127.0.0.1:9091", "life-a"))
SECOND = FIRST.joined("b", Member("[::1]:9091", "life/b", own=False))


@pytest.fixture(params=[FakeWorld, FileWorld, LeaseWorld])
def world(request, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    opened = request.param(folder)
    yield opened
    opened.close()


def newcomer(number):
    return FIRST.joined(f"gw-{number}", Member(f"127.0.0.1:{number}", f"life-{number}"))


async def test_in_the_beginning_there_is_none(world):
    assert await world.store().read() is None


async def test_what_is_written_is_read_by_all(world):
    assert await world.store().write(FIRST, 0)
    assert await world.store().read() == FIRST
    assert await world.store().write(SECOND, 1)
    assert await world.store().read() == SECOND


@pytest.mark.parametrize("expected", [0, 2])
async def test_what_was_made_for_another_epoch_is_not_written(world, expected):
    await world.store().write(FIRST, 0)
    assert not await world.store().write(SECOND, expected)
    assert await world.store().read() == FIRST


async def test_nothing_is_written_where_there_should_be_a_roster_and_is_none(world):
    assert not await world.store().write(SECOND, 1)
    assert await world.store().read() is None


@pytest.mark.parametrize("begun", [False, True])
async def test_of_many_that_write_at_once_one_is_first(world, begun):
    if begun:
        await world.store().write(FIRST, 0)
    rosters = [newcomer(number) for number in range(1, 9)]
    done = await asyncio.gather(*(world.store().write(roster, int(begun)) for roster in rosters))
    assert sum(done) == 1
    assert await world.store().read() == rosters[done.index(True)]


async def test_who_runs_is_not_dead_and_who_has_ended_is(world):
    store = world.store()
    a, b = await world.start("a"), await world.start("b")
    assert not await store.is_dead("a", a)
    await world.end("a", a)
    assert await store.is_dead("a", a)
    assert not await store.is_dead("b", b)


async def test_of_one_name_only_the_life_that_has_ended_is_dead(world):
    store = world.store()
    old = await world.start("a")
    await world.end("a", old)
    new = await world.start("a")
    assert await store.is_dead("a", old)
    assert not await store.is_dead("a", new)
    assert old != new


async def test_of_whom_nothing_is_known_it_is_not_known_that_it_is_dead(world):
    life = await world.start("a")
    await world.forget("a", life)
    with suppress(RosterUnavailableError):
        assert not await world.store().is_dead("a", life)


async def test_a_store_that_is_away_says_so(world):
    store = world.store()
    await store.write(FIRST, 0)
    world.go_away()
    if isinstance(world, FileWorld):
        world.path.mkdir(parents=True)  # a folder has taken its place
    with pytest.raises(RosterUnavailableError):
        await store.read()
    with pytest.raises(RosterUnavailableError):
        await store.write(SECOND, 1)


async def test_an_operator_can_have_a_gateway_forgotten(world):
    await world.store().write(FIRST, 0)
    await world.store().write(SECOND, 1)
    assert await forget(world.store(), "b") == await world.store().read() == SECOND.without("b")
    with pytest.raises(ValueError, match="b is no member; the members are a"):
        await forget(world.store(), "b")
    await forget(world.store(), "a")
    with pytest.raises(ValueError, match="the members are nobody"):
        await forget(world.store(), "a")


async def test_nobody_can_be_forgotten_where_there_is_no_roster(world):
    with pytest.raises(ValueError, match="the members are nobody"):
        await forget(world.store(), "a")
