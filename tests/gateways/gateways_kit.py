"""Several gateways as processes, a proxy on each way between two, the pods that they share, and clients with books.

    async with several_gateways(folder, ["web"]) as it:
        await it.start("a", "b", "c")
        async with it.load("web", clients=6):
            await it.answered(100)
    it.settle()

The pods are one server in this process, at an address each. A pod takes one request at a time and forgives nothing:
what it begins it finishes, also for a client that has gone, and a second request meanwhile is an overlap in the books.
"""

import asyncio
import fcntl
import itertools
import json
import os
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import aiohttp
from cluster_kit import free_port
from fault_kit import PATIENCE_S, Program, together, until
from fault_ledger import Ledger, Request
from fault_pods import Fleet
from peer_proxy import PeerProxy

from autoscaler.gateway.peers.roster import Roster
from autoscaler.testing import policy_document

NAMES = ("a", "b", "c", "d", "e")
LIMIT = 1
SERVICE_S = 0.03
HUNG_UP = -1
"""In place of a status: the client did not wait for an answer."""
NEVER_S = 3600.0
"""A request of this length runs until `finish`."""
TAKES_ON_S = 1.0
"""How long a load balancer still sends requests to a gateway that leaves."""
BUSY = {"path": "/sdapi/v1/progress", "jsonPointers": ["/state/job_count"], "interval": "200ms"}
"""The fake web UI tells how many jobs it has."""


class Gateway(Program):
    """One gateway, and what its peers and the controller hear of it.

    Args:
        several: the installation.
        name: its name among its peers.
        options: more options of its command.
    """

    def __init__(self, several, name, *options):
        self.name, self.options = name, options
        self.port, self.metrics_port, self.peer_port = free_port(), free_port(), free_port()
        self.log = several.folder / f"{name}.log"
        self.peers_file = several.folder / f"{name}.peers"
        super().__init__(
            self.log,
            f"http://127.0.0.1:{self.metrics_port}/readyz",
            [
                *(sys.executable, "-m", "autoscaler", "gateway", f"--config={several.config}", f"--name={name}"),
                *(f"--peers={self.peers_file}", f"--roster={several.roster_file}", f"--peer-key={several.key_file}"),
                *(f"--port={self.port}", f"--metrics-port={self.metrics_port}", "--host=127.0.0.1"),
                *options,
            ],
        )

    @property
    def address(self):
        return f"127.0.0.1:{self.peer_port}"

    def write_peers(self, addresses):
        """Tell it where its peers are."""
        text = "".join(f"{name} {address}\n" for name, address in addresses.items())
        written = self.peers_file.with_suffix(".new")
        written.write_text(text)
        written.rename(self.peers_file)

    def also(self, *options):
        """Give it more options; of two for the same the later one counts."""
        self._command += options

    async def status(self):
        """Wait for its end; gives the exit status."""
        return await asyncio.to_thread(self._process.wait, PATIENCE_S)

    async def gone(self):
        """Wait until it has ended in good order."""
        status = await self.status()
        assert status == 0, f"status {status}: {self.log.read_text()}"

    def end(self):
        """End it, however it is."""
        if self._process is not None:
            self.kill()

    def has_no_fault(self):
        """Fail if its log tells of a fault of its own."""
        text = self.log.read_text() if self.log.exists() else ""
        assert "Traceback" not in text, text

    async def metrics(self, client):
        """Give its metrics by name and labels."""
        async with client.get(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {series: float(value) for series, _, value in samples}

    async def held(self, client):
        """Give the number of slots that it holds for gateways that are lost."""
        metrics = await self.metrics(client)
        return sum(value for series, value in metrics.items() if series.startswith("gateway_held_slots{"))

    async def state(self, client):
        """Give the whole state that its stream begins with."""
        async with client.get(f"http://127.0.0.1:{self.metrics_port}/v1/inflight") as answer:
            return json.loads(await answer.content.readline())


class Service:
    """A service, its pods, and its books."""

    def __init__(self, number, name, pods, pod_port):
        self.name, self.host, self.ledger = name, f"{name}.test", Ledger(name)
        self.key = f"default/{name}"
        self.pods = [f"127.2.{number}.{pod + 1}" for pod in range(pods)]
        self.backends = [f"{pod}:{pod_port}" for pod in self.pods]

    def document(self, **traffic):
        """Give its policy."""
        spec = {"backends": self.backends, "containerConcurrency": LIMIT, "maxReplicas": len(self.pods)}
        return policy_document(self.key, **spec, traffic={"hosts": [self.host], **traffic})


class SeveralGateways:
    """All of it; made by `several_gateways`."""

    def __init__(self, folder, services, *, pods, rng=None):
        self.folder = folder
        self.config, self.key_file = folder / "gateways.yaml", folder / "key"
        self.roster_file, self.lock_file = folder / "roster", folder / "roster.lock"
        self.key_file.write_text(os.urandom(32).hex() + "\n")
        self.gateways, self.ways = {}, {}
        self.open = []
        """Names of the gateways that a load balancer sends requests to."""
        self.went_by = {}
        """The gateway of each request, by the request's name."""
        self.refused = Counter()
        """Connections that a gateway did not accept, by its name: nothing was sent on them."""
        self.patience_s = lambda: PATIENCE_S
        self.kills = []
        """Names of gateways that were killed, each with the time."""
        pod_port = free_port()
        self.fleet = Fleet(pod_port, self._book, SERVICE_S)
        self.services = {name: Service(number, name, pods, pod_port) for number, name in enumerate(services)}
        self._rng, self._numbers, self._clients = rng, itertools.count(), []

    def __getitem__(self, name):
        return self.gateways[name]

    def _book(self, request):
        return self.services[request.partition("/")[0]].ledger

    @property
    def ledgers(self):
        return [service.ledger for service in self.services.values()]

    @property
    def roster(self):
        """Give the roster as it is stored."""
        return Roster.from_json(json.loads(self.roster_file.read_text()))

    def owner(self, service):
        """Give the name of the gateway that owns a service."""
        return self.roster.owner(self.services[service].key)

    @contextmanager
    def store_away(self):
        """Have nobody read or write the roster while the block runs: somebody else holds its lock."""
        with self.lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write_config(self, **traffic):
        """Write the policies: `traffic` is that of all, and what has a service's name is that one's beside it."""
        own = {name: traffic.pop(name, {}) for name in self.services}
        documents = [service.document(**traffic, **own[name]) for name, service in self.services.items()]
        self.config.write_text("\n---\n".join(map(json.dumps, documents)))

    @property
    def requests(self):
        """Give the requests of all services."""
        return [request for ledger in self.ledgers for request in ledger.requests]

    # Gateways that come and go.

    async def start(self, *names):
        """Start gateways at once and wait until each is a member and ready."""
        for name in names:
            self.gateways[name].start()
        await together(self.gateways[name].ready() for name in names)
        self.open += [name for name in names if name not in self.open]

    async def leave(self, name):
        """Have a gateway leave in good order: requests still come to it for a while; wait until it has ended."""
        self.gateways[name].signal(signal.SIGTERM)
        await asyncio.sleep(TAKES_ON_S)
        self.open.remove(name)
        await self.gateways[name].gone()

    def kill(self, name):
        """Kill a gateway; a load balancer sees that at once."""
        self.open.remove(name)
        self.gateways[name].kill()
        self.kills.append((name, asyncio.get_running_loop().time()))

    @asynccontextmanager
    async def stopped(self, name):
        """Have the processor taken from a gateway while the block runs."""
        self.gateways[name].signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.gateways[name].signal(signal.SIGCONT)

    def ways_between(self, one, other):
        """Give the proxies on the way between two gateways."""
        return [self.ways[one, other], self.ways[other, one]]

    def ways_of(self, name):
        """Give all proxies between a gateway and the others."""
        return [way for pair, way in self.ways.items() if name in pair]

    def owners(self):
        """Give the members that may own services."""
        return {name for name, member in self.roster.members.items() if member.own}

    def others_of(self, service, *besides):
        """Give the members that do not own a service, without some."""
        return [name for name in sorted(self.roster.members) if name not in {self.owner(service), *besides}]

    async def owns(self, service, name):
        """Wait until the stored roster makes a gateway the owner of a service."""
        await until(lambda: self.owner(service) == name, f"{name} owns {service}")

    async def members_are(self, *names):
        """Wait until the stored roster has exactly these members."""
        await until(lambda: set(self.roster.members) == set(names), f"members {names}")

    async def agree(self, *names):
        """Wait until the streams of these gateways name the same epoch, and exactly them as its members."""
        async with session() as client, asyncio.timeout(PATIENCE_S):
            while True:
                states = [await self.gateways[name].state(client) for name in names]
                if {(state["epoch"], *state["members"]) for state in states} == {(states[0]["epoch"], *sorted(names))}:
                    return
                await asyncio.sleep(0.05)

    async def nothing_is_held(self):
        """Wait until no gateway that is open tells of a held slot."""
        async with session() as client, asyncio.timeout(PATIENCE_S):
            while any([await self.gateways[name].held(client) for name in self.open]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def each_slot_can_be_used(self):
        """Fail if a slot is taken by nobody: run a request at each pod at the same time."""
        await self.nothing_is_held()
        before, self.fleet.service_s = self.fleet.service_s, lambda: NEVER_S
        async with session() as client:
            for service in self.services.values():
                asked = zip(service.pods, itertools.cycle(self.open), strict=False)
                tasks = [asyncio.create_task(self.send(client, service.name, gateway)) for _, gateway in asked]
                await until(lambda where=service: self.running(where) == set(where.pods), f"{service.name} at each pod")
                for pod in service.pods:
                    self.fleet.finish(pod)
                assert [(await task).status for task in tasks] == [200] * len(tasks)
        self.fleet.service_s = before

    @staticmethod
    def running(service):
        """Give the pods of a service that run a request."""
        return {run.pod for runs in service.ledger.runs.values() for run in runs if not (run.ended_s or run.cut)}

    # The load.

    async def send(self, client, service, gateway):
        """Send one request and enter in the books what came of it; the client hangs up when its patience ends."""
        clock = asyncio.get_running_loop().time
        where, name = self.services[service], f"{service}/{next(self._numbers)}"
        request, self.went_by[name] = Request(name, clock()), gateway
        where.ledger.requests.append(request)
        url = f"http://127.0.0.1:{self.gateways[gateway].port}/sdapi/v1/txt2img"
        try:
            async with (
                asyncio.timeout(self.patience_s()),
                client.post(url, json={"prompt": name}, headers={"Host": where.host}) as answer,
            ):
                request.status, request.text = answer.status, await answer.text()
                request.retry_after = answer.headers.get("Retry-After", "")
        except TimeoutError:
            request.status, request.text = HUNG_UP, "hung up"
        except aiohttp.ClientConnectorError:
            self.refused[gateway] += 1
            where.ledger.requests.remove(request)
        except aiohttp.ClientError as error:
            request.status, request.text = 0, f"broken: {error!r}"
        request.ended_s = clock()
        return request

    async def one_more(self, service, gateway, sums):
        """Send a request and wait until the gateways' streams tell of it; gives the task that has its answer."""
        key = self.services[service].key
        before = sums.whole[key][-1] if sums.whole[key] else 0

        async def send():
            async with session() as client:
                return await self.send(client, service, gateway)

        task = asyncio.create_task(send())
        await sums.is_(key, before + 1)
        return task

    def finish_oldest(self, service):
        """Let the request that has run for longest finish."""
        runs = [run for runs in self.services[service].ledger.runs.values() for run in runs if not run.ended_s]
        self.fleet.finish(min(runs, key=lambda run: run.begun_s).pod)

    def order(self, service):
        """Give the numbers of the requests in the order in which pods began them."""
        begun = [(runs[0].begun_s, name) for name, runs in self.services[service].ledger.runs.items()]
        return [int(name.rpartition("/")[2]) for _, name in sorted(begun)]

    def start_load(self, service, clients, gateway=None):
        """Let so many clients more each send the next request when the last one was answered.

        Each client keeps to one gateway while a load balancer has it, or to the named one.
        """
        for number in range(clients):
            stop = asyncio.Event()
            task = asyncio.create_task(self._client(service, stop, number, gateway))
            self._clients.append((stop, task))

    async def stop_load(self):
        """Let all clients have their last answer, and go."""
        clients, self._clients = self._clients, []
        for stop, _ in clients:
            stop.set()
        await asyncio.gather(*(task for _, task in clients))

    @asynccontextmanager
    async def load(self, service, clients, gateway=None):
        """Have so many clients while the block runs."""
        self.start_load(service, clients, gateway)
        yield
        await self.stop_load()

    async def _client(self, service, stop, number, gateway):
        async with session() as client:
            while not stop.is_set():
                if not self.open:
                    await asyncio.sleep(0.05)
                    continue
                request = await self.send(client, service, gateway or self.open[number % len(self.open)])
                if request.status != 200:
                    await asyncio.sleep(0.1)

    def statuses(self):
        """Count the requests of all services by what came of them."""
        return sum((ledger.statuses() for ledger in self.ledgers), Counter())

    async def answered(self, number, by=None):
        """Wait until so many more requests were answered with 200, by any gateway or by a certain one."""

        def good():
            return sum(each.status == 200 and by in {None, self.went_by[each.name]} for each in self.requests)

        before = good()
        await until(lambda: good() >= before + number, f"{number} answers by {by or 'any gateway'}")

    def settle(self, *refusals):
        """Close the books: each request ran at most once, where there was room.

        Args:
            refusals: what else than 200 clients may have been told, as for a ledger; a gateway breaks a connection only
                if it is killed.
        """
        for ledger in self.ledgers:
            ledger.settle(*refusals)
        for request in self.requests:
            assert request.status or self._was_killed(request), f"{request} broke at a gateway that nobody killed"
        for gateway in self.gateways.values():
            gateway.has_no_fault()

    def _was_killed(self, request):
        gateway = self.went_by[request.name]
        return any(name == gateway and request.sent_s <= at_s <= request.ended_s for name, at_s in self.kills)


@asynccontextmanager
async def several_gateways(folder, services=("web",), *, names=NAMES, pods=3, proxied=False, options=(), **traffic):
    """Have an installation of which no gateway has been started yet, while the block runs; all are ended in the end.

    Args:
        folder: for its files.
        services: their names.
        names: of the gateways.
        pods: of each service.
        proxied: whether a proxy stands on each way between two gateways; it accepts connections to a dead one too.
        options: more options of each gateway.
        traffic: that of each policy.
    """
    it = SeveralGateways(folder, services, pods=pods)
    it.write_config(**traffic)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(it.fleet.standing())
        for service in it.services.values():
            await together(it.fleet.begins(pod) for pod in service.pods)
        for name in names:
            it.gateways[name] = Gateway(it, name, *options)
        for one, other in itertools.permutations(names if proxied else (), 2):
            it.ways[one, other] = await stack.enter_async_context(PeerProxy(it[other].peer_port).running())
        for name, gateway in it.gateways.items():
            others = {other: it.ways.get((name, other), it[other]).address for other in names if other != name}
            gateway.write_peers({name: gateway.address, **others})
        stack.callback(_end, it)
        yield it


def _end(it):
    for gateway in it.gateways.values():
        gateway.end()


def session():
    """Give a session in which each request has a connection of its own."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
