"""What gateway and controller say of themselves, judged by Prometheus' own programs: names, formats, exemplars."""

import asyncio
import subprocess
from types import SimpleNamespace

import pytest
from aiohttp import web
from metrics_peers import Prometheus, until

from algorithms.observation import Observation
from algorithms.types import Decision, Recommendation
from autoscaler.accounts import StartTimes
from autoscaler.controller.accounting import Accounting
from autoscaler.controller.metrics import TABLE as OF_CONTROLLER
from autoscaler.controller.metrics import ControllerMetrics
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.reporting.metrics import TABLE as OF_GATEWAY
from autoscaler.gateway.reporting.metrics import text
from autoscaler.gateway.router import Router
from autoscaler.gateway.server import GatewayServer
from autoscaler.policy.cost import Prices
from autoscaler.ports import Fleet, Outcome, Record, Replica
from autoscaler.runtime.prometheus_text import TEXT

pytestmark = [pytest.mark.program, pytest.mark.real_time]

A = "ns/a"
SERVICE = GatewayService(A, hosts=("*",), limits=Limits(concurrency=1))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def of_a_gateway(form):
    return b"".join(text(Router({A: SERVICE}), form))


def of_a_controller(form):
    metrics = ControllerMetrics()
    observation = Observation(2.0, 1.0, 3.0, replicas=2, ready=1)
    metrics(Record(A, observation, Decision(4, Recommendation(4, ""), ()), Outcome(A)))
    accounting = Accounting({A: SimpleNamespace(prices=Prices("EUR", 2.4))}, lambda at_s: at_s, tick_s=2.0)
    started = Replica("a", ready=True, running=0, age_s=1.0, start=StartTimes((("model", 1.0),), 1.0))
    for replicas in ((), (started,), (started,)):
        accounting.saw({A: (observation, Fleet(1, replicas))})
    failures = {"failures": {"Log": 1}, "of_services": {(A, "write"): 1}}
    return b"".join(metrics.text({A}, leads=True, **failures, accounting=accounting, form=form))


@pytest.mark.parametrize("written", [of_a_gateway, of_a_controller])
async def test_promtool_finds_nothing_to_improve_in_names_and_help(promtool_binary, written):
    command = [promtool_binary, "check", "metrics"]
    checked = await asyncio.to_thread(subprocess.run, command, input=written(TEXT), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.parametrize("metric", [*OF_GATEWAY, *OF_CONTROLLER], ids=lambda metric: metric.name)
def test_a_name_ends_as_its_kind_and_its_unit_ask(metric):
    assert metric.name.startswith(("inflight_", "gateway_"))
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind in {"gauge", "counter", "histogram"}
    assert not any(unit in metric.name for unit in ("_ms", "milli", "minute", "hour", "kilo", "mega", "percent"))
    assert metric.labels == () or metric.labels[0] != "service", "a service's name needs its namespace"


class Scraped:
    """A gateway with a pod, and the Prometheus that scrapes it."""

    def __init__(self, gateway, prometheus, session):
        self.gateway, self.prometheus, self.session = gateway, prometheus, session

    async def asks(self, path, **parameters):
        async with self.session.get(f"{self.prometheus.server}/api/v1/{path}", params=parameters) as answer:
            return (await answer.json())["data"]


@pytest.fixture
async def scraped(prometheus_binary, tmp_path, session):
    async def answer(_request):
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway = GatewayServer({A: SERVICE})
    await gateway.start(0, 0, ["127.0.0.1"])
    gateway.set_backends(A, {"p": f"127.0.0.1:{runner.addresses[0][1]}"})
    job = {"job_name": "gateway", "honor_labels": True}
    job["static_configs"] = [{"targets": [f"127.0.0.1:{gateway.metrics_port}"]}]
    peer = Prometheus(prometheus_binary, tmp_path, scrape_configs=[job], flags=["--enable-feature=exemplar-storage"])
    with peer.running():
        yield Scraped(gateway, peer, session)
    await gateway.stop()
    await runner.cleanup()


async def test_a_real_prometheus_takes_openmetrics_and_keeps_the_trace_of_a_slow_bucket(scraped):
    port = scraped.gateway.port
    for flags, parent in (("00", "1" * 32), ("01", TRACE)):
        headers = {"traceparent": f"00-{parent}-00f067aa0ba902b7-{flags}"}
        async with scraped.session.get(f"http://127.0.0.1:{port}/", headers=headers) as answer:
            assert answer.status == 200

    async def exemplars():
        query = {"query": "gateway_response_seconds_bucket", "start": 0, "end": 2e9 + 1e9}
        return await scraped.asks("query_exemplars", **query)

    (found,) = await until(exemplars, bool)
    assert {key: found["seriesLabels"][key] for key in ("namespace", "service")} == {"namespace": "ns", "service": "a"}
    assert [each["labels"] for each in found["exemplars"]] == [{"trace_id": TRACE}], "the other one is kept nowhere"
    (responses,) = (await scraped.asks("query", query='gateway_responses_total{class="2xx"}'))["result"]
    assert responses["value"][1] == "2", "counters keep their names"
    metadata = await scraped.asks("metadata")
    assert metadata["gateway_response_seconds"][0]["unit"] == "seconds"
