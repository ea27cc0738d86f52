"""What stands behind the pods of an installation: for each a server at its address, which dies when the pod does."""

import asyncio
import json
import ssl
from collections import defaultdict
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar

import aiohttp
from aiohttp import web
from cluster_kit import is_going, is_ready
from fault_ledger import Run

from autoscaler.demo.fake_webui import Pods, application

SERVING = ContextVar("serving")
"""In a request's own task: its name."""


async def events(control_plane, path):
    """Give (type, object) of a collection for ever: what there is as ADDED, then what becomes of it.

    A watch that breaks goes on where it broke, so nothing is missed while the API server knows as much.
    """
    trust = ssl.create_default_context(cafile=control_plane.ca)
    headers = {"Authorization": f"Bearer {control_plane.token}", "User-Agent": "tests"}
    limits, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(ssl=trust)
    there, version = {}, ""
    async with aiohttp.ClientSession(
        control_plane.url, connector=connector, headers=headers, timeout=limits
    ) as session:
        while True:
            try:
                seen = _watched(session, path, version) if version else _listed(session, path, there)
                async for kind, item, version in seen:  # noqa: B007 - the next watch goes on from there
                    there[item["metadata"]["uid"]] = item
                    if kind == "DELETED":
                        del there[item["metadata"]["uid"]]
                    yield kind, item
            except ExpiredError:
                version = ""
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.1)


class ExpiredError(Exception):
    """Only a list can tell what there is."""


async def _listed(session, path, there):
    async with session.get(path) as answer:
        answer.raise_for_status()
        listed = await answer.json()
    version, items = listed["metadata"]["resourceVersion"], listed["items"]
    for gone in there.keys() - {item["metadata"]["uid"] for item in items}:
        yield "DELETED", there[gone], version
    for item in items:
        yield "ADDED", item, version


async def _watched(session, path, version):
    async with session.get(path, params={"watch": "1", "resourceVersion": version}) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise ExpiredError(event)
            yield event["type"], event["object"], event["object"]["metadata"]["resourceVersion"]


async def ended(task):
    """End a task that has not failed."""
    if task.done():
        task.result()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _large(request):
    """Answer with more than anybody wants to keep."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1024):
        await response.write(bytes(64 << 10))
    return response


async def _upload(request):
    """Take whatever comes."""
    async for _ in request.content.iter_any():
        pass
    return web.Response()


class Fleet:
    """All pods of an installation; a request says in its prompt who it is, and the books know whose.

    Args:
        port: on which every pod serves.
        book: gives the ledger of a request by its name.
        service_s: how long a request takes; a test may change it.
    """

    def __init__(self, port, book, service_s):
        self._port = port
        self._book = book
        self.service_s = lambda: service_s
        self._pods = Pods(1, self._draw)
        self._app = application(self._pods)
        self._app.middlewares.append(self._booked)
        self._app.add_routes([web.get("/large", _large), web.post("/upload", _upload)])
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1)
        self._sites = {}
        self._running = []
        self.failing = set()
        """Addresses of pods that answer 500 at once."""
        self.deleted = defaultdict(list)
        """By namespace, of each pod whose deletion has begun, the number of requests that it ran then."""
        self.ready_s = defaultdict(list)
        """By namespace, when each pod became Ready."""
        self._addresses, self._pod_at, self._ending, self._ready = {}, {}, set(), set()

    @asynccontextmanager
    async def following(self, control_plane, namespaces):
        """Stand behind the pods of these namespaces while the block runs."""
        async with self.standing(), AsyncExitStack() as stack:
            task = asyncio.create_task(self._follow(control_plane, namespaces))
            stack.push_async_callback(ended, task)
            yield self

    @asynccontextmanager
    async def standing(self):
        """Have pods that no cluster knows while the block runs: `begins` and `dies` start and end them."""
        await self._runner.setup()
        try:
            yield self
        finally:
            await self._runner.cleanup()

    async def begins(self, address):
        """Have a pod serve at an address."""
        self._sites[address] = asyncio.create_task(self._start(address))
        await self._sites[address]

    def finish(self, address):
        """Let a pod finish what it runs now."""
        self._pods[address].interrupt()

    async def dies(self, address):
        """End a pod's process with all that it runs; its address refuses from now on."""
        if starting := self._sites.pop(address, None):
            site = await starting
            # asyncio leaks a connection that it accepts while its server is closed.
            for listener in site._server.sockets:
                asyncio.get_running_loop().remove_reader(listener)
            await asyncio.sleep(0.01)
            await site.stop()
        self._pods.pop(address, None)
        self.failing.discard(address)
        for run in self._running:
            run.cut |= run.pod == address
        for connection in self._runner.server.connections:
            if connection.transport and connection.transport.get_extra_info("sockname")[0] == address:
                connection.transport.abort()

    async def _follow(self, control_plane, namespaces):
        async for kind, pod in events(control_plane, "/api/v1/pods"):
            if pod["metadata"]["namespace"] not in namespaces:
                continue
            uid, address = pod["metadata"]["uid"], pod["status"].get("podIP")
            self._note(pod["metadata"]["namespace"], uid, pod)
            if kind == "DELETED":
                # Its address may have been given to another pod since.
                if self._pod_at.get(at := self._addresses.pop(uid, None)) == uid:
                    await self.dies(at)
            elif address and uid not in self._addresses:
                if address in self._sites:
                    await self.dies(address)
                self._addresses[uid], self._pod_at[address] = address, uid
                await self.begins(address)

    async def _start(self, address):
        """Begin to serve at an address; a pod may have to die before that is done."""
        site = web.TCPSite(self._runner, address, self._port, reuse_address=True)
        await site.start()
        return site

    def _note(self, namespace, uid, pod):
        if is_ready(pod) and uid not in self._ready:
            self._ready.add(uid)
            self.ready_s[namespace].append(asyncio.get_running_loop().time())
        if is_going(pod) and uid not in self._ending:
            self._ending.add(uid)
            address = pod["status"].get("podIP")
            self.deleted[namespace].append(sum(run.pod == address for run in self._running))

    def _draw(self):
        return self.service_s()

    @web.middleware
    async def _booked(self, request, handler):
        """Enter a request into its books while it runs."""
        if request.method != "POST" or request.path == "/upload":
            return await handler(request)
        name = (await request.json())["prompt"]
        SERVING.set(name)
        begun_s = asyncio.get_running_loop().time()
        ledger, run = self._book(name), Run(request.get_extra_info("sockname")[0], begun_s)
        ledger.runs[name].append(run)
        if run.pod in self.failing:
            run.ended = True
            return web.Response(status=500, text="CUDA out of memory")
        self._running.append(run)
        try:
            answer = await handler(request)
        except web.HTTPTooManyRequests:
            ledger.overlaps += 1
            raise
        finally:
            self._running.remove(run)
            run.ended_s = asyncio.get_running_loop().time()
        run.ended = not run.cut
        return answer
