"""The demo with everything for real: its verdict and account, its end at any moment, replicas that die under load."""

import asyncio
import json
import os
import random
import re
import signal
import sys
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from algorithms.distributions import Constant
from autoscaler.controller.replay import Replay
from autoscaler.demo.plan import Plan
from autoscaler.demo.stage import staged
from autoscaler.testing import policy

pytestmark = [pytest.mark.real_time, pytest.mark.program]

PATIENCE_S = 120
ROOT = Path(__file__).parents[3]
SMALL = ["-n", "6", "-c", "2", "--speed", "20", "--service-time", "constant(4)", "--cold-start", "constant(4)"]
MARK = "INFLIGHT_TEST_MARK"


def processes_of(mark):
    """Every living process that was started by us or by one that was, and so on."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            variables = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdecimal() else []
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in variables:
            found.append(int(entry.name))
    return found


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # processes tell nobody
            await asyncio.sleep(0.02)


class Demo:
    """A demo that runs as a process of its own, in a session of its own."""

    def __init__(self, process, mark):
        self.process = process
        self.mark = mark
        self.lines = []

    async def line_with(self, text):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"it ended before it said {text!r}: {self.lines}"
                self.lines.append(line)
                if re.search(text, line):
                    return line

    async def ended(self):
        async with asyncio.timeout(PATIENCE_S):
            out, err = await self.process.communicate()
        return self.process.returncode, "".join(self.lines) + out.decode(), err.decode()


@pytest.fixture
async def demo(tmp_path, prometheus_binary, hey_binary):
    """Start demos; at the end of a test none of their processes may be left."""
    mark = uuid.uuid4().hex
    slow = (ROOT / "autoscaler" / "demo" / "policy.yaml").read_text().replace("toZeroDelay: 30s", "toZeroDelay: 24h")
    (tmp_path / "slow.yaml").write_text(slow)

    @asynccontextmanager
    async def start(*words):
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "autoscaler", "demo", *SMALL, "--folder", str(tmp_path / "demo"), *words),
            stdout=pipe,
            stderr=pipe,
            cwd=tmp_path,
            env=os.environ | {MARK: mark},
            start_new_session=True,
        )
        try:
            yield Demo(process, mark)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    yield start
    try:
        await until(lambda: not processes_of(mark))
    except TimeoutError:
        left = processes_of(mark)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        pytest.fail(f"{len(left)} processes were left behind")


# From beginning to end.


async def test_a_small_run_passes_and_its_json_holds_everything(demo, tmp_path):
    # Ten times as fast is slow enough for a machine that is busy: each request has 18 s.
    async with demo("--speed", "10", "--json", str(tmp_path / "result.json")) as run:
        status, out, err = await run.ended()
    assert (status, err) == (0, ""), out
    for words in (
        "Counts come from Prometheus",
        "in flight ",
        "Summary:",
        "[200]\t6 responses",
        "Replicas over time:",
        "GPU-seconds used:",
        "Idle seconds:",
        "Cold starts:       2",
        "Verdict: passed: 6 of 6 answers",
    ):
        assert words in out

    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["problems"], result["peak"], result["overlaps"], result["unreported"]) == ([], 2, 0, [])
    assert [answer["status"] for answer in result["load"]["answers"]] == [200] * 6
    assert result["load"]["errors"] == {}
    assert min(answer["latency_s"] for answer in result["load"]["answers"]) >= 4.0
    assert [moment["asked"] for moment in (result["timeline"][0], result["timeline"][-1])] == [0, 0]
    assert result["decisions"]
    assert len(result["cold_starts_s"]) == 2
    assert min(result["cold_starts_s"]) >= 4.0
    # Six pictures of 4 s each were made, and the replicas held their GPUs for at least that and two cold starts.
    assert result["gpu_s"] > result["idle_s"] > 0
    assert result["gpu_s"] - result["idle_s"] >= 6 * 4.0 + 2 * 4.0 - 1.0

    log = [json.loads(line) for line in (tmp_path / "demo" / "decisions.jsonl").read_text().splitlines()]
    replayed = list(Replay().lines(log))
    assert len(replayed) == len(result["decisions"])
    assert {line["service"] for line in log} == {"default/knative-sd-demo"}
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]


# Ctrl-C.


# Progress is told once a second, so a moment that a test waits for has to last: requests that take long, or replicas
# that stay.
SERVES_LONG = ["--speed", "1", "-n", "2", "--service-time", "constant(1000)", "--cold-start", "constant(0.2)"]
STAYS_LONG = ["-n", "2", "--policy", "slow.yaml"]


@pytest.mark.parametrize(
    ("words", "moment", "to"),
    [
        ([], r"Counts come from", "the demo"),
        ([], r"Gateway ", "its terminal"),
        (SERVES_LONG, r"in flight   2 .*ready   2", "the demo"),
        (SERVES_LONG, r"in flight   2 .*ready   2", "its terminal"),
        ([*SERVES_LONG, "--cold-start", "constant(1000)"], r"in flight   2 .*desired   2   ready   0", "the demo"),
        (STAYS_LONG, r"in flight   0 .*ready   [12]", "its terminal"),
    ],
)
async def test_ctrl_c_at_any_moment_ends_with_130_and_leaves_no_process(demo, words, moment, to):
    async with demo(*words) as run:
        await run.line_with(moment)
        os.kill(run.process.pid if to == "the demo" else -run.process.pid, signal.SIGINT)
        status, _, err = await run.ended()
    assert status == 130
    assert "Traceback" not in err


async def test_ctrl_c_again_while_it_ends_leaves_no_process_either(demo):
    async with demo(*SERVES_LONG) as run:
        await run.line_with("in flight   2")
        for _ in range(3):
            run.process.send_signal(signal.SIGINT)
        await run.ended()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_however_it_is_killed_it_leaves_no_process(demo, number):
    async with demo(*SERVES_LONG) as run:
        await run.line_with("in flight   2")
        run.process.send_signal(number)
        status, _, _ = await run.ended()
    assert status == -number


async def test_kept_it_tells_the_result_and_goes_on_until_ctrl_c(demo, tmp_path):
    async with demo("--keep", "-n", "2", "--json", str(tmp_path / "result.json")) as run:
        await run.line_with("Verdict:")
        await run.line_with("Still running, until Ctrl-C")
        assert json.loads((tmp_path / "result.json").read_text())["load"]["answers"]
        curl = await run.line_with("curl -H")
        host, address = curl.split("'")[1].removeprefix("Host: "), curl.split()[-1]
        async with aiohttp.ClientSession() as session, session.get(address, headers={"Host": host}) as answer:
            assert answer.status == 200
        run.process.send_signal(signal.SIGINT)
        status, _, _ = await run.ended()
    assert status == 130


# Replicas that die.


REQUESTS, CLIENTS = 32, 4


def deadly_plan():
    deadly = policy(
        algorithm={"mpa": {}},
        scaleDown={"toZeroDelay": "0s"},
        traffic={
            "hosts": ["sd.example.com"],
            "queue": {"timeout": "60s"},
            "requestTimeout": "60s",
            "paths": [{"match": ["/sdapi/v1/txt2img"], "class": "Count"}, {"match": ["/*"], "class": "Pass"}],
        },
    )
    return Plan(deadly, service_time=Constant(0.15), cold_start=Constant(0.1), tick_s=0.2, speed=10.0)


async def send(address, random_streams):
    """Send one request after the other; give what each was answered."""
    headers, answers = {"Host": "sd.example.com"}, []
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(REQUESTS // CLIENTS):
            body = {"prompt": f"dog {random_streams.random()}"}
            async with session.post(f"{address}/sdapi/v1/txt2img", json=body) as answer:
                answers.append((answer.status, await answer.text()))
    return answers


def port_of(pid):
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return words[words.index("--port") + 1]


async def report(session, pid):
    """Ask a replica for its account; None where it does not answer any more, or not yet."""
    try:
        async with session.get(f"http://127.0.0.1:{port_of(pid)}/standin/report") as answer:
            return await answer.json()
    except (aiohttp.ClientError, OSError, ValueError):
        return None


async def kill_at_random(target, random_streams, last_words):
    """Kill a replica that serves, again and again, each after it was asked for its account."""
    async with aiohttp.ClientSession() as session:
        while True:
            await asyncio.sleep(random_streams.uniform(0.3, 1.0))
            for pid in random_streams.sample(sorted(target.processes().values()), k=len(target.processes())):
                account = await report(session, pid)
                if account is not None:
                    os.kill(pid, signal.SIGKILL)
                    last_words.append(account)
                    break


def counters(text):
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    outcomes = {
        sample.labels["reason"]: int(sample.value) for sample in samples if sample.name == "gateway_requests_total"
    }
    inflight = sum(sample.value for sample in samples if sample.name == "inflight_requests")
    return {reason: count for reason, count in outcomes.items() if count}, inflight


async def test_every_request_is_accounted_for_while_replicas_are_killed_at_random(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no Prometheus: the stream alone
    random_streams, last_words = random.Random(7), []  # noqa: S311
    async with staged(deadly_plan(), tmp_path, 0) as stage:
        killing = asyncio.create_task(kill_at_random(stage.target, random_streams, last_words))
        async with asyncio.timeout(PATIENCE_S):
            answered = await asyncio.gather(*(send(stage.address, random_streams) for _ in range(CLIENTS)))
        killing.cancel()
        await asyncio.wait([killing])
        async with asyncio.timeout(PATIENCE_S):
            await stage.recorder.at_zero()
        async with aiohttp.ClientSession() as session, session.get(stage.metrics) as metrics:
            outcomes, inflight = counters(await metrics.text())

    answers = [answer for client in answered for answer in client]
    statuses = Counter(status for status, _ in answers)
    assert last_words, "nobody was killed"
    # The client's account: each request has one answer, and one that was not served says why.
    assert sum(statuses.values()) == REQUESTS
    assert set(statuses) <= {200, 502, 503, 504}
    assert all(text.strip() for _, text in answers)
    # The gateway's account is the same one, and nothing is left in it.
    assert sum(outcomes.values()) == REQUESTS
    assert outcomes.get("served", 0) == statuses[200]
    assert (
        sum(count for reason, count in outcomes.items() if reason.startswith(("upstream", "invalid"))) == statuses[502]
    )
    assert inflight == 0
    # The replicas' account: those that ended by themselves, and the last words of those that were killed, each of
    # which may have answered one more between its words and its end. None was ever given two at once.
    ended = [json.loads(line) for log in tmp_path.glob("replicas/*/*.log") for line in log.read_text().splitlines()]
    accounts = [*last_words, *(account for line in ended for account in line.values())]
    served = sum(account["served"] for account in accounts)
    assert served <= statuses[200] <= served + len(last_words)
    assert {account["overlaps"] for account in accounts} == {0}
    assert max(account["peak"] for account in accounts) == 1
