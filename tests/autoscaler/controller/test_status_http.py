"""The controller's own port, over HTTP."""

import asyncio

import aiohttp
import pytest

from algorithms.observation import Observation
from algorithms.types import Decision, Recommendation
from autoscaler.controller.recorders import Latest
from autoscaler.controller.records import from_json
from autoscaler.controller.status_http import serve_status
from autoscaler.ports import Outcome, Record

pytestmark = pytest.mark.real_time

RECORD = Record(
    "default/sd",
    Observation(2.0, 0.0, None, 1, 0, problem="stale"),
    Decision(1, Recommendation(None, "stale"), ()),
    Outcome("default/sd"),
)


@pytest.fixture
async def get():
    async with aiohttp.ClientSession() as session:

        async def get(url):
            async with session.get(url) as answer:
                return answer.status, answer.content_type, await answer.text()

        yield get


async def test_the_newest_decisions_are_shown_as_they_are_recorded(get):
    latest = Latest()
    async with serve_status(latest, 0) as address:
        assert await get(f"{address}/status") == (200, "application/json", "{}")
        latest(RECORD)
        async with aiohttp.ClientSession() as session, session.get(f"{address}/status") as answer:
            shown = await answer.json()
    assert list(shown) == ["default/sd"]
    assert from_json(shown["default/sd"]) == RECORD


async def test_it_lives_while_it_answers_and_is_ready_when_nothing_is_in_the_way(get):
    why = "no policy was read yet"
    async with serve_status(Latest(), 0, unready=lambda: why) as address:
        assert await get(f"{address}/healthz") == (200, "text/plain", "ok\n")
        assert await get(f"{address}/readyz") == (503, "text/plain", "no policy was read yet\n")
        why = ""
        assert await get(f"{address}/readyz") == (200, "text/plain", "ok\n")


async def test_metrics_are_those_it_was_given_piece_after_piece(get):
    async with serve_status(
        Latest(), 0, metrics=lambda _form: (b"decisions_total 3\n", b"", b"writes_total 1\n")
    ) as address:
        status, kind, text = await get(f"{address}/metrics")
    assert (status, kind, text) == (200, "text/plain", "decisions_total 3\nwrites_total 1\n")


async def test_other_work_goes_on_while_metrics_are_written(get):
    told, wait = [], asyncio.Event()

    def pieces(_form):
        asyncio.get_running_loop().call_soon(wait.set)
        yield b"a 1\n"
        told.append(wait.is_set())
        yield b"b 2\n"

    async with serve_status(Latest(), 0, metrics=pieces) as address:
        assert (await get(f"{address}/metrics"))[2] == "a 1\nb 2\n"
    assert told == [True]


async def test_what_is_not_there_is_not_found(get):
    async with serve_status(Latest(), 0) as address:
        assert (await get(f"{address}/other"))[0] == 404


async def test_a_port_that_is_in_use_is_an_error_and_a_port_that_was_given_is_taken():
    async with serve_status(Latest(), 0) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with serve_status(Latest(), port):
                pass
    async with serve_status(Latest(), port) as again:
        assert again == address
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(f"{address}/healthz"):
            pass
