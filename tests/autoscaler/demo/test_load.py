"""The load, made by our client and by hey: the same requests, the same account, whatever the server does."""

import asyncio
import uuid
from pathlib import Path

import pytest
from aiohttp import web

from autoscaler.demo.load import UNEXPLAINED, Load, LoadError, run, run_hey
from autoscaler.demo.load_result import LoadResult, Response

pytestmark = pytest.mark.real_time

HEADER = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"


class Server:
    """Answers by plan: a status for each request, in order of arrival, then 200; None hangs up, 0 never answers."""

    def __init__(self):
        self.plan = []
        self.requests = []
        self.most_at_once = 0
        self.at_once = 0
        self.gather = 1
        self._gathered = asyncio.Event()

    async def handle(self, request):
        body = await request.text()
        self.requests.append((request.method, request.path, request.host, request.content_type, body))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request)
        finally:
            self.at_once -= 1

    async def _answer(self, request):
        status = self.plan.pop(0) if self.plan else 200
        if len(self.requests) >= self.gather:
            self._gathered.set()
        await self._gathered.wait()
        if status == 0:
            await asyncio.Event().wait()
        if status is None:
            request.transport.abort()
        return web.json_response({"images": []}, status=status or 200)


@pytest.fixture
async def server():
    served = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/sdapi/v1/txt2img"
    yield served
    await runner.cleanup()


@pytest.fixture(params=["ours", pytest.param("hey", marks=pytest.mark.program)])
def make(request):
    if request.param == "ours":
        return run
    program = request.getfixturevalue("hey_binary")
    return lambda load: run_hey(program, load)


async def test_the_reference_load_is_fifty_times_the_same_request_by_five_workers(server, make):
    server.gather = 5

    result = await make(Load(server.url, host="knative-sd-demo.default.example.com"))

    sent = ("POST", "/sdapi/v1/txt2img", "knative-sd-demo.default.example.com", "application/json")
    assert server.requests == [(*sent, '{"prompt": "pretty dog"}')] * 50
    assert server.most_at_once == 5
    assert [answer.status for answer in result.answers] == [200] * 50
    assert result.errors == {}


async def test_a_load_can_be_of_another_kind(server, make):
    load = Load(server.url, requests=2, workers=1, method="PUT", content_type="text/plain", body="hello", timeout_s=0)

    await make(load)

    host = server.url.split("/")[2]
    assert server.requests == [("PUT", "/sdapi/v1/txt2img", host, "text/plain", "hello")] * 2


async def test_a_remainder_that_the_workers_cannot_share_is_not_sent(server, make):
    result = await make(Load(server.url, requests=14, workers=5))

    assert len(server.requests) == len(result.answers) == 10


async def test_statuses_are_told_apart_and_an_error_status_is_an_answer(server, make):
    server.plan = [200, 503, 429, 503, 200, 500]

    result = await make(Load(server.url, requests=6, workers=1))

    assert [answer.status for answer in result.answers] == [200, 503, 429, 503, 200, 500]
    assert result.errors == {}


async def test_requests_that_are_hung_up_on_are_errors_and_the_worker_goes_on(server, make):
    server.plan = [200, None, 200, None, 200]

    result = await make(Load(server.url, requests=5, workers=1))

    assert [answer.status for answer in result.answers] == [200] * 3
    assert sum(result.errors.values()) == 2


async def test_a_server_that_is_not_there_makes_every_request_an_error(make):
    result = await make(Load("http://127.0.0.1:1/", requests=10, workers=2))

    assert result.answers == ()
    assert sum(result.errors.values()) == 10
    assert result.total_s > 0


async def test_a_request_without_an_answer_ends_at_its_time_out(server, make):
    server.plan = [0, 200]

    result = await make(Load(server.url, requests=2, workers=1, timeout_s=0.5))

    assert [answer.status for answer in result.answers] == [200]
    assert sum(result.errors.values()) == 1


async def test_the_parts_of_an_answer_fit_into_it_and_all_answers_into_the_load(server, make):
    result = await make(Load(server.url, requests=6, workers=2))

    rounding_s = 0.0005
    for answer in result.answers:
        parts_s = answer.dialup_s + answer.write_s + answer.wait_s + answer.read_s
        assert min(answer) >= 0
        assert answer.dns_s <= answer.dialup_s + rounding_s
        assert parts_s <= answer.latency_s + rounding_s
        assert answer.offset_s + answer.latency_s <= result.total_s + rounding_s
    # One connection for each worker at the most: who comes late takes the one that is idle by then.
    assert 1 <= sum(answer.dialup_s > 0 for answer in result.answers) <= 2


async def test_our_client_says_why_there_was_no_answer_and_how_large_an_answer_was(server):
    server.plan = [None, 0, 200]

    result = await run(Load(server.url, requests=3, workers=1, timeout_s=0.5))

    assert [answer.size for answer in result.answers] == [len('{"images": []}')]
    hung_up, timed_out = result.errors
    assert hung_up.startswith(f'Post "{server.url}": ')
    assert timed_out == f'Post "{server.url}": no response within 0.5 s'


@pytest.mark.program
async def test_what_hey_does_not_explain_is_counted_as_unexplained(hey_binary):
    result = await run_hey(hey_binary, Load("http://127.0.0.1:1/", requests=3, workers=1))

    assert result.errors == {UNEXPLAINED: 3}


# A hey that misbehaves.


def lives(pid):
    return Path(f"/proc/{pid}/exe").exists()


def program(folder, script):
    path = folder / "hey"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


async def test_heys_lines_are_read_by_their_columns(tmp_path):
    hey = program(tmp_path, f"echo {HEADER}; echo 0.5000,0.0007,0.0001,0.0002,0.4500,0.0003,200,0.0100")

    result = await run_hey(hey, Load("http://localhost/", requests=1, workers=1))

    assert result == LoadResult(0.51, (Response(0.5, 0.0007, 0.0001, 0.0002, 0.45, 0.0003, 200, 0.01),), {})


async def test_hey_is_given_whole_seconds_of_patience(tmp_path):
    hey = program(tmp_path, 'echo "$@" >&2; exit 1')

    with pytest.raises(LoadError, match=r"-t 23 .*-o csv http://localhost/"):
        await run_hey(hey, Load("http://localhost/", timeout_s=22.5))


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo no such flag >&2; exit 2", "ended with status 2: no such flag"),
        ("kill -9 $$", "ended with status -9"),
        ("echo Summary:", "printed what is no result: its first line is 'Summary:'"),
        ("true", "printed what is no result: its first line is ''"),
        (f"echo {HEADER}; echo 1,2,3", "printed what is no result"),
        (f"echo {HEADER}; echo 1,2,3,4,5,6,OK,0", "printed what is no result"),
    ],
)
async def test_a_hey_that_fails_or_prints_something_else_is_an_error_that_says_so(tmp_path, script, complaint):
    with pytest.raises(LoadError, match=complaint):
        await run_hey(program(tmp_path, script), Load("http://localhost/"))


async def test_a_hey_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(LoadError, match="hey cannot be started: No such file or directory"):
        await run_hey(tmp_path / "hey", Load("http://localhost/"))


async def test_hey_goes_when_nobody_waits_for_it_any_more(tmp_path):
    mark = uuid.uuid4().hex
    pid_file = tmp_path / mark
    hey = program(tmp_path, f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 600")
    running = asyncio.create_task(run_hey(hey, Load("http://localhost/")))
    async with asyncio.timeout(30):
        while not pid_file.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not lives(pid_file.read_text().strip())


# The load itself.


@pytest.mark.parametrize(("requests", "workers"), [(4, 5), (0, 0), (5, 0), (-1, -1)])
def test_a_load_without_work_for_every_worker_is_refused(requests, workers):
    with pytest.raises(ValueError, match="1 <= workers <= requests"):
        Load("http://localhost/", requests=requests, workers=workers)


def test_a_result_is_scaled_in_all_its_times_and_in_nothing_else():
    result = LoadResult(10.0, (Response(1, 2, 3, 4, 5, 6, 200, 7, 8),), {"lost": 9})

    assert result.scaled(10) == LoadResult(100.0, (Response(10, 20, 30, 40, 50, 60, 200, 70, 8),), {"lost": 9})
