"""Both ends of a gateway in one's hands: pods that do as the test says, and clients that write raw bytes."""

import asyncio
import socket
import struct
import threading
from typing import NamedTuple

from autoscaler.gateway.config import GatewayService, Timeouts
from autoscaler.gateway.dispatch.dispatcher import Limits, SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.server import GatewayServer

HOST = "sd.example.com"
NAME = "default/sd"
PATIENCE_S = 30
"""After which a test that waits for what never comes fails; no test is about this time."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Message(NamedTuple):
    start: bytes
    headers: list
    body: bytes
    raw_head: bytes

    @property
    def status(self):
        return int(self.start.split()[1])

    def all(self, name):
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None


def parse_head(raw):
    start, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    return start, [tuple(line.split(b": ", 1)) if b": " in line else (line.rstrip(b":"), b"") for line in lines]


async def read_body(reader, headers, *, is_request, bodiless=False):
    """Read a body as its head says; a chunked one is checked and put together."""
    lower = {name.lower(): value for name, value in headers}
    if bodiless:
        return b""
    if lower.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        return body
    if b"content-length" in lower:
        return await reader.readexactly(int(lower[b"content-length"]))
    return b"" if is_request else await reader.read()


class PodRequest:
    """One request at a pod, to be answered by the test."""

    def __init__(self, pod, raw_head, reader, writer):
        self._pod = pod
        self.raw_head = raw_head
        self.start, self.headers = parse_head(raw_head)
        self.reader = reader
        self.writer = writer
        self.answered = asyncio.Event()

    @property
    def target(self):
        return self.start.split()[1].decode()

    def all(self, name):
        return [value for found, value in self.headers if found.lower() == name.lower()]

    async def body(self):
        return await in_time(read_body(self.reader, self.headers, is_request=True))

    def send(self, data=OK):
        self.writer.write(data)

    def reply(self, data=OK):
        """Answer, and go on to the connection's next request."""
        self.writer.write(data)
        self.done()

    def done(self):
        self.answered.set()

    def close(self):
        self.writer.close()
        self.done()

    def reset(self):
        reset(self.writer)
        self.done()

    async def gone(self):
        """Wait until the gateway has closed the connection."""
        try:
            while await in_time(self.reader.read(65536)):
                pass
        except ConnectionError:
            pass


def reset(writer):
    """End a connection with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Pod:
    """A pod whose every request waits for the test, or for `answers`."""

    def __init__(self, answers=None):
        self.requests = asyncio.Queue()
        self.connections = 0
        self.open = 0
        self.most = 0
        self.seen = []
        self._answers = answers
        self._tasks = set()
        self._server = None

    async def start(self, port=0, host="127.0.0.1"):
        self._server = await asyncio.start_server(self._serve, host, port, limit=1 << 20)
        return self

    @property
    def port(self):
        return self._server.sockets[0].getsockname()[1]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def next(self):
        return await in_time(self.requests.get())

    async def stop(self):
        """Refuse connections from now on, and end those that are open."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        try:
            while raw := await reader.readuntil(b"\r\n\r\n"):
                request = PodRequest(self, raw, reader, writer)
                self.seen.append(request.target)
                self.open += 1
                self.most = max(self.most, self.open)
                if self._answers is not None:
                    await self._answers(request)
                else:
                    self.requests.put_nowait(request)
                    await request.answered.wait()
                self.open -= 1
                if writer.is_closing():
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.close()


class Client:
    """A client that writes what it likes."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def send(self, data):
        self.writer.write(data)

    def get(self, target="/", *lines, host=HOST, version="1.1"):
        extra = "".join(f"{line}\r\n" for line in lines)
        self.send(f"GET {target} HTTP/{version}\r\nHost: {host}\r\n{extra}\r\n".encode())
        return self

    def post(self, target="/", body=b"{}", *lines):
        extra = "".join(f"{line}\r\n" for line in lines)
        head = f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        self.send(head.encode() + body)
        return self

    async def head(self):
        raw = await in_time(self.reader.readuntil(b"\r\n\r\n"))
        return Message(*parse_head(raw), b"", raw)

    async def response(self, *, bodiless=False):
        message = await self.head()
        body = await in_time(read_body(self.reader, message.headers, is_request=False, bodiless=bodiless))
        return message._replace(body=body)

    async def ended(self):
        """Read to the end of the connection; what came before it."""
        return await in_time(self.reader.read())

    def reset(self):
        reset(self.writer)

    def close(self):
        self.writer.close()


def service(*, paths=(), timeouts=None, affinity=None, hosts=(HOST,), backends=None, name=NAME, **limits):
    return GatewayService(
        name=name,
        hosts=hosts,
        limits=Limits(**limits),
        timeouts=timeouts or Timeouts(),
        paths=paths,
        affinity=affinity,
        backends=backends,
    )


PASS_ALL = (PathRule(("/work*",)), PathRule(("/*",), SlotUse.PASS, max_per_pod=64))


class Kit:
    """Starts gateways, pods and clients, and ends them all."""

    def __init__(self):
        self._pods = []
        self._gateways = []
        self._clients = []

    async def gateway(self, *services, pods=(), tokens=None, **options):
        """A gateway of one service, unless there are more, that knows these pods as p0, p1, ..."""
        services = services or (service(),)
        gateway = GatewayServer({each.name: each for each in services}, **options)
        await gateway.start(0, 0, ["127.0.0.1"], tokens=tokens)
        self._gateways.append(gateway)
        if pods:
            gateway.set_backends(services[0].name, {f"p{n}": pod.address for n, pod in enumerate(pods)})
        return gateway

    async def pod(self, answers=None, **place):
        pod = await Pod(answers).start(**place)
        self._pods.append(pod)
        return pod

    async def client(self, gateway):
        return await self.connect(gateway.port)

    async def connect(self, port, host="127.0.0.1"):
        client = Client(*await asyncio.open_connection(host, port, limit=1 << 20))
        self._clients.append(client)
        return client

    async def observe(self, gateway, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.metrics_port)
        self._clients.append(Client(reader, writer))
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        return reader

    async def close(self):
        for client in self._clients:
            client.close()
        for gateway in self._gateways:
            await gateway.stop()
        for pod in self._pods:
            await pod.stop()


async def in_time(awaitable):
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


async def until(condition):
    """Let the loop turn until something has come about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def answer_ok(request):
    await request.body()
    request.send()


def refused_port():
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NameServer:
    """Answers as `getaddrinfo` does; names that begin with `slow` wait until the test lets them go."""

    def __init__(self):
        self.addresses = {}
        self.asked = []
        self.go_on = threading.Event()
        self._lock = threading.Lock()
        self.waiting = 0

    def __call__(self, host, _port, *, type):  # noqa: A002
        with self._lock:
            self.asked.append(host)
            self.waiting += host.startswith("slow")
        if host.startswith("slow"):
            self.go_on.wait(30)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in self.addresses[host]]
