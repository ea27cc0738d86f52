"""`autoscaler run` as the program that it is: what it logs and shows, and how it ends."""

import asyncio
import json
import signal

import pytest
from cluster_kit import PolicyCluster, define_policies
from run_process import PATIENCE_S, running

pytestmark = [pytest.mark.program, pytest.mark.real_time]


@pytest.fixture
async def cluster(control_plane, namespace):
    await asyncio.to_thread(define_policies, control_plane)
    return PolicyCluster(control_plane, namespace)


async def holder(cluster):
    leases = cluster.path("apis/coordination.k8s.io/v1", "leases")
    return (await cluster.ask("get", f"{leases}/inflight-controller"))["spec"]["holderIdentity"]


async def test_what_it_shows_and_logs_and_that_it_gives_the_lease_back_when_it_is_told_to_end(cluster, tmp_path):
    await cluster.make()
    await cluster.apply(minReplicas=1)
    async with running(cluster, tmp_path) as controller:
        await cluster.replicas_are(1)
        assert await controller.get("/healthz") == (200, "ok\n")
        assert await controller.get("/readyz") == (200, "ok\n")
        shown = json.loads((await controller.get("/status"))[1])[f"{cluster.namespace}/web"]
        assert shown["desired"] == 1
        assert await controller.metric("inflight_controller_leader") == {(): 1}
        assert await controller.metric("inflight_desired_replicas") == {(cluster.namespace, "web"): 1}
        assert await holder(cluster) == "me"

        controller.process.send_signal(signal.SIGTERM)
        assert await controller.ended() == 0
        assert await holder(cluster) == ""
        (decided,) = [line for line in controller.lines() if line.get("desired") == 1]
        assert (decided["service"], decided["before"]) == (f"{cluster.namespace}/web", 0)
        assert (decided["rules"], decided["inflight"]) == (["minReplicas"], None)


async def test_a_gateway_that_is_down_keeps_it_from_being_ready_for_a_moment_only(cluster, tmp_path):
    async with running(cluster, tmp_path, "--gateway=127.0.0.1:1") as controller:
        async with asyncio.timeout(PATIENCE_S):
            while await controller.get("/readyz") != (200, "ok\n"):  # noqa: ASYNC110 - another program's state
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy=gone.yaml"], "run: gone.yaml: "),
        (["--prometheus-credentials=gone.yaml"], "run: gone.yaml: "),
        (["--prometheus=http://me:secret@p"], "argument --prometheus: must not have a user name or a password in it"),
        (["--prometheus-servers=http://p,http://q?"], "argument --prometheus-servers: must be http://HOST:PORT/PATH"),
        (["--decisions=/gone/decisions.jsonl"], "run: [Errno 2] No such file or directory: '/gone/decisions.jsonl'"),
    ],
)
async def test_what_cannot_be_used_from_the_start_is_said_and_ends_it(cluster, tmp_path, options, said):
    async with running(cluster, tmp_path, *options) as controller:
        assert await controller.ended() == 2
    log = (tmp_path / "run.log").read_text()
    assert said in log
    assert "secret" not in log


PLANTED = "planted-secret"
ECHOES = [
    b"HTTP/1.1 401 %s\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n%s",
    b"HTTP/1.1 302 Found\r\nLocation: http://h/%s?%s\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: a/%s\r\nContent-Length: 14\r\n\r\n%s",
    b'HTTP/1.1 400 No\r\nContent-Type: application/json\r\n\r\n{"status": "error", "errorType": "%s", "error": "%s"}',
    b"HTTP/1.1 200 OK\r\nX: \x00%s\r\n%s",
]
"""Answers that repeat what they were asked with, wherever they can."""


async def test_no_secret_and_no_word_of_an_answer_is_in_anything_that_is_said(cluster, tmp_path):
    answered = []

    async def echo(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ECHOES[len(answered) % len(ECHOES)] % (PLANTED.encode(), PLANTED.encode()))
        answered.append(True)
        writer.close()

    await cluster.make()
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        address = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        (tmp_path / "token").write_text(PLANTED)
        known = {"address": address, "authorization": {"credentials_file": "token"}}
        known |= {"http_headers": {"X-Scope-OrgID": {"files": ["token"]}}}
        (tmp_path / "servers.yaml").write_text(json.dumps({"servers": [known]}))
        await cluster.apply(metrics={"prometheus": {"serverAddress": address}})
        options = (
            f"--prometheus-credentials={tmp_path / 'servers.yaml'}",
            f"--decisions={tmp_path / 'decisions.jsonl'}",
        )
        async with running(cluster, tmp_path, *options) as controller:
            status = await cluster.policy_is(
                lambda status: "Prometheus at" in json.dumps(status), deadline_s=PATIENCE_S
            )
            async with asyncio.timeout(PATIENCE_S):
                while len(answered) < 2 * len(ECHOES):  # noqa: ASYNC110 - another program's state
                    await asyncio.sleep(0.1)
            said = [json.dumps(status), *[(await controller.get(path))[1] for path in ("/status", "/metrics")]]
            policy = await cluster.ask("get", f"{cluster.policies}/web")
            events = [f"{reason} {note}" for reason, note in await cluster.events()]
    said += [json.dumps(policy), *events, *[(tmp_path / name).read_text() for name in ("run.log", "decisions.jsonl")]]
    assert "Prometheus at" in said[-1]
    assert not [text for text in said if PLANTED in text]
