"""The controller of one machine: its services and queries, and that it works with a gateway."""

import asyncio

import pytest

from autoscaler.app.gateway_config import gateway_services
from autoscaler.app.local import controller, queries, services
from autoscaler.gateway.server import GatewayServer
from autoscaler.ports import Query
from autoscaler.runtime.clock import SystemClock
from autoscaler.testing import FakeScaleTarget, policy

QUERY = "sum by (namespace, service) (inflight_requests)"
SERVER = "http://prometheus:9090"
TRAFFIC = {"hosts": ["sd.example.com"]}


# The loop.


def test_every_policy_is_a_service_and_dry_run_writes_nothing():
    built = services([policy("a"), policy("b", mode="DryRun")])
    assert {name: service.writes for name, service in built.items()} == {"default/a": True, "default/b": False}


def test_each_service_has_a_decider_of_its_own():
    built = services([policy("a"), policy("b")])
    assert built["default/a"].decider is not built["default/b"].decider


# Prometheus.


@pytest.mark.parametrize(
    ("metrics", "default", "query"),
    [
        ({}, None, None),
        ({}, SERVER, Query(SERVER, QUERY, "inflight_requests", 15.0)),
        ({"prometheus": {}}, None, None),
        (
            {"prometheus": {"serverAddress": "http://own:9090", "maxSampleAge": "5s"}},
            SERVER,
            Query("http://own:9090", QUERY, "inflight_requests", 5.0),
        ),
        (
            {"prometheus": {"query": "max(a)", "series": "a"}},
            SERVER,
            Query(SERVER, "max(a)", "a", 15.0),
        ),
    ],
)
def test_prometheus_is_asked_where_the_policy_or_the_default_says(metrics, default, query):
    found = queries([policy(metrics=metrics)], default)
    assert found == ({} if query is None else {"default/sd": query})


# Together.


@pytest.mark.real_time
async def test_a_request_that_meets_zero_replicas_is_answered_by_an_order_long_before_the_next_tick():
    woken = policy(traffic=TRAFFIC)
    clock, before = SystemClock(), asyncio.all_tasks()
    gateway = GatewayServer(gateway_services([woken]))
    await gateway.start(port=0, metrics_port=0, hosts=["127.0.0.1"])
    target = FakeScaleTarget([woken.service], clock.now)
    written = asyncio.Queue()
    async with controller(
        [woken],
        clock=clock,
        target=target,
        gateways=[f"127.0.0.1:{gateway.metrics_port}"],
        prometheus=None,
        tick_s=3600.0,
        recorders=[written.put_nowait],
    ) as (control, _streams):
        running = asyncio.create_task(control.run())
        async with asyncio.timeout(60):
            first = await written.get()
            assert first.decision.desired == 0
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: sd.example.com\r\n\r\n")
            record = await written.get()
            while record.outcome is None:
                record = await written.get()
        assert record.decision.desired == 1
        assert (await target.observe([woken.service]))[woken.service].asked == 1
        writer.close()
        running.cancel()
        await asyncio.wait([running])
    await gateway.stop()
    assert asyncio.all_tasks() == before
