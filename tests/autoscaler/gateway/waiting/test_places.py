"""A place in line whose client is away: how long it is kept, and what a grant does to it. All in virtual time."""

import asyncio

import pytest

from autoscaler.gateway.waiting.place_tokens import PlaceToken, PlaceTokens
from autoscaler.gateway.waiting.places import PICK_UP_S, Places


class Line:
    def __init__(self):
        self.abandoned = []

    def abandon(self, waiter):
        self.abandoned.append(waiter)


class Waiter:
    def __init__(self):
        self.placement = asyncio.get_running_loop().create_future()


@pytest.fixture
async def line():
    return Line()


@pytest.fixture
async def places(line):
    return Places(line, asyncio.get_running_loop())


async def test_a_place_is_kept_for_its_time_and_then_given_up_once(line, places):
    waiter = Waiter()
    places.leave(b"a", waiter, 15.0)
    await asyncio.sleep(14.9)
    assert (len(places), line.abandoned) == (1, [])
    await asyncio.sleep(0.2)
    assert (len(places), line.abandoned) == (0, [waiter])
    assert places.take(b"a") is None


async def test_a_client_that_comes_back_has_its_request_and_no_timer_ends_it(line, places):
    waiter = Waiter()
    places.leave(b"a", waiter, 15.0)
    assert places.take(b"a") is waiter
    assert places.take(b"a") is None
    await asyncio.sleep(60)
    assert line.abandoned == []


async def test_a_client_is_here_once(places):
    assert places.enter(b"a")
    assert not places.enter(b"a")
    assert places.enter(b"b")
    places.exit(b"a")
    assert places.enter(b"a")


async def test_a_slot_that_is_granted_to_a_client_that_is_away_waits_for_seconds_only(line, places):
    waiter = Waiter()
    places.leave(b"a", waiter, 600.0)
    await asyncio.sleep(100)
    waiter.placement.set_result("a pod")
    await asyncio.sleep(PICK_UP_S - 0.1)
    assert line.abandoned == []
    await asyncio.sleep(0.2)
    assert line.abandoned == [waiter]


async def test_a_slot_that_is_picked_up_in_time_stays_with_its_client(line, places):
    waiter = Waiter()
    places.leave(b"a", waiter, 600.0)
    waiter.placement.set_result("a pod")
    await asyncio.sleep(PICK_UP_S / 2)
    assert places.take(b"a") is waiter
    await asyncio.sleep(600)
    assert line.abandoned == []


async def test_a_grant_of_an_earlier_absence_ends_nothing(line, places):
    waiter = Waiter()
    places.leave(b"a", waiter, 15.0)
    places.take(b"a")
    waiter.placement.set_result("a pod")
    await asyncio.sleep(60)
    assert line.abandoned == []


async def test_one_request_without_a_client_starts_a_pod_and_lets_the_slot_go_at_once(line, places):
    first, second = Waiter(), Waiter()
    places.wake(first, 60.0)
    places.wake(second, 60.0)
    assert (len(places), line.abandoned) == (1, [first])
    second.placement.set_result("a pod")
    await asyncio.sleep(0.1)
    assert (len(places), line.abandoned) == (0, [first, second])


async def test_a_service_that_ends_forgets_its_places(line, places):
    places.leave(b"a", Waiter(), 15.0)
    places.close()
    await asyncio.sleep(60)
    assert (len(places), line.abandoned) == (0, [])


KEYS = (b"k" * 32, b"o" * 32)
TOKEN = PlaceToken(b"12345678", 1000.25)


def test_a_token_is_read_by_each_gateway_with_the_key_until_it_expires():
    text = PlaceTokens(KEYS, "default/sd").issue(TOKEN, 1020.9)
    assert PlaceTokens((b"new" * 8, KEYS[0]), "default/sd").read(text, 1035.0, 15.0) == TOKEN
    assert PlaceTokens(KEYS, "default/sd").read(text, 1036.5, 15.0) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + b"A",
        lambda text: b"A" + text[1:],
        lambda _: b"%" * 43,
        lambda _: b"",
    ],
)
def test_a_token_that_was_changed_says_nothing(change):
    tokens = PlaceTokens(KEYS, "default/sd")
    assert tokens.read(change(tokens.issue(TOKEN, 1000.0)), 1000.0, 15.0) is None


@pytest.mark.parametrize(
    ("keys", "name"), [(KEYS, "default/other"), ((b"x" * 32,), "default/sd")], ids=["service", "key"]
)
def test_a_token_of_another_service_or_key_says_nothing(keys, name):
    text = PlaceTokens(KEYS, "default/sd").issue(TOKEN, 1000.0)
    assert PlaceTokens(keys, name).read(text, 1000.0, 15.0) is None
