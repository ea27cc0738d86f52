"""Behaviours 43 to 50 of docs/reference/gateway.md: pods that die, timeouts, draining, metrics, reloading."""

import asyncio
import json
import os
import signal
import socket
import sys

import pytest
from gateway_kit import HOST, NAME, PASS_ALL, answer_ok, refused_port, service, until
from prometheus_client.parser import text_string_to_metric_families
from test_behaviours_streaming import HANDSHAKE, SWITCH

from autoscaler.gateway.config import Affinity, Timeouts
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.http.tunnel import GOING_AWAY
from autoscaler.gateway.lifecycle import reload, watch_config
from autoscaler.runtime.files import FileWatch

pytestmark = pytest.mark.real_time


def outcomes(gateway):
    return {outcome: n for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


async def metrics(kit, gateway):
    text = (await (await kit.observe(gateway, "/metrics")).read()).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples, name, **labels):
    return samples[(name, *sorted({"namespace": "default", "service": "sd", **labels}.items()))]


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_b43_a_pod_that_dies_with_a_request_is_502_at_once(kit, end):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).post()
    job = await pod.next()
    await job.body()
    getattr(job, end)()
    assert (await client.response()).status == 502
    assert outcomes(gateway) == {RequestOutcome.UPSTREAM_RESET: 1}


@pytest.mark.parametrize("drained", [False, True])
async def test_b43_what_runs_on_a_lost_node_ends_when_its_pod_is_removed_and_the_kernel_asks_too(kit, drained):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).post()
    job = await pod.next()
    (exchange,) = gateway.proxies[NAME].pods.listed["p0"].open
    found = exchange._connection._transport.get_extra_info("socket")
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000
    if drained:
        gateway.drain_backend(NAME, "p0")
    gateway.remove_backend(NAME, "p0")
    assert (await client.response()).status == 502
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0


async def test_b44_no_first_byte_in_time_is_504(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(response_start_s=0.05)), pods=[pod])
    client = (await kit.client(gateway)).post()
    job = await pod.next()
    assert (await client.response()).status == 504
    await job.gone()
    assert outcomes(gateway) == {RequestOutcome.UPSTREAM_TIMEOUT: 1}


async def test_b44_too_long_in_all_breaks_off_what_has_begun(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(request_s=1)), pods=[pod])
    client = (await kit.client(gateway)).post()
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await client.head()
    assert await client.ended() == b"half"
    assert outcomes(gateway) == {RequestOutcome.UPSTREAM_TIMEOUT: 1}


async def test_b44_paths_may_have_their_own_timeout_and_the_queue_is_not_part_of_it(kit):
    pod = await kit.pod()
    paths = (PathRule(("/quick",), SlotUse.PASS, request_timeout_s=0.05),)
    gateway = await kit.gateway(service(paths=paths, timeouts=Timeouts(request_s=3)), pods=[pod])
    first = (await kit.client(gateway)).post("/slow")
    job = await pod.next()
    held = (await kit.client(gateway)).post("/held")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    assert (await (await kit.client(gateway)).get("/quick").response()).status == 504
    await asyncio.sleep(1.6)
    await job.body()
    job.reply()
    assert (await first.response()).status == 200
    await pod.next()
    job = await pod.next()
    assert job.target == "/held"
    await asyncio.sleep(1.6)
    await job.body()
    job.reply()
    assert (await held.response()).status == 200


async def test_b45_draining_finishes_open_requests_and_notifies_websockets(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(concurrency=2), pods=[pod])
    running = (await kit.client(gateway)).post("/running")
    job = await pod.next()
    tunnel = await kit.client(gateway)
    tunnel.send(HANDSHAKE)
    switched = await pod.next()
    switched.send(SWITCH)
    await tunnel.head()
    held = (await kit.client(gateway)).post("/held")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    draining = asyncio.ensure_future(gateway.drain(propagation_s=1, grace_s=1))
    await until(lambda: gateway.draining)
    ready = (await (await kit.observe(gateway, "/readyz")).read()).decode()
    assert ready == "draining\n"
    late = (await kit.client(gateway)).get("/late", host="unknown")
    assert (await late.response()).get(b"connection") == b"close"
    await job.body()
    job.reply()
    served = await running.response()
    assert (served.status, served.get(b"connection")) == (200, b"close")
    second = await pod.next()
    assert second.target == "/held"
    (await kit.client(gateway)).post("/never")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    await draining
    with pytest.raises(ConnectionRefusedError):
        await kit.client(gateway)
    assert await tunnel.ended() == GOING_AWAY
    await second.body()
    second.reply()
    assert (await held.response()).status == 200


async def test_b45_a_request_held_at_the_end_of_draining_gets_503(kit):
    gateway = await kit.gateway()
    held = (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    await gateway.drain(0, 0.05)
    response = await held.response()
    assert (response.status, response.get(b"connection")) == (503, b"close")
    assert int(response.get(b"retry-after")) >= 1
    assert outcomes(gateway) == {RequestOutcome.DRAINED: 1}


SERVE = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from gateway_kit import service
from autoscaler.gateway.lifecycle import ShutdownTimeouts, serve
config = {{"default/sd": service(backends={{"p0": sys.argv[1]}})}}
port, metrics_port = int(sys.argv[2]), int(sys.argv[3])
asyncio.run(serve(lambda: config, port=port, metrics_port=metrics_port, shutdown=ShutdownTimeouts(0.0, 60.0)))
"""


async def serving(kit, pod):
    port, metrics_port = refused_port(), refused_port()
    script = SERVE.format(tests=os.path.dirname(__file__))  # noqa: PTH120
    arguments = (sys.executable, "-c", script, pod.address, str(port), str(metrics_port))
    process = await asyncio.create_subprocess_exec(*arguments)
    while True:
        try:
            client = await kit.connect(port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return process, client


async def test_b45_sigterm_lets_the_last_request_end_and_exits_with_0(kit):
    pod = await kit.pod()
    process, client = await serving(kit, pod)
    client.post()
    job = await pod.next()
    process.send_signal(signal.SIGTERM)
    await job.body()
    job.reply()
    assert (await client.response()).body == b"ok"
    assert await process.wait() == 0


async def test_b45_a_second_sigterm_ends_it_at_once(kit):
    pod = await kit.pod()
    process, client = await serving(kit, pod)
    client.post()
    job = await pod.next()
    process.send_signal(signal.SIGTERM)
    # The first signal has been taken when the port no longer listens.
    port = client.writer.get_extra_info("peername")[1]
    while True:
        try:
            (await kit.connect(port)).close()
        except OSError:
            break
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    await job.gone()


async def test_b46_every_series_is_there_from_the_start_and_says_0(kit):
    gateway = await kit.gateway(service(paths=PASS_ALL))
    samples = await metrics(kit, gateway)
    assert of(samples, "inflight_requests", state="queued") == 0
    assert of(samples, "inflight_requests", state="running") == 0
    assert of(samples, "inflight_seconds_total") == 0
    assert of(samples, "gateway_oldest_wait_seconds") == 0
    assert of(samples, "gateway_passing_requests") == 0
    assert of(samples, "gateway_websocket_open") == 0
    assert of(samples, "gateway_retries_total") == 0
    assert of(samples, "gateway_abandoned_late_total") == 0
    assert of(samples, "gateway_wait_seconds_count") == 0
    assert of(samples, "gateway_service_seconds_count") == 0
    for outcome in RequestOutcome:
        assert of(samples, "gateway_requests_total", reason=outcome.value) == 0
    assert samples[("gateway_start_time_seconds",)] == pytest.approx(gateway.started_s)


async def test_b46_metrics_tell_what_is_and_what_was(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    running = (await kit.client(gateway)).post()
    job = await pod.next()
    gone = (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    while not of(samples := await metrics(kit, gateway), "gateway_oldest_wait_seconds"):
        pass  # uvloop's time has whole milliseconds
    assert of(samples, "inflight_requests", state="queued") == 1
    assert of(samples, "inflight_requests", state="running") == 1
    assert of(samples, "gateway_pod_running_requests", pod="p0") == 1
    gone.close()
    await until(lambda: gateway.dispatcher(NAME).queued == 0)
    await job.body()
    job.reply()
    await running.response()
    samples = await metrics(kit, gateway)
    assert of(samples, "inflight_requests", state="queued") == 0
    assert of(samples, "inflight_requests", state="running") == 0
    assert of(samples, "inflight_seconds_total") > 0
    assert of(samples, "gateway_requests_total", reason="served") == 1
    assert of(samples, "gateway_requests_total", reason="abandoned_queued") == 1
    assert of(samples, "gateway_wait_seconds_count") == 1
    assert of(samples, "gateway_wait_seconds_bucket", le="600.0") == 1
    assert of(samples, "gateway_service_seconds_bucket", le="+Inf") == 1


async def test_b48_a_change_reaches_the_stream_within_the_time_that_collects_changes(kit):
    gateway = await kit.gateway()
    stream = await kit.observe(gateway, "/v1/inflight")
    await stream.readline()
    for _ in range(5):
        (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued == 5)
    told = json.loads(await stream.readline())
    while told["services"][NAME]["queued"] < 5:
        told = json.loads(await stream.readline())
    assert told["services"][NAME]["running"] == 0


async def test_b48_requests_are_held_without_a_reader_of_the_stream(kit):
    gateway = await kit.gateway(service(queue_timeout_s=0.1))
    assert not gateway.watchers
    assert (await (await kit.client(gateway)).post().response()).status == 504


async def test_b48_a_reader_that_disconnects_is_forgotten(kit):
    gateway = await kit.gateway()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.metrics_port)
    writer.write(b"GET /v1/inflight HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readline()
    await until(lambda: gateway.watchers)
    writer.close()
    await until(lambda: not gateway.watchers)


async def test_b49_without_news_of_the_pods_the_last_known_ones_serve(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(service(backends={"p0": pod.address}))

    def unreadable():
        raise OSError("no such file")

    def broken():
        raise ValueError("line 3: what is this?")

    for load in (unreadable, broken):
        assert not await reload(gateway, load)
        assert (await (await kit.client(gateway)).get().response()).body == b"ok"


async def test_b49_a_service_whose_pods_the_cluster_lists_keeps_them_over_a_reload(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod])
    assert await reload(gateway, lambda: {NAME: service(queue_length=7)})
    assert gateway.dispatcher(NAME).limits.queue_length == 7
    assert gateway.dispatcher(NAME).ready == ("p0",)


async def test_b50_a_reload_loses_no_held_and_no_running_request(kit):
    old, new = await kit.pod(), await kit.pod()
    gateway = await kit.gateway(service(backends={"old": old.address}))
    running = (await kit.client(gateway)).post("/running")
    job = await old.next()
    held = (await kit.client(gateway)).post("/held")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    changed = service(backends={"new": new.address}, hosts=(HOST, "b"), affinity=Affinity("sd", 60), paths=PASS_ALL)
    assert await reload(gateway, lambda: {NAME: changed, "default/b": service(name="default/b", hosts=("x",))})
    moved = await new.next()
    assert moved.target == "/held"
    for request, client in ((job, running), (moved, held)):
        await request.body()
        request.reply()
        assert (await client.response()).status == 200
    assert gateway.dispatcher(NAME).backends == ("new",)
    assert gateway.dispatcher("default/b").backends == ()


async def test_b50_a_service_that_is_gone_rejects_held_requests_and_finishes_running_ones(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    running = (await kit.client(gateway)).post("/running")
    job = await pod.next()
    held = (await kit.client(gateway)).post("/held")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    assert await reload(gateway, dict)
    assert (await held.response()).status == 503
    await job.body()
    job.reply()
    assert (await running.response()).status == 200
    assert (await (await kit.client(gateway)).get().response()).status == 404


async def test_b50_the_file_is_watched_for_changes(kit, tmp_path, caplog):
    file = tmp_path / "policies.yaml"
    file.write_text("1")
    gateway = await kit.gateway()
    watching = asyncio.ensure_future(
        watch_config(gateway, FileWatch([file]), lambda: {NAME: service(queue_length=int(file.read_text()))})
    )
    await asyncio.sleep(0)
    for text in ("7", "nonsense", "23"):
        file.write_text(text)
        if text.isdigit():
            await until(lambda text=text: gateway.dispatcher(NAME).limits.queue_length == int(text))
        else:
            await until(lambda: "not reloaded" in caplog.text)
            assert gateway.dispatcher(NAME).limits.queue_length == 7
    watching.cancel()
