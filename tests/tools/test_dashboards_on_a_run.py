"""Every query of the dashboards and rules, asked of a real Prometheus after a real run, against the run's own logs.

The window of each query is the run: it begins at Prometheus' first scrape, and ends at its last one. Counts of
requests come from the gateway's request log, decisions from the decision log, GPU time and cold starts from the demo's
recorder, which looks at the replicas every 5 ms. Tolerances are relative. 8 % is for rates, which Prometheus
extrapolates by up to one scrape; 15 % is for GPU time, which the controller counts in steps of its ticks.
"""

import asyncio
import json
from bisect import bisect_left
from collections import Counter
from math import isnan

import aiohttp
import pytest
import yaml
from alerts import ALERTS, RECORDS
from documentation import ROOT
from panels import DASHBOARDS

from algorithms.distributions import Uniform
from autoscaler.accounts import STATES
from autoscaler.controller.metrics import deciding_rule
from autoscaler.controller.records import from_json
from autoscaler.demo.load import Load, run
from autoscaler.demo.plan import Plan, faster
from autoscaler.demo.stage import staged
from autoscaler.policy.spec import ScalingPolicy

pytestmark = [pytest.mark.real_time, pytest.mark.program]

POLICY = ROOT / "autoscaler" / "demo" / "policy.yaml"
PRICE = 2.4
RATE, GPU_TIME = 0.08, 0.15
SERVICE = {"namespace": "default", "service": "knative-sd-demo"}
SETTLED_S = 2.5
"""So long after the last change, Prometheus has scraped it."""


class Run:
    """What happened, by the logs, and Prometheus afterwards."""

    def __init__(self, session, stage, folder):
        self.session, self.stage = session, stage
        recorder = stage.recorder
        self.ended = list(recorder.ended)
        self.cold_starts = list(recorder.cold_starts_s)
        self.gpu_s, self.idle_s = recorder.gpu_s, recorder.idle_s
        lines = map(json.loads, (folder / "decisions.jsonl").read_text().splitlines())
        self.records = [from_json(line) for line in lines if "policy" not in line]
        self.timeline = list(recorder.timeline)

    async def ask(self, path, **parameters):
        async with self.session.get(f"{self.stage.prometheus}/api/v1/{path}", params=parameters) as answer:
            body = await answer.json()
        assert body["status"] == "success", (parameters, body)
        return body["data"]["result"]

    async def locate(self):
        """Find the first and the last scrape."""
        scrapes = [series["values"] for series in await self.ask("query", query="up[10m]")]
        # A window is open at its left: the first sample lies within it.
        self.begin_s = min(values[0][0] for values in scrapes) - 0.1
        self.end_s = min(values[-1][0] for values in scrapes)
        self.window_s = self.end_s - self.begin_s

    def filled(self, expression):
        window = f"{round(self.window_s * 1000)}ms"
        for name, value in {**SERVICE, "__rate_interval": window, "__range": window}.items():
            expression = expression.replace(f"${name}", value)
        return expression

    async def at_the_end(self, expression):
        """Give the value of each series by its labels, without those of the service."""
        found = await self.ask("query", query=self.filled(expression), time=self.end_s)
        return {_labels(series): float(series["value"][1]) for series in found}

    async def over_time(self, expression):
        """Give the values of the only series, as the run went."""
        found = await self.ask(
            "query_range", query=self.filled(expression), start=self.begin_s, end=self.end_s, step="0.5"
        )
        return {_labels(series): [(at_s, float(value)) for at_s, value in series["values"]] for series in found}

    def responses(self, *classes):
        return sum(each.status is not None and f"{each.status // 100}xx" in classes for each in self.ended)

    def seconds(self, of):
        """Give the wait, or the whole response time, of each request that a pod answered."""
        served = [each for each in self.ended if each.kind == "Count" and each.outcome == "served"]
        return [each.wait_s + (each.service_s if of == "response" else 0.0) for each in served]


def _labels(series):
    return tuple(
        sorted(
            value for name, value in series["metric"].items() if name not in {*SERVICE, "__name__", "instance", "job"}
        )
    )


@pytest.fixture
async def finished(tmp_path, prometheus_binary):
    """A run that is over: 20 requests that start five pods, some that are refused, and everything back at zero."""
    document = yaml.safe_load(POLICY.read_text())
    document["spec"]["traffic"]["queue"] = {"maxLength": 6, "timeout": "10m"}
    document["spec"]["candidates"] = [{"name": "half", "targetUtilization": "50%"}]
    plan = faster(
        Plan(ScalingPolicy.model_validate(document), service_time=Uniform(4, 12), cold_start=Uniform(24, 34)), 10
    )
    host = document["spec"]["traffic"]["hosts"][0]
    async with staged(plan, tmp_path, 0) as stage, aiohttp.ClientSession() as session:
        assert stage.prometheus is not None
        await _scraped(session, stage.prometheus)
        load = Load(f"{stage.address}/sdapi/v1/txt2img", requests=20, workers=5, timeout_s=60, host=host)
        whole = asyncio.create_task(run(load))
        await _until(lambda: stage.recorder.timeline and stage.recorder.last.queued == 5)
        burst = [session.post(load.url, headers={"Host": host}, json={}) for _ in range(4)]
        assert Counter([answer.status for answer in await asyncio.gather(*burst)])[503] >= 3
        result = await whole
        assert not result.errors
        for _ in range(2):
            async with session.get(f"{stage.address}/nothing", headers={"Host": host}) as answer:
                assert answer.status == 404
        await stage.recorder.at_zero()
        at_zero_s = asyncio.get_running_loop().time()
        await _until(lambda: asyncio.get_running_loop().time() >= at_zero_s + SETTLED_S)
        found = Run(session, stage, tmp_path)
        await found.locate()
        yield found


async def _scraped(session, prometheus):
    """Wait until Prometheus has scraped gateway and controller: it cannot know what was counted before."""
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{prometheus}/api/v1/query", params={"query": "sum(up)"}) as answer:
                found = (await answer.json())["data"]["result"]
            if found and float(found[0]["value"][1]) == len(("gateway", "controller")):
                return
            await asyncio.sleep(0.05)


async def _until(condition):
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - the stage tells nobody
            await asyncio.sleep(0.02)


# What each query must give.


def rate(*classes):
    return lambda run: {(): pytest.approx(run.responses(*classes) / run.window_s, rel=RATE)}


def share(run):
    return {(): pytest.approx(run.responses("2xx") / run.responses("2xx", "4xx", "5xx"), rel=0.01)}


async def quantile(run, values, of, metric):
    """Interpolate in the buckets of the metric, as Prometheus does, between counts of our own."""
    series = await run.ask("query", query=f"{metric}_bucket", time=run.end_s)
    bounds = sorted({float(each["metric"]["le"]) for each in series} - {float("inf")})
    counts = Counter(bisect_left(bounds, value) for value in values)
    rank, below = of * len(values), 0
    for index in sorted(counts):
        if below + counts[index] >= rank:
            low, high = ([0.0, *bounds][index], bounds[index])
            return pytest.approx(low + (high - low) * (rank - below) / counts[index], rel=0.03)
        below += counts[index]
    raise AssertionError(values)


def steps(read):
    """Give the numbers of the decision log, each from its time on."""
    return lambda run: [(each.observation.now_s, read(each)) for each in run.records]


def moments(read):
    return lambda run: [(run.stage.recorder.start_s + each.t_s, read(each)) for each in run.timeline]


def follows(points, changes, late_s=1.2):
    """Tell which points are no value that the log had in the scrape interval before the point."""
    wrong = []
    for at_s, value in points:
        before = [number for time_s, number in changes if time_s <= at_s - late_s][-1:]
        within = [number for time_s, number in changes if at_s - late_s < time_s <= at_s + 0.3]
        if value not in {float(number) for number in before + within if number is not None}:
            wrong.append((at_s, value))
    return wrong


GAUGES = {
    "inflight_recommended_replicas": steps(lambda record: record.decision.recommendation.replicas),
    "inflight_desired_replicas": steps(lambda record: record.decision.desired),
    "inflight_replicas": steps(lambda record: record.observation.replicas),
    "inflight_ready_replicas": steps(lambda record: record.observation.ready),
    "inflight_starting_replicas": steps(lambda record: record.observation.starting),
    "inflight_unplaced_replicas": steps(lambda record: record.observation.unplaced),
    "inflight_candidate_desired_replicas": steps(lambda record: dict(record.candidates)["half"].desired),
    "inflight_count_unknown": steps(lambda record: int(record.observation.inflight is None)),
    "inflight_at_max": steps(lambda record: int(any(each.rule == "maxReplicas" for each in record.decision.reasons))),
    "inflight_foreign_writer": steps(lambda _record: 0),
    'state="queued"': moments(lambda moment: moment.queued),
    'state="running"': moments(lambda moment: moment.running),
}


SHOWN = {
    "recommended": "inflight_recommended_replicas",
    "desired": "inflight_desired_replicas",
    "decided": "inflight_desired_replicas",
    "asked for": "inflight_replicas",
    "ready": "inflight_ready_replicas",
    "starting": "inflight_starting_replicas",
    "{{candidate}}": "inflight_candidate_desired_replicas",
    "count unknown": "inflight_count_unknown",
    "at max": "inflight_at_max",
    "another writer": "inflight_foreign_writer",
    "queued": 'state="queued"',
    "running": 'state="running"',
    "Queued": 'state="queued"',
    "Running": 'state="running"',
    "Ready": "inflight_ready_replicas",
    "Desired": "inflight_desired_replicas",
}
"""What is held against the logs, by the legend of a query, or by the title of its panel."""


def gpu_seconds(found, run):
    assert set(found) == {(state,) for state in STATES}
    total = sum(found.values()) * run.window_s
    assert total == pytest.approx(run.gpu_s, rel=GPU_TIME)
    assert found["idle",] * run.window_s == pytest.approx(run.idle_s, rel=GPU_TIME)
    busy = sum(each.service_s for each in run.ended if each.kind == "Count" and each.outcome == "served")
    assert found["busy",] * run.window_s == pytest.approx(busy, rel=GPU_TIME)


def cost_per_hour(found, run):
    assert found == {("EUR",): pytest.approx(run.gpu_s / run.window_s * PRICE, rel=GPU_TIME)}


def cost(found, run):
    assert found == {("EUR",): pytest.approx(run.gpu_s / 3600 * PRICE, rel=GPU_TIME)}


def stages(found, run):
    mean = sum(run.cold_starts) / len(run.cold_starts)
    assert set(found) == {("container",), ("model",), ("total",)}
    assert found["total",] == pytest.approx(mean, abs=0.1)
    assert found["container",] + found["model",] == pytest.approx(found["total",])


def rules(found, run):
    seen = Counter(deciding_rule(each.decision) for each in run.records if each.observation.now_s <= run.end_s)
    assert {rule for (rule,), number in found.items() if number} == set(seen)
    for rule, number in seen.items():
        assert found[rule,] == pytest.approx(number, abs=6), rule


def by_class(found, run):
    for name in ("2xx", "4xx", "5xx"):
        assert found[name,] == pytest.approx(run.responses(name) / run.window_s, rel=RATE)


def nothing(found, _run):
    assert all(value == 0 for value in found.values()), found


def shares(found, _run):
    """Quotes are graded in tests of their own; here a share is a share, and not a number if nobody had a quote."""
    assert all(isnan(value) or 0.0 <= value <= 1.0 for value in found.values())


ENDS = {
    "Request volume": rate("2xx", "4xx", "5xx"),
    "Success rate": share,
    "4xx": rate("4xx"),
    "5xx": rate("5xx"),
}
CHECKS = {
    "Responses": by_class,
    "GPUs by state": gpu_seconds,
    "Cost per hour": cost_per_hour,
    "Cost in this range": cost,
    "Cold starts by stage": stages,
    "Decisions by rule": rules,
    "Quotes kept": shares,
    "leaders": lambda found, _run: _equal(found, {(): 1.0}),
    "without a place": nothing,
}
QUANTILES = {"P50": 0.5, "P90": 0.9, "P95": 0.95, "P99": 0.99}


def _equal(found, expected):
    assert found == expected


async def check(run, panel, query):
    """Hold one query against the logs; raises AssertionError."""
    title, legend, expression = panel.title, query.legend, query.expression
    gauge = SHOWN.get(legend) or SHOWN.get(title)
    if title in ENDS and "topk" not in expression:
        assert await run.at_the_end(expression) == ENDS[title](run)
    elif "histogram_quantile" in expression:
        await check_quantile(run, expression, QUANTILES.get(legend, 0.95))
    elif title == "5xx":
        assert await run.at_the_end(expression) == ENDS["5xx"](run)
    elif title == "Oldest wait":
        await check_oldest_wait(run, expression)
    elif (holds := CHECKS.get(title) or CHECKS.get(legend)) is not None:
        holds(await run.at_the_end(expression), run)
    elif gauge is not None:
        (points,) = (await run.over_time(expression)).values()
        assert len(points) > run.window_s
        assert follows(points, GAUGES[gauge](run)) == [], points
    else:
        assert title == "Requests in flight", f"{title}, {legend}: nothing holds it against the logs"
        for (state,), points in (await run.over_time(expression)).items():
            assert follows(points, GAUGES[f'state="{state}"'](run)) == []


async def check_quantile(run, expression, of):
    if "cold_start" in expression:
        expected = await quantile(run, run.cold_starts, of, "inflight_cold_start_seconds")
    elif "wait" in expression:
        expected = await quantile(run, run.seconds("wait"), of, "gateway_wait_seconds")
    else:
        expected = await quantile(run, run.seconds("response"), of, "gateway_response_seconds")
    assert await run.at_the_end(expression) == {(): expected}


async def check_oldest_wait(run, expression):
    """The oldest wait is never longer than the longest wait, and is that of a request that waited then."""
    (points,) = (await run.over_time(expression)).values()
    waits = [(each.arrival, each.arrival + each.wait_s) for each in run.ended if each.wait_s]
    assert max(value for _, value in points) > 0
    for at_s, value in points:
        possible = [
            0.0,
            *(min(at_s, end_s) - begin_s for begin_s, end_s in waits if begin_s - 0.1 <= at_s <= end_s + 1.2),
        ]
        assert 0.0 <= value <= max(possible) + 0.2


RECORDED = {
    "service:inflight_requests_queued:sum": lambda _run: {(): 0.0},
    "service:gateway_responses:rate5m": lambda run: {
        (name,): pytest.approx(run.responses(name) / 300, rel=RATE) for name in ("1xx", "2xx", "3xx", "4xx", "5xx")
    },
}
EXPECTED = {
    "InflightRequestsRefused": lambda run: {
        (): pytest.approx(sum(each.outcome == "queue_full" for each in run.ended) / len(run.ended), rel=0.01)
    }
}


async def problems_of_record(run, name, expression):
    if "quantile" in expression:
        try:
            await check_quantile(run, expression, 0.9 if name.endswith(":p90") else 0.95)
        except AssertionError as error:
            return [f"{name}: {error}"]
        return []
    found = await run.at_the_end(expression)
    if name == "service:inflight_gpus:rate5m":
        total = sum(found.values()) * 300
        return [] if total == pytest.approx(run.gpu_s, rel=GPU_TIME) else [f"{name}: {total}, {run.gpu_s}"]
    expected = RECORDED[name](run)
    return [] if found == expected else [f"{name}: {found}, {expected}"]


async def test_every_query_gives_what_the_logs_of_the_run_say(finished):
    failed = []
    asked = [
        (dashboard.title, panel, query)
        for dashboard in DASHBOARDS
        for _, panels in dashboard.rows
        for panel in panels
        for query in panel.queries
    ]
    for dashboard, panel, query in asked:
        try:
            await check(finished, panel, query)
        except AssertionError as error:
            failed.append(f"{dashboard}, {panel.title}, {query.legend}: {error}")
    for name, expression in RECORDS.items():
        failed += await problems_of_record(finished, name, expression)
    for alert in ALERTS:
        found = await finished.at_the_end(_with_records(alert.expression))
        if found != EXPECTED.get(alert.name, lambda _run: {})(finished):
            failed.append(f"{alert.name}: {found}")
    assert not failed, "\n".join(failed)


def _with_records(expression):
    """Write what is recorded in place of its name: this Prometheus evaluates no rules."""
    for name, recorded in RECORDS.items():
        expression = expression.replace(name, f"({recorded})")
    return expression
