"""The request log: every request has one line, with what it waited for and how it ended."""

import argparse
import asyncio
import json

import pytest
from gateway_kit import HOST, NAME, OK, PASS_ALL, answer_ok, service, until

from autoscaler.commands import gateway as command
from autoscaler.gateway.request_log import RequestRecord, client_address

ENDED = RequestRecord(NAME, "g-1", "Count", 1000.5, 1.25, None, "queue_timeout")


@pytest.mark.real_time
async def test_every_request_is_logged_once_with_its_wait_its_service_and_its_outcome(kit):
    log = []
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_ALL, queue_length=2), pods=[pod], on_ended=log.append)
    first = (await kit.client(gateway)).post("/work-1")
    job = await pod.next()
    gone = (await kit.client(gateway)).post("/work-gone")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    second = (await kit.client(gateway)).post("/work-2")
    await until(lambda: gateway.dispatcher(NAME).queued == 2)
    assert (await (await kit.client(gateway)).post("/work-3").response()).status == 503
    gone.close()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    passing = (await kit.client(gateway)).get("/progress")
    progress = await pod.next()
    progress.reply()
    await passing.response()
    await job.body()
    came_s = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() > came_s)  # uvloop's time has whole milliseconds
    job.reply()
    await first.response()
    job = await pod.next()
    await job.body()
    job.reset()
    assert (await second.response()).status == 502

    assert [(each.kind, each.outcome) for each in log] == [
        ("Count", "queue_full"),
        ("Count", "abandoned_queued"),
        ("Pass", "served"),
        ("Count", "served"),
        ("Count", "upstream_reset"),
    ]
    refused, abandoned, progressed, served, cut = log
    assert {each.service for each in log} == {NAME}
    assert len({each.request_id for each in log}) == len(log)
    for each in (refused, abandoned):
        assert each.wait_s is each.service_s is None
    assert [(each.method, each.path, each.status) for each in log] == [
        ("POST", "/work-3", 503),
        ("POST", "/work-gone", None),
        ("GET", "/progress", 200),
        ("POST", "/work-1", 200),
        ("POST", "/work-2", 502),
    ]
    assert {each.client for each in log} == {"127.0.0.1"}
    assert (served.received_bytes, served.sent_bytes) == (len(b"{}"), len(OK))
    assert (abandoned.sent_bytes, progressed.received_bytes) == (0, 0)
    assert served.wait_s == progressed.wait_s == 0.0
    assert cut.wait_s > 0
    assert served.arrival <= abandoned.arrival <= cut.arrival <= cut.arrival + cut.wait_s
    assert served.arrival + served.service_s == pytest.approx(cut.arrival + cut.wait_s, abs=0.5)


def test_each_request_is_a_line_of_the_file(tmp_path):
    for lines in (1, 2):
        with command._request_log(tmp_path / "requests.jsonl") as log:
            log(ENDED)
        written = (tmp_path / "requests.jsonl").read_text().splitlines()
        assert len(written) == lines, "a gateway that restarts appends"
    assert {**json.loads(written[0]), "trace": None} == ENDED._asdict(), "its spans go elsewhere"


def test_without_a_file_nothing_is_logged():
    with command._request_log(None) as log:
        assert log is None


def test_a_log_that_cannot_be_opened_is_named_and_nothing_is_served(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    nowhere = tmp_path / "missing" / "log"
    config = tmp_path / "unread.yaml"
    words = f"--config {config} --port 0 --metrics-port 0 --request-log {nowhere}".split()
    assert command.run(parser.parse_args(words)) == 2
    assert str(nowhere) in capsys.readouterr().err


@pytest.mark.real_time
@pytest.mark.parametrize("lines", [(), ("X-Request-Id: theirs-\xe9",), ("X-Request-Id: a", "X-Request-Id: b")])
async def test_a_request_has_the_id_that_its_pod_saw(kit, lines):
    log = []
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod], on_ended=log.append)
    client = await kit.client(gateway)
    head = ["GET /?token=secret HTTP/1.1", f"Host: {HOST}", *lines, "", ""]
    client.send("\r\n".join(head).encode("latin-1"))
    job = await pod.next()
    job.reply()
    await client.response()
    (line,) = log
    assert [line.request_id.encode("latin-1")] == job.all(b"x-request-id")
    assert line.path == "/", "a query may hold secrets"


@pytest.mark.real_time
async def test_what_was_sent_is_counted_for_each_request_of_a_connection_by_itself(kit):
    log = []
    gateway = await kit.gateway(pods=[await kit.pod(answer_ok)], on_ended=log.append)
    client = await kit.client(gateway)
    for _ in range(3):
        await client.get().response()
    assert {(each.status, each.sent_bytes) for each in log} == {(200, len(OK))}


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ([], "10.0.0.1"),
        ([b"203.0.113.9"], "203.0.113.9"),
        ([b"198.51.100.1, 203.0.113.9", b"10.0.0.2"], "203.0.113.9"),
        ([b"10.0.0.3"], "10.0.0.3"),
        ([b"203.0.113.9, nonsense"], "nonsense"),
        ([b"203.0.113.9, "], "10.0.0.1"),
    ],
)
def test_behind_trusted_proxies_the_client_is_the_last_that_is_none(forwarded_for, client):
    assert client_address("10.0.0.1", forwarded_for, lambda address: address.startswith("10.")) == client


def test_what_an_untrusted_client_says_of_others_is_not_believed():
    assert client_address("203.0.113.9", [b"10.0.0.1"], lambda address: address.startswith("10.")) == "203.0.113.9"
