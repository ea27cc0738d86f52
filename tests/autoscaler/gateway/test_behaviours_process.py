"""Behaviours 80 to 89 of docs/reference/gateway.md: the gateway as a process: its logs, signals, limits and names."""

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import threading

import pytest
from gateway_kit import NAME, answer_ok, in_time, refused_port, service, until
from gateway_program import document

from autoscaler.commands import gateway as command
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.resolver import Resolver
from autoscaler.gateway.lifecycle import reload
from autoscaler.gateway.overload import Overload

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


@pytest.fixture
def full_pipe():
    """A pipe that is full and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(1 << 10))
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


async def test_b80_logs_without_a_reader_hold_up_no_request_no_metric_and_no_shutdown(
    kit, programs, full_pipe, tmp_path
):
    requests = tmp_path / "requests"
    os.mkfifo(requests)
    pod = await kit.pod(answer_ok)
    gateway = await programs.start(document(backends=[pod.address]), f"--request-log={requests}", stderr=full_pipe)
    client = await gateway.connected(kit)
    while not await gateway.metric("gateway_request_log_lost_lines_total"):
        assert (await client.get("/" + "x" * 15_000).response()).status == 200
    assert await gateway.observe("/healthz") == (200, "ok\n")
    gateway.process.send_signal(signal.SIGTERM)
    assert await gateway.ended() == 0


async def test_b81_a_hangup_ends_nothing_reads_files_again_and_leaves_a_log_that_was_renamed(kit, programs, tmp_path):
    pod = await kit.pod()
    log, old = tmp_path / "requests", tmp_path / "requests.1"
    gateway = await programs.start(document(backends=[pod.address]), f"--request-log={log}")
    client = (await gateway.connected(kit)).get("/1")
    job = await pod.next()
    held = (await kit.connect(gateway.port)).get("/2")
    for renamed, number in ((old, signal.SIGHUP), (tmp_path / "requests.2", signal.SIGUSR1)):
        gateway.process.send_signal(number)
        await gateway.said("logs are reopened")
        if number == signal.SIGHUP:
            await gateway.said("configuration reloaded")
            job.reply()
            await client.response()
            job = await pod.next()
        else:
            job.reply()
            await held.response()
        while not log.exists() or not log.read_text():
            await in_time(gateway.observe("/healthz"))
        log.rename(renamed)
    gateway.process.send_signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    paths = [json.loads(file.read_text())["path"] for file in (old, tmp_path / "requests.2")]
    assert paths == ["/1", "/2"]


def descriptors(soft, hard):
    """Have a program start with these limits."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def held(kit, gateway, number):
    """Connect so many clients that wait for a pod."""
    clients = [await kit.connect(gateway.port) for _ in range(number)]
    for client in clients:
        client.get()
    return clients


async def test_b82_the_limit_of_descriptors_is_raised_so_that_more_clients_can_wait_than_select_could_serve(
    kit, programs
):
    nobody = f"127.0.0.1:{refused_port()}"
    config = document(traffic={"queue": {"maxLength": 2000}}, backends=[nobody])
    gateway = await programs.start(config, before=descriptors(1024, 4096))
    (await gateway.connected(kit)).close()
    await held(kit, gateway, 1100)
    async with asyncio.timeout(60):
        while 'state="queued"} 1100' not in (await gateway.observe("/metrics"))[1]:
            pass
    assert await gateway.observe("/healthz") == (200, "ok\n")


async def test_b82_clients_that_take_all_descriptors_leave_those_of_pods_probes_and_metrics(kit, programs):
    pod = await kit.pod()
    config = document(traffic={"queue": {"maxLength": 2000}}, backends=[pod.address])
    gateway = await programs.start(config, before=descriptors(64, 256))
    first = (await gateway.connected(kit)).get()
    job = await pod.next()
    most = int(await gateway.metric("gateway_client_connections_limit"))
    clients = await held(kit, gateway, most - 1)
    async with asyncio.timeout(60):
        while f'state="queued"}} {most - 1}' not in (await gateway.observe("/metrics"))[1]:
            pass
    for _ in range(300 - most):
        assert await (await kit.connect(gateway.port)).ended() == b""
    assert await gateway.observe("/healthz") == (200, "ok\n")
    # Observers that keep their connections cannot lock out the next one either.
    streams = [await asyncio.open_connection("127.0.0.1", gateway.metrics_port) for _ in range(100)]
    assert await gateway.observe("/readyz") == (200, "ok\n")
    for _, writer in streams:
        writer.close()
    for client in (first, *clients):
        job.reply()
        assert (await client.response()).status == 200
        client.close()
        job = await pod.next() if client is not clients[-1] else None


async def test_b83_new_requests_are_refused_while_memory_is_short_and_those_that_are_held_stay(kit):
    overload = Overload(1000)
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod], overload=overload)
    running = (await kit.client(gateway)).get("/running")
    job = await pod.next()
    held = (await kit.client(gateway)).get("/held")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    overload.measure(800)
    refused = await (await kit.client(gateway)).get().response()
    assert (refused.status, refused.body) == (503, b"the gateway is short of memory\n")
    assert int(refused.get(b"retry-after")) >= 1
    assert gateway.proxies[NAME].counts.outcomes[RequestOutcome.OVERLOADED] == 1
    for path, status in (("/healthz", b"200"), ("/metrics", b"200")):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.metrics_port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert status in await in_time(reader.readline())
        writer.close()
    for client in (running, held):
        job.reply()
        assert (await client.response()).status == 200
        job = await pod.next() if client is running else None
    overload.measure(749)
    again = (await kit.client(gateway)).get()
    (await pod.next()).reply()
    assert (await again.response()).status == 200


async def test_b83_bodies_that_fill_the_memory_end_in_503_and_not_in_the_end_of_the_gateway(kit, programs):
    gateway = await programs.start(document(backends=[f"127.0.0.1:{refused_port()}"]))
    (await gateway.connected(kit)).close()
    used = await gateway.metric("gateway_memory_bytes")
    gateway.process.send_signal(signal.SIGTERM)
    # Bodies may take a fourth of it, which is more than what lies between now and the level.
    limit_mib = int(used / (1 << 20) / 0.65)
    gateway = await programs.start(document(backends=[f"127.0.0.1:{refused_port()}"]), f"--memory-limit={limit_mib}Mi")
    (await gateway.connected(kit)).close()
    uploads = []
    # It looks at its memory a few times a second: all that may be sent can be there before it does.
    async with asyncio.timeout(60):
        while not await gateway.metric("gateway_overloaded"):
            if len(uploads) < limit_mib:
                uploads.append(client := await kit.connect(gateway.port))
                client.post("/", bytes(1 << 20))
    refused = await (await kit.connect(gateway.port)).get().response()
    assert refused.status == 503
    assert await gateway.observe("/healthz") == (200, "ok\n")
    for client in uploads:
        client.reset()
    async with asyncio.timeout(60):
        while await gateway.metric("gateway_overloaded"):
            pass


@pytest.fixture
def slow_client():
    """Connects clients whose kernel takes next to nothing for them."""
    made = []

    async def connect(gateway):
        connection = socket.socket()
        made.append(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", gateway.port))
        return connection

    yield connect
    for connection in made:
        connection.close()


async def test_b84_slow_readers_take_no_more_memory_than_their_budget_and_are_given_all_in_the_end(kit, slow_client):
    size, number = 6 << 20, 12
    body = os.urandom(size)

    async def large(request):
        request.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body)
        await request.writer.drain()

    budget = MemoryBudget(3 << 20)
    gateway = await kit.gateway(service(concurrency=number), pods=[await kit.pod(large)], backlog_budget=budget)
    loop = asyncio.get_running_loop()
    clients = [await slow_client(gateway) for _ in range(number)]
    for client in clients:
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: sd.example.com\r\nConnection: close\r\n\r\n")
    most = 0

    def lies():
        return sum(each.transport.get_write_buffer_size() for each in gateway.clients.connections if each.transport)

    async with asyncio.timeout(30):
        while not all(each._backlog.full for each in gateway.clients.connections):
            await asyncio.sleep(0)
            most = max(most, lies())
    assert budget.taken_bytes > budget.limit_bytes // 2
    # What one read brings comes on top before reading pauses.
    assert most < budget.limit_bytes + number * (32 + 256) * 1024
    clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    got = b""
    while data := await in_time(loop.sock_recv(clients[0], 1 << 20)):
        got += data
    assert got.endswith(body)
    for client in clients:
        client.close()
    await until(lambda: not gateway.clients.connections)
    assert budget.taken_bytes == 0


async def test_b84_the_slot_of_a_slow_reader_is_free_while_the_budget_has_room(kit, slow_client):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = await slow_client(gateway)
    await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\nHost: sd.example.com\r\n\r\n")
    job = await pod.next()
    job.reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 19) + bytes(1 << 19))
    await until(lambda: gateway.dispatcher(NAME).running == 0)
    client.close()


@pytest.mark.parametrize("options", [(), ("--host=::1",), ("--host=127.0.0.1", "--metrics-host=::1")])
async def test_b85_it_listens_at_the_given_addresses_and_else_at_all_of_ipv4_and_ipv6(kit, programs, options):
    gateway = await programs.start(document(backends=[f"127.0.0.1:{refused_port()}"]), *options)
    await gateway.said("clients at port")
    clients = {"--host=::1": ["::1"], "--host=127.0.0.1": ["127.0.0.1"]}.get(options[0] if options else "")
    observers = ["::1"] if options else ["127.0.0.1", "::1"]
    for host in ("127.0.0.1", "::1"):
        if clients is None or host in clients:
            client = (await kit.connect(gateway.port, host)).get(host="unknown")
            assert (await client.response()).status == 404
        else:
            with pytest.raises(ConnectionRefusedError):
                await kit.connect(gateway.port, host)
        if host in observers:
            assert await gateway.observe("/healthz", host) == (200, "ok\n")
        else:
            with pytest.raises(ConnectionRefusedError):
                await gateway.observe("/healthz", host)


async def test_b88_a_file_that_takes_long_to_read_holds_up_no_client(kit):
    gateway = await kit.gateway(pods=[await kit.pod(answer_ok)])
    begun, go_on = threading.Event(), threading.Event()

    def load():
        begun.set()
        assert go_on.wait(60)
        return {NAME: service(queue_length=7)}

    loading = asyncio.ensure_future(reload(gateway, load))
    await until(begun.is_set)
    assert (await (await kit.client(gateway)).get().response()).status == 200
    go_on.set()
    assert await loading
    assert gateway.dispatcher(NAME).limits.queue_length == 7


async def test_b88_aliases_that_multiply_are_refused_and_the_next_reload_is_taken(kit, programs):
    pods = [await kit.pod(answer_ok), await kit.pod(answer_ok)]
    gateway = await programs.start(document(backends=[pods[0].address]))
    client = await gateway.connected(kit)
    gateway.config.write_text("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 10}]\n" for n in range(1, 10)))
    assert "services.yaml:1: excessive aliasing" in await gateway.said("not reloaded")
    assert (await client.get().response()).status == 200
    gateway.config.write_text(document(backends=[pods[1].address]))
    await gateway.said("configuration reloaded")
    assert (await client.get().response()).status == 200
    assert [len(pod.seen) for pod in pods] == [1, 1]


async def test_b86_a_name_that_hangs_delays_no_other(kit, name_server):
    pod = await kit.pod(answer_ok)
    name_server.addresses["pod.test"] = ["127.0.0.1"]
    slow = [service(name=f"default/slow{n}", hosts=(f"slow{n}",), backends={"s": f"slow{n}.test:80"}) for n in range(8)]
    gateway = await kit.gateway(
        *slow, service(backends={"pod": f"pod.test:{pod.port}"}), pods=(), resolver=Resolver(name_server)
    )
    for n in range(8):
        for _ in range(4):
            (await kit.client(gateway)).get(host=f"slow{n}")
    await until(lambda: gateway.open == 32)
    assert (await (await kit.client(gateway)).get().response()).status == 200


async def test_b86_a_name_that_moves_is_followed_when_its_old_address_refuses(kit, name_server):
    old = await kit.pod(answer_ok)
    new = await kit.pod(answer_ok, port=old.port, host="127.0.0.2")
    name_server.addresses["pod.test"] = ["127.0.0.1"]
    gateway = await kit.gateway(service(backends={"pod": f"pod.test:{old.port}"}), resolver=Resolver(name_server))
    for _ in range(2):
        assert (await (await kit.client(gateway)).post().response()).status == 200
    name_server.addresses["pod.test"] = ["127.0.0.2"]
    await old.stop()
    for _ in range(2):
        assert (await (await kit.client(gateway)).post().response()).status == 200
    assert (len(old.seen), len(new.seen)) == (2, 2)
    assert gateway.proxies[NAME].counts.retries == 0


async def test_b86_a_name_with_an_address_that_refuses_is_reached_at_its_next(kit, name_server):
    pod = await kit.pod(answer_ok)
    name_server.addresses["pod.test"] = ["127.0.0.3", "127.0.0.1"]
    gateway = await kit.gateway(service(backends={"pod": f"pod.test:{pod.port}"}), resolver=Resolver(name_server))
    assert (await (await kit.client(gateway)).get().response()).status == 200
    assert gateway.proxies[NAME].counts.retries == 0


@pytest.mark.parametrize(("options", "keep_alive_s"), [((), 620.0), (("--keep-alive=5m",), 300.0)])
def test_b87_idle_connections_stay_longer_than_load_balancers_keep_theirs_or_as_long_as_is_said(options, keep_alive_s):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    limits = command._limits(parser.parse_args(["--port=1", "--metrics-port=2", *options]), descriptors=1 << 20)
    assert (limits.keep_alive_s, limits.connections) == (keep_alive_s, 20_000)
