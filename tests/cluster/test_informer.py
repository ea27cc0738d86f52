"""A list and a watch of a real API server, through connections that are cut."""

import asyncio
import random
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from cluster_kit import Cluster, until

from autoscaler.kubernetes import informer as informer_module
from autoscaler.kubernetes.client import connected
from autoscaler.kubernetes.informer import Informer

pytestmark = [pytest.mark.program, pytest.mark.real_time]


class Wire:
    """Stands between a client and the API server, and can cut what goes through it."""

    def __init__(self, url):
        self._to = urlsplit(url)
        self._open = set()
        self.refuses = False
        self.connections = 0

    @asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        try:
            yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()
            await asyncio.sleep(0.05)

    def cut(self):
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _join(self, reader, writer):
        if self.refuses:
            writer.transport.abort()
            return
        self.connections += 1
        up, down = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._open |= {writer, down}
        await asyncio.gather(self._pump(reader, down), self._pump(up, writer))

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        writer.transport.abort()


class World(Cluster):
    def __init__(self, control_plane, namespace):
        super().__init__(control_plane, namespace)
        self.changes = []
        self.maps = self.path("api/v1", "configmaps")

    async def put(self, name, value="", label="mine"):
        labels = {"owner": label}
        await self.ask("create", self.maps, {"metadata": {"name": name, "labels": labels}, "data": {"value": value}})

    def known(self):
        return {key.partition("/")[2]: value for key, value in self.informer.store.items().items()}


@pytest.fixture
async def world(control_plane, namespace, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    made = World(control_plane, namespace)
    made.wire = Wire(control_plane.url)
    async with made.wire.listening() as address, connected(deadline_s=5) as api:
        api._account = api._account._replace(server=address)
        made.informer = Informer(
            api,
            made.maps,
            lambda item: item.get("data", {}).get("value", ""),
            random.Random(1),  # noqa: S311
            selector="owner=mine",
            on_change=made.changes.extend,
        )
        task = asyncio.create_task(made.informer.run())
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_there_is_listed_in_pages_and_what_comes_is_watched(world, monkeypatch):
    monkeypatch.setattr(informer_module, "PAGE", 2)
    for name in "abcde":
        await world.put(name)
    await world.put("other", label="theirs")
    await until(lambda: len(world.known()) == 5)
    await world.informer.synced.wait()
    await world.put("f", "new")
    await until(lambda: world.known().get("f") == "new")
    await world.ask("delete", f"{world.maps}/a")
    await until(lambda: "a" not in world.known())
    assert "other" not in world.known()


async def test_after_a_cut_it_goes_on_where_it_was_and_misses_nothing(world):
    await world.put("a", "one")
    await until(lambda: world.known() == {"a": "one"})
    world.changes.clear()

    world.wire.refuses = True
    world.wire.cut()
    await world.put("b", "two")
    await world.ask("patch", f"{world.maps}/a", {"data": {"value": "changed"}})
    await until(lambda: world.informer.problem)
    assert world.known() == {"a": "one"}, "what was known stays known"
    world.wire.refuses = False

    await until(lambda: world.known() == {"a": "changed", "b": "two"})
    assert len(world.changes) == 2
    assert world.informer.problem == ""


async def test_a_version_that_is_too_old_is_answered_by_a_new_list(world):
    await world.put("a")
    await until(lambda: "a" in world.known())
    listed = []
    real_get = world.informer._api.get

    async def counting_get(path, query=None, **options):
        listed.append(path)
        return await real_get(path, query, **options)

    world.informer._api.get = counting_get
    # No server has ever heard of so old a version; for one that it has compacted away it says the same.
    real_apply = world.informer.store.apply
    expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    world.informer.store.apply = lambda _event: real_apply(expired)
    await world.put("b")
    await until(lambda: world.informer.store.version == "" or listed)
    world.informer.store.apply = real_apply
    await until(lambda: "b" in world.known())
    assert listed == [world.maps]
    await world.put("c")
    await until(lambda: "c" in world.known())


async def test_a_watch_on_which_nothing_is_heard_is_made_anew_and_silence_is_no_problem(world, monkeypatch, caplog):
    await until(world.informer.synced.is_set)
    await world.put("heard")
    await until(lambda: "heard" in world.known())
    monkeypatch.setattr(informer_module, "SILENCE_S", 1.0)
    world.wire.cut()
    before = world.wire.connections
    await until(lambda: world.wire.connections >= before + 3)
    assert world.informer.problem == ""
    assert "did not answer in time" not in caplog.text
    await world.put("a")
    await until(lambda: "a" in world.known())


async def test_of_what_is_only_asked_for_its_metadata_nothing_else_is_sent(world):
    async with connected() as api:
        informer = Informer(api, world.maps, dict, random.Random(1), metadata_only=True)  # noqa: S311
        task = asyncio.create_task(informer.run())
        await world.put("listed", "large")
        await until(lambda: len(informer.store.items()) == 1)
        await world.put("watched", "large")
        found = await until(lambda: len(informer.store.items()) == 2 and informer.store.items())
        assert not any("data" in item for item in found.values())
        assert {item["metadata"]["labels"]["owner"] for item in found.values()} == {"mine"}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
