"""`autoscaler trace export`: from a real Prometheus that scraped a real gateway, and from the gateway's request log."""

import asyncio
import csv
import json
import socket
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from autoscaler import cli
from autoscaler.demo.prometheus import prometheus
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.request_log import RequestLog, RequestRecord
from autoscaler.gateway.server import GatewayServer
from autoscaler.runtime.background_writer import BackgroundWriter
from simulations.traces.recorded import Arrivals, arrivals, inflight_columns, trace_of_counts, trace_of_log

SERVICE = "default/sd"
HOST = "sd.example.com"
PATIENCE_S = 60
NAN = float("nan")


def lines(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def seconds(missing):
    """How long the span is that a line names."""
    _, began, _, ended, *_ = missing.replace("Z:", "Z").split()
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


@asynccontextmanager
async def pod():
    """A pod that answers at once, at its `host:port`."""

    async def work(_request):
        return web.Response(text="done")

    app = web.Application()
    app.router.add_post("/work", work)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway(backend, metrics_port=0, on_ended=None):
    service = GatewayService(SERVICE, (HOST,), Limits(), backends={backend: backend})
    started = GatewayServer({SERVICE: service}, on_ended=on_ended)
    await started.start(0, metrics_port, ["127.0.0.1"])
    try:
        yield started
    finally:
        await started.stop()


async def send(gateway_, count):
    async with aiohttp.ClientSession() as session:
        for _ in range(count):
            url = f"http://127.0.0.1:{gateway_.port}/work"
            async with session.post(url, data=b"{}", headers={"Host": HOST}) as answer:
                assert answer.status == 200


async def scraped(server, expression):
    """Wait until Prometheus finds something."""
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        while True:
            async with session.post(f"{server}/api/v1/query", data={"query": expression}) as answer:
                if (await answer.json())["data"]["result"]:
                    return
            await asyncio.sleep(0.1)


ARRIVED = f'gateway_arrived_requests_total{{namespace="default",service="{SERVICE.partition("/")[2]}"}}'


async def counted(server, count):
    """Wait until two scrapes have found a count: whole seconds, at which history is read, then know it as well."""
    await scraped(server, f"min_over_time({ARRIVED}[3s]) == {count} and count_over_time({ARRIVED}[3s]) > 1")


@pytest.fixture
async def history(tmp_path, prometheus_binary):
    """A Prometheus that scraped a gateway, nothing for some seconds, and another one at its port."""
    port = free_port()
    scraping = prometheus(prometheus_binary, tmp_path / "prometheus", {"gateway": f"127.0.0.1:{port}"})
    async with pod() as backend, scraping as server:
        async with gateway(backend, port) as first:
            await counted(server, 0)
            await send(first, 5)
            await counted(server, 5)
        await scraped(server, "max_over_time(up[3s]) == 0")
        async with gateway(backend, port) as second:
            await counted(server, 0)
            await send(second, 3)
            await counted(server, 3)
            yield server


@pytest.mark.program
@pytest.mark.real_time
async def test_a_day_of_history_is_read_in_chunks_and_gaps_in_prometheus_are_left_out(history, tmp_path, capsys):
    out, inflight = tmp_path / "trace.csv", tmp_path / "inflight.csv"
    command = ["trace", "export", str(out), f"--service={SERVICE}", f"--prometheus={history}", "--step=1"]
    assert await asyncio.to_thread(cli.main, [*command, f"--inflight={inflight}"]) == 0
    told = capsys.readouterr()
    times = [float(row["arrival_s"]) for row in lines(out)]
    assert len(times) == 8
    assert times == sorted(times)
    before, *outages = told.err.splitlines()
    assert all(line.startswith("missing: 20") and "no data" in line for line in (before, *outages))
    assert seconds(before) > 86000, "a day ago there was no Prometheus"
    assert 3 <= max(map(seconds, outages)) < PATIENCE_S
    rows = lines(inflight)
    assert len(rows) == 86401
    assert {row["running"] for row in rows} == {"", "0"}
    assert f"{out}: 8 requests in" in told.out


@pytest.mark.program
@pytest.mark.real_time
async def test_what_cannot_be_exported_is_reported_in_one_line(history, tmp_path, capsys):
    async def told(*words):
        command = ["trace", "export", str(tmp_path / "t.csv"), *words]
        status = await asyncio.to_thread(cli.main, command)
        return status, capsys.readouterr().err

    ours = f"--prometheus={history}"
    status, error = await told("--service=default/other", ours)
    assert status == 2
    assert "Prometheus has no counter of default/other in this time; --step 15 must be at least" in error
    status, error = await told("--service=default/sd", ours, "--arrivals=not PromQL")
    assert status == 2
    assert "parse error" in error
    status, error = await told("--service=default/sd", "--prometheus=http://127.0.0.1:1", "--to=0", "--from=-9")
    assert status == 2
    assert error.startswith("trace: http://127.0.0.1:1: ")
    now = datetime.now(UTC).timestamp()
    status, error = await told("--service=default/sd", ours, f"--from={now}", f"--to={now + 3}")
    assert (status, error) == (2, "trace: --to must be at least a step of 15 s after --from\n")


@pytest.mark.real_time
async def test_a_request_log_is_exported_with_the_service_time_of_each(tmp_path, capsys):
    log, out = tmp_path / "requests.jsonl", tmp_path / "trace.jsonl"
    writer = BackgroundWriter(log, "the request log")
    async with pod() as backend, gateway(backend, on_ended=RequestLog(writer)) as running:
        await send(running, 4)
    writer.close()
    assert cli.main(["trace", "export", str(out), f"--service={SERVICE}", f"--request-log={log}"]) == 0
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    first = logged[0]["arrival"]
    assert [row["arrival_s"] for row in rows] == pytest.approx([line["arrival"] - first for line in logged], abs=1e-5)
    assert [row["service_s"] for row in rows] == pytest.approx([line["service_s"] for line in logged], abs=1e-5)
    assert capsys.readouterr().out.startswith(f"{out}: 4 requests in 0 s")


def test_options_that_mean_nothing_for_a_log_are_refused(tmp_path, capsys):
    log = tmp_path / "requests.jsonl"
    log.touch()
    command = ["trace", "export", f"--service={SERVICE}", "--request-log", str(log), str(tmp_path / "t.csv")]
    assert cli.main([*command, "--inflight", str(tmp_path / "i.csv")]) == 2
    assert capsys.readouterr().err == "trace: --inflight and --arrivals are for --prometheus\n"


def test_without_its_extra_the_command_says_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "autoscaler.sources.prometheus_export", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_api_client", None)
    command = ["trace", "export", str(tmp_path / "t.csv"), f"--service={SERVICE}", "--prometheus=http://127.0.0.1:1"]
    assert cli.main(command) == 2
    assert "pip install 'inflight-autoscaler[history]'" in capsys.readouterr().err


def ended(arrival, service_s=None, outcome="served", kind="Count", service=SERVICE):
    return RequestRecord(service, "g-1", kind, arrival, 0.0, service_s, outcome)._asdict()


def test_only_counted_requests_of_the_service_in_the_time_are_read_from_a_request_log():
    log = [
        ended(107.0, 2.0),
        ended(103.0, 1.5),
        ended(104.0, 0.7, "abandoned_running"),
        ended(105.0, None, "queue_full"),
        ended(106.0, None, "asleep"),
        ended(106.0, 1.0, kind="Pass"),
        ended(106.0, 1.0, service="default/other"),
        ended(99.0, 1.0),
        ended(120.0, 1.0),
    ]
    trace = trace_of_log(log, SERVICE, 100.0, 120.0)
    assert trace.arrival_s.tolist() == [0.0, 1.0, 2.0, 4.0]
    np.testing.assert_array_equal(trace.service_s, [1.5, NAN, NAN, 2.0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}\n", "requests.jsonl:1: service: is required in a line of a request log\n"),
        ("7\n", "requests.jsonl:1: 7: must be an object, a line of a request log\n"),
        ("[1]\n", "requests.jsonl:1: [1]: must be an object, a line of a request log\n"),
        ("{\n", "requests.jsonl:1: not a line of a request log: "),
        ("", f"trace: there is no request of {SERVICE} in this time\n"),
        ('{"service": "default/s', f"trace: there is no request of {SERVICE} in this time\n"),
    ],
    ids=["another object", "a number", "a list", "no JSON", "empty", "being written"],
)
def test_a_file_that_is_no_request_log_is_reported_in_one_line(tmp_path, capsys, text, problem):
    log = tmp_path / "requests.jsonl"
    log.write_text(text)
    command = ["trace", "export", str(tmp_path / "t.csv"), f"--service={SERVICE}", f"--request-log={log}"]
    assert cli.main(command) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("service_s", '"x"', 'service_s: "x": must be a number of seconds, 0 or more, or null'),
        ("service_s", "[1]", "service_s: [1]: must be a number of seconds, 0 or more, or null"),
        ("service_s", "-1", "service_s: -1: must be a number of seconds, 0 or more, or null"),
        ("service_s", "1e400", "service_s: Infinity: must be a number of seconds, 0 or more, or null"),
        ("service_s", "NaN", "service_s: NaN: must be a number of seconds, 0 or more, or null"),
        ("service_s", "true", "service_s: true: must be a number of seconds, 0 or more, or null"),
        ("service_s", "null", "service_s: null: must be a number of seconds, 0 or more, as the request was served"),
        ("arrival", "null", "arrival: null: must be a number of seconds, 0 or more"),
        ("outcome", "7", "outcome: 7: must be a text"),
    ],
)
def test_an_illegal_value_in_a_request_log_is_named_with_its_file_and_line(tmp_path, capsys, key, value, problem):
    log, out = tmp_path / "requests.jsonl", tmp_path / "t.csv"
    bad = json.dumps(ended(101.0, 1.0) | {key: "?"}).replace('"?"', value)
    log.write_text(f"{json.dumps(ended(100.0, 1.0))}\n{bad}\n")
    assert cli.main(["trace", "export", str(out), f"--service={SERVICE}", f"--request-log={log}"]) == 2
    assert capsys.readouterr().err == f"trace: {log}:2: {problem}\n"
    assert not out.exists()


def test_the_increase_of_all_counters_is_the_number_of_arrivals():
    found = arrivals([{0: 10, 1: 12, 2: 12, 3: 15}, {1: 100, 2: 104, 3: 104}], 4)
    assert found == Arrivals((2, 4, 3), ())
    assert found.missing == ()


def test_an_interval_in_which_one_gateway_has_a_gap_is_unknown():
    found = arrivals([{0: 10, 1: 12, 2: 12, 3: 15, 4: 15}, {0: 1, 1: 1, 3: 9, 4: 9}], 6)
    assert found.counts == (2, None, None, 0, None)
    assert [tuple(span) for span in found.missing] == [(1, 3), (4, 5)]


def test_a_counter_reset_counts_from_zero_and_is_reported():
    assert arrivals([{0: 10, 1: 3, 2: 4}], 3) == Arrivals((3, 1), (0,))


def test_unknown_intervals_take_no_time_in_a_trace():
    found = Arrivals((None, 2, 0, None, None, 3), ())
    times = trace_of_counts(found, 10.0).arrival_s
    assert [int(t // 10) for t in times] == [0, 0, 2, 2, 2]
    assert times.tolist() == trace_of_counts(found, 10.0).arrival_s.tolist()
    assert len(trace_of_counts(Arrivals((None, None), ()), 10.0)) == 0


def test_requests_in_flight_are_known_where_all_gateways_that_live_are():
    columns = inflight_columns({"queued": [{0: 1, 1: 2, 3: 4}, {1: 10, 2: 10}], "running": []}, 5, 15.0)
    assert columns["t_s"].tolist() == [0.0, 15.0, 30.0, 45.0, 60.0]
    np.testing.assert_array_equal(columns["queued"], [1, 12, NAN, 4, NAN])
    assert np.isnan(columns["running"]).all()
