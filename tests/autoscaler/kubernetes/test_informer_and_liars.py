"""An informer whose API server answers JSON that is not Kubernetes': it is said, and asked for again."""

import asyncio
import json
import random

import pytest

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.informer import Informer


def item(name, version=1):
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version)}, "value": name}


def a_list(*items, version=1):
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


class Liar:
    """Gives one answer after the other; when there is none left a watch is silent."""

    def __init__(self, lists, events=()):
        self.lists, self.events = list(lists), list(events)
        self.listed = 0

    async def get(self, _path, _query=None, **_options):
        self.listed += 1
        return self.lists.pop(0)

    async def lines(self, _path, _query, *, silence_s, **_options):
        while self.events:
            yield self.events.pop(0)
        await asyncio.sleep(silence_s * 1000)


async def followed(liar):
    informer = Informer(liar, "/x", lambda found: found["value"], random.Random(1))  # noqa: S311
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(120)
    assert not task.done(), "whatever is answered, it goes on"
    task.cancel()
    await asyncio.wait([task])
    return informer


@pytest.mark.parametrize(
    "lie",
    [
        {},
        [],
        None,
        "hello",
        {"items": []},
        {"items": None, "metadata": {"resourceVersion": "1"}},
        a_list({}),
        a_list({"metadata": {"name": "a", "resourceVersion": "soon"}}),
        a_list({"metadata": {"name": "a", "resourceVersion": "1"}}),
    ],
)
async def test_a_list_that_is_none_is_asked_for_again(lie, caplog):
    informer = await followed(Liar([lie, a_list(item("a"))]))
    assert informer.store.items() == {"ns/a": "a"}
    assert informer.problem == ""
    assert "not watching /x: the response is not from Kubernetes" in caplog.text


@pytest.mark.parametrize("lie", [{}, [], None, {"type": "ADDED"}, {"type": "ADDED", "object": {}}, 5])
async def test_after_an_event_that_is_none_all_is_listed_again(lie, caplog):
    liar = Liar([a_list(item("a")), a_list(item("a"), item("b", 2), version=2)], [json.dumps(lie).encode()])
    informer = await followed(liar)
    assert informer.store.items() == {"ns/a": "a", "ns/b": "b"}
    assert "the response is not from Kubernetes" in caplog.text


async def test_an_event_that_broke_off_costs_no_new_list():
    event = {"type": "ADDED", "object": item("b", 2)}
    liar = Liar([a_list(item("a"))], [b'{"type": "ADD', json.dumps(event).encode()])
    informer = await followed(liar)
    assert informer.store.items() == {"ns/a": "a", "ns/b": "b"}
    assert liar.listed == 1


async def test_a_watch_that_has_been_answered_ends_a_problem_though_nothing_happens():
    class Recovers(Liar):
        down = True

        async def lines(self, path, query, *, silence_s):
            if self.down:
                self.down = False
                raise ApiError(0, "Unreachable", "connection refused")
            yield b""
            async for line in super().lines(path, query, silence_s=silence_s):
                yield line

    informer = await followed(Recovers([a_list(item("a"))]))
    assert informer.problem == ""
