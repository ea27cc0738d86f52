"""An installation that can be hurt: a gateway, two controllers and Prometheus as real programs, a proxy on each way
between them, and services under load whose books are kept.

    async with installed(control_plane, folder, ["web"], prometheus=binary) as it:
        async with it["web"].load(clients=2):
            await it["web"].serves(2)
            ...
    it["web"].ledger.settle()
"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import yaml
from cluster_kit import QUICK, PolicyCluster, define_policies, free_port, is_ready, new_namespace
from fault_ledger import DecisionFile, Ledger, Request
from fault_pods import Fleet, ended, events
from fault_proxy import Proxy

HERE = Path(__file__).parent
PATIENCE_S = 90
"""Programs start together on a machine that may be busy."""
SERVICE_S = 0.5
COLD_START_S = "0.5"


async def until(condition, what="", patience_s=PATIENCE_S):
    """Wait for what no event tells: files that other programs write, and our own books."""
    try:
        async with asyncio.timeout(patience_s):
            while not (answer := condition()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"this never came: {what or condition}") from None
    return answer


class Program:
    """One of our programs, which can be killed and started again.

    Args:
        log: the file that its output goes to.
        ready: the address that answers when it is.
        command: what is run.
        environment: in which.
    """

    def __init__(self, log, ready, command, environment=None):
        self._log, self._ready = log, ready
        self._command = [str(word) for word in command]
        self._environment = {**os.environ, **(environment or {})}
        self._process = None

    def start(self):
        """Start it."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=self._environment
            )

    async def ready(self):
        """Wait until it says that it is ready."""
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while not await self._answers(session):
                assert self.alive
                await asyncio.sleep(0.05)

    @property
    def number(self):
        """Its process id."""
        return self._process.pid

    def kill(self):
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()

    @asynccontextmanager
    async def started(self):
        """Run it while the block runs."""
        self.start()
        try:
            yield self
        finally:
            await self.stop()

    @property
    def alive(self):
        """Whether it runs; it must, unless it was killed."""
        status = self._process.poll()
        assert status in {None, -signal.SIGKILL}, f"ended with status {status}: {self._log.read_text()}"
        return status is None

    def signal(self, number):
        """Send it a signal."""
        self._process.send_signal(number)

    async def stop(self):
        """Have it end in good order; it must, unless it was killed."""
        if self._process.poll() == -signal.SIGKILL:
            return
        self.signal(signal.SIGTERM)
        status = await asyncio.to_thread(self._process.wait, PATIENCE_S)
        assert status == 0, f"status {status}: {self._log.read_text()}"

    async def _answers(self, session):
        try:
            async with session.get(self._ready) as answer:
                return answer.ok
        except aiohttp.ClientError:
            return False


class Prometheus(Program):
    """A real Prometheus at one address for life; each start is from an empty store.

    Targets are where it scrapes a gateway, with where the controllers know that gateway.
    """

    def __init__(self, binary, folder, targets):
        folder.mkdir()
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder, self._lives = folder, itertools.count()
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {
                    "job_name": "gateways",
                    "static_configs": [
                        {"targets": [scraped], "labels": {"instance": known}} for scraped, known in targets.items()
                    ],
                }
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        super().__init__(folder / "log", f"{self.url}/-/ready", [binary])

    def start(self):
        self._command[1:] = [
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / str(next(self._lives))}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        super().start()


class GatewayServer(Program):
    """A gateway, the way to its stream, and what its request log goes to, if it has one."""

    def __init__(self, installation, name, *, log_pipe=None, prefix=(), options=()):
        self.port, self.metrics_port = free_port(), free_port()
        self.stream = Proxy(f"http://127.0.0.1:{self.metrics_port}")
        super().__init__(
            installation.folder / f"{name}.log",
            f"http://127.0.0.1:{self.metrics_port}/readyz",
            [
                *(*prefix, sys.executable, "-m", "autoscaler", "gateway"),
                *(f"--port={self.port}", f"--metrics-port={self.metrics_port}"),
                *([f"--request-log={log_pipe.path}"] if log_pipe else []),
                *options,
            ],
            installation.environment,
        )

    @property
    def scraped(self):
        """Where it is scraped, with where controllers know it."""
        return {f"127.0.0.1:{self.metrics_port}": self.stream.address}

    async def serving(self, service):
        """Wait until its stream tells of a service."""
        url = f"http://127.0.0.1:{self.metrics_port}/v1/inflight"
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session, session.get(url) as answer:
            async for line in answer.content:
                if service in json.loads(line)["services"]:
                    return


class Controller(Program):
    """A controller, with a decision log for each of its lives; its wall clock may be wrong, and can then be set."""

    def __init__(self, installation, name, *, ahead_s=0):
        self.name, self.port = name, free_port()
        self.lives = []
        self._folder, self._ahead_s = installation.folder, ahead_s
        by_its_clock = (sys.executable, HERE / "fault_program.py", ahead_s, installation.broken_file)
        super().__init__(
            installation.folder / f"{name}.log",
            f"http://127.0.0.1:{self.port}/readyz",
            [
                *(by_its_clock if ahead_s else (sys.executable, "-m", "autoscaler")),
                *("run", "--tick=1s", f"--own-namespace={installation.namespace}"),
                *(f"--gateway={gateway.stream.address}" for gateway in installation.gateways),
                *(f"--port={self.port}", "--host=127.0.0.1", f"--prometheus-credentials={installation.servers_file}"),
            ],
            installation.environment,
        )
        self._always = list(self._command)

    def start(self):
        name = f"{self.name}-{len(self.lives)}"
        path = self._folder / f"{name}.jsonl"
        self.lives.append(DecisionFile(path, self._ahead_s))
        self._command = [*self._always, f"--identity={name}", f"--decisions={path}"]
        super().start()


class Installation:
    """All of it; made by `installed`."""

    def __init__(self, control_plane, folder, namespace):
        self.control_plane, self.folder, self.namespace = control_plane, folder, namespace
        self.api = Proxy(control_plane.url, ca=control_plane.ca)
        self.environment = {}
        self.gateways = []
        self.controllers = []
        self.services = {}
        self.servers_file = folder / "servers.yaml"
        self.broken_file = folder / "broken"
        """Names the services whose deciders fail, in controllers that run by a clock of their own."""
        self._servers = set()
        self.let_ask("http://nobody.invalid")
        self._names = itertools.count()
        self.pod_port = free_port()
        self.fleet = Fleet(self.pod_port, self._book, SERVICE_S)

    def __getitem__(self, service):
        return self.services[service]

    def _book(self, request):
        return self.services[request.partition("/")[0]].ledger

    def write_kubeconfig(self):
        """Let programs find the API server behind its proxy."""
        path = self.folder / "kubeconfig"
        config = {
            "clusters": [{"name": "test", "cluster": {"server": self.api.url}}],
            "users": [{"name": "admin", "user": {"token": self.control_plane.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        self.environment = {"KUBECONFIG": str(path)}

    def let_ask(self, server):
        """Let policies name one more Prometheus from now on."""
        self._servers.add(server)
        written = self.folder / "servers.yaml.new"
        written.write_text(json.dumps({"servers": [{"address": each} for each in sorted(self._servers)]}))
        written.rename(self.servers_file)

    def add_controller(self, **options):
        """Give one more controller, to be started."""
        self.controllers.append(controller := Controller(self, f"controller-{next(self._names)}", **options))
        return controller

    async def leads(self, *controllers):
        """Wait until one of these controllers leads, as the Lease tells."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        names, wait = {controller.name for controller in controllers}, self.control_plane.wait
        leads = lambda leases: _holder(leases).rpartition("-")[0] in names  # noqa: E731
        await asyncio.to_thread(wait, path, leads, deadline_s=PATIENCE_S)

    def follow_logs(self):
        """Bring the ledgers up to what the controllers have decided."""
        lives = [life for controller in self.controllers for life in controller.lives]
        for life in lives:
            life.follow()
        for service in self.services.values():
            logs = (life.lines.get(service.key, []) for life in lives)
            service.ledger.logs = [log for log in logs if log]

    def is_told(self):
        """Tell whether the logs have come as far as the number of replicas; they must be before anybody is stopped."""
        self.follow_logs()
        return all(service.ledger.is_told() for service in self.services.values())

    async def follow_replicas(self):
        """Enter every change of a number of replicas in its ledger, for ever."""
        ledgers = {service.namespace: service.ledger for service in self.services.values()}
        async for _, item in events(self.control_plane, "/apis/apps/v1/deployments"):
            ledger = ledgers.get(item["metadata"]["namespace"])
            if ledger is not None:
                ledger.sees(item["spec"]["replicas"])


def _holder(leases):
    return next((lease["spec"]["holderIdentity"] for lease in leases.values()), "")


@asynccontextmanager
async def installed(control_plane, folder, services, *, gateways=1, controllers=2, ahead_s=0, **of_gateways):
    """Run an installation while the block runs, with a namespace for each service; it is ready when it is given."""
    async with AsyncExitStack() as stack:
        enter, define = stack.enter_async_context, asyncio.to_thread(define_policies, control_plane)
        await define
        it = Installation(control_plane, folder, stack.enter_context(new_namespace(control_plane)))
        for name in services:
            it.services[name] = Service(it, name, stack.enter_context(new_namespace(control_plane)))
        await enter(it.api.running())
        it.write_kubeconfig()
        await enter(it.fleet.following(control_plane, {service.namespace for service in it.services.values()}))
        stack.push_async_callback(ended, asyncio.create_task(it.follow_replicas()))
        for number in range(gateways):
            it.gateways.append(gateway := GatewayServer(it, f"gateway-{number}", **of_gateways))
            await enter(gateway.stream.running())
            await enter(gateway.started())
        for _ in range(controllers):
            await enter(it.add_controller(ahead_s=ahead_s).started())
        for program in (*it.gateways, *it.controllers):
            await program.ready()
        yield it
        await until(it.is_told, "the last decisions in the logs")


class Service(PolicyCluster):
    """A Deployment with its policy in a namespace of its own, under load."""

    def __init__(self, installation, name, namespace):
        super().__init__(installation.control_plane, namespace)
        self.installation = installation
        self.ledger = Ledger(name)
        self.name = name
        self.key = f"{namespace}/web"
        self.host = f"{namespace}.test"
        self.policy_stays = asyncio.Lock()
        """Held while the policy must not be deleted."""
        self._numbers = itertools.count()
        self._clients = []
        self._marks = {}

    async def install(self, *, prometheus=None, annotations=None, node=None, template=None, **spec):
        """Make Deployment and policy; its pods run on a certain node while there is that.

        Args:
            prometheus: the address of the one that counts its requests.
            annotations: those of its pods.
            node: the node that its pods prefer.
            template: a merge patch of the spec of its pods.
            spec: the spec of its policy.
        """
        pods = {"inflight.test/cold-start-s": COLD_START_S, "inflight.test/exit-s": "1", **(annotations or {})}
        metrics = {"metrics": {"prometheus": {"serverAddress": prometheus}}} if prometheus else {}
        if prometheus:
            self.installation.let_ask(prometheus)
        traffic = {"hosts": [self.host], "port": self.installation.pod_port, **spec.pop("traffic", {})}
        await self.make(annotations=pods)
        if template:
            await self.ask("patch", f"{self.workloads()}/web", {"spec": {"template": {"spec": template}}})
        if node:
            await self.ask("patch", f"{self.workloads()}/web", _preferring(node))
        self._policy = {**QUICK, **metrics, **spec, "traffic": traffic}
        await self.apply_policy()
        await together(gateway.serving(self.key) for gateway in self.installation.gateways)

    async def apply_policy(self):
        """Make the policy, as it was made at first."""
        await self.apply(**self._policy)

    # The load.

    async def send(self, session):
        """Send one request and enter in the books what came of it."""
        clock = asyncio.get_running_loop().time
        request = Request(f"{self.name}/{next(self._numbers)}", clock())
        self.ledger.requests.append(request)
        url = f"http://127.0.0.1:{self.installation.gateways[0].port}/sdapi/v1/txt2img"
        try:
            async with session.post(url, json={"prompt": request.name}, headers={"Host": self.host}) as answer:
                request.status, request.text = answer.status, await answer.text()
                request.retry_after = answer.headers.get("Retry-After", "")
        except aiohttp.ClientError as error:
            request.status, request.text = 0, f"broken: {error!r}"
        request.ended_s = clock()
        return request

    def start_load(self, clients):
        """Let so many clients more each send the next request when the last one was answered."""
        self._clients += [(stop := asyncio.Event(), asyncio.create_task(self._client(stop))) for _ in range(clients)]

    async def stop_load(self):
        """Let all clients have their last answer, and go."""
        clients, self._clients = self._clients, []
        for stop, _ in clients:
            stop.set()
        await asyncio.gather(*(task for _, task in clients))

    @asynccontextmanager
    async def load(self, clients):
        """Have so many clients while the block runs."""
        self.start_load(clients)
        yield
        await self.stop_load()

    async def one(self, number=1):
        """Send requests at once and wait for their answers."""
        async with _session() as session:
            return await asyncio.gather(*(self.send(session) for _ in range(number)))

    async def _client(self, stop):
        async with _session() as session:
            while not stop.is_set():
                request = await self.send(session)
                if request.status != 200:
                    await asyncio.sleep(0.2)

    # What is waited for.

    async def serves(self, pods):
        """Wait until so many pods are Ready, and no other is there."""
        await self.ask("wait", self.pods, lambda all_: _ready(all_) == [True] * pods, deadline_s=PATIENCE_S)

    async def answered(self, number):
        """Wait until so many more requests were answered with 200."""
        before = self.ledger.statuses()[200]
        await until(lambda: self.ledger.statuses()[200] >= before + number, f"{number} answers of {self.name}")

    async def decided(self, condition, seconds=0.0, *, by=all):
        """Wait until every controller that runs (or any) has decided so for so many seconds without a break to now."""

        def so():
            self.installation.follow_logs()
            alive = [each.lives[-1].lines[self.key] for each in self.installation.controllers if each.alive]
            return by(_lasting_s(log, condition) >= seconds for log in alive)

        await until(so, f"decisions of {self.name} that are {condition.__name__}")

    def mark(self):
        """Begin to look at decisions from here on."""
        self.installation.follow_logs()
        self._marks = {id(log): len(log) for log in self.ledger.logs}

    def since(self):
        """Give the decisions since the mark."""
        self.installation.follow_logs()
        lines = (line for log in self.ledger.logs for line in log[self._marks.get(id(log), 0) :])
        return [line for line in lines if "observation" in line]

    async def fails(self, words):
        """Wait until a decision since the mark could not be written, for this reason."""
        await until(lambda: any(words in record["error"] for record in self.since()), f"{self.name}: {words}")


def _preferring(node):
    label = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    preferred = [{"weight": 100, "preference": label}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    return {"spec": {"template": {"spec": {"affinity": affinity}}}}


def _ready(pods):
    return [is_ready(pod) for pod in pods.values()]


def _lasting_s(log, condition):
    """Give the seconds over which the last decisions fulfil a condition; below zero if the last one does not."""
    lasting = list(itertools.takewhile(condition, (line for line in reversed(log) if "observation" in line)))
    return lasting[0]["observation"]["now_s"] - lasting[-1]["observation"]["now_s"] if lasting else -1.0


def unknown(record):
    """Whether the count was not known."""
    return record["observation"]["inflight"] is None


def known(record):
    """Whether the count was known, and whole."""
    return record["observation"]["inflight"] is not None and not record["observation"]["problem"]


def _session():
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))


async def together(waits):
    """Wait for all of these."""
    await asyncio.gather(*waits)
