"""The request log: every request has one line, with what it waited for and how it ended."""

import argparse
import asyncio
import io
import json

import pytest
from gateway_kit import NAME, PASS_ALL, service, until

from autoscaler.commands import gateway as command
from autoscaler.gateway.request_log import Ended, RequestLog

ENDED = Ended(NAME, "g-1", "Count", 1000.5, 1.25, None, "queue_timeout")


@pytest.mark.real_time
async def test_every_request_is_told_of_once_with_its_wait_its_service_and_its_end(kit):
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
    assert served.wait_s == progressed.wait_s == 0.0
    assert cut.wait_s > 0
    assert served.arrival <= abandoned.arrival <= cut.arrival <= cut.arrival + cut.wait_s
    assert served.arrival + served.service_s == pytest.approx(cut.arrival + cut.wait_s, abs=0.5)


def test_a_line_is_written_as_soon_as_a_request_has_ended(tmp_path):
    with command._request_log(tmp_path / "requests.jsonl") as log:
        log(ENDED)
        (line,) = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert json.loads(line) == ENDED._asdict()
    with command._request_log(tmp_path / "requests.jsonl") as log:
        log(ENDED)
    assert len((tmp_path / "requests.jsonl").read_text().splitlines()) == 2, "a gateway that restarts appends"


def test_without_a_file_nothing_is_logged():
    with command._request_log(None) as log:
        assert log is None


class FullDisk(io.StringIO):
    def __init__(self):
        super().__init__()
        self.attempts = 0

    def flush(self):
        self.attempts += 1
        raise OSError(28, "No space left on device")


def test_a_full_disk_ends_the_log_and_says_so_once(caplog):
    disk = FullDisk()
    log = RequestLog(disk)
    log(ENDED)
    log(ENDED)
    assert disk.attempts == 1
    assert [record.getMessage() for record in caplog.records] == [
        "the request log ends here, nothing more is written to it: [Errno 28] No space left on device"
    ]


def test_a_log_that_cannot_be_opened_is_named_and_nothing_is_served(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    nowhere = tmp_path / "missing" / "log"
    config = tmp_path / "unread.yaml"
    words = f"--config {config} --port 0 --metrics-port 0 --request-log {nowhere}".split()
    assert command.run(parser.parse_args(words)) == 2
    assert str(nowhere) in capsys.readouterr().err
