"""Both controllers end and start anew, with a real Prometheus that remembers: nothing that a user sees changes."""

import asyncio
import re
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cluster_kit import QUICK, free_port, until
from in_process import paint, web_uis

from autoscaler.demo.prometheus import prometheus

pytestmark = [pytest.mark.program, pytest.mark.real_time]

CLIENTS = 3
DELAY_S = 20


@asynccontextmanager
async def load(session, gateway):
    """Keep so many requests in flight while the block runs, each client one after the other."""

    async def client():
        while not over.is_set():
            statuses.append(await paint(session, gateway))

    statuses, over = [], asyncio.Event()
    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    try:
        yield statuses
    finally:
        over.set()
        await asyncio.gather(*clients)


@asynccontextmanager
async def both(installation, **options):
    """Run two controllers, and give the one that leads."""
    async with installation.controller("one", **options) as one, installation.controller("two", **options) as two:
        await until(lambda: one.leads() or two.leads())
        yield one if one.leads() else two


def zero_since_s(records):
    """Give since when zero has been wished for, by each record that says so."""
    found = []
    for record in records:
        for reason in record.decision.reasons:
            if reason.rule == "scaleDown.toZeroDelay":
                (waited_s,) = re.findall("for ([0-9.]+) of", reason.why)
                found.append(record.observation.now_s - float(waited_s))
    return found


def backfilled(records):
    """Give the records since the past was there: those in which nothing is held up for lack of it."""
    rules = [{reason.rule for reason in record.decision.reasons} for record in records]
    last = max((place for place, each in enumerate(rules) if "backfill" in each), default=-1)
    return records[last + 1 :]


async def test_windows_are_there_delays_run_on_and_nothing_dips(installation, tmp_path, prometheus_binary):
    await installation.make()
    port = free_port()
    await installation.apply(
        traffic={"hosts": ["sd.example.com"], "port": port},
        **QUICK | {"scaleDown": {"toZeroDelay": f"{DELAY_S}s"}},
    )
    async with (
        web_uis(port, 0.3),
        installation.gateway() as gateway,
        aiohttp.ClientSession() as session,
        prometheus(
            prometheus_binary, tmp_path, {"gateway": (address := f"127.0.0.1:{gateway.metrics_port}")}
        ) as server,
    ):
        options = {"gateways": (address,), "prometheus": server}
        async with load(session, gateway) as statuses:
            async with both(installation, **options) as first:
                await installation.replicas_are(CLIENTS)
                await until(lambda: first.records and first.records[-1].observation.ready == CLIENTS)
            async with both(installation, **options) as second:
                await until(lambda: len(second.records) > 20)
                assert {record.decision.desired for record in second.records} == {CLIENTS}
        assert set(statuses) == {200}

        async with both(installation, **options) as third:
            # Seconds of the window in which there was load, and then some of the delay.
            await until(
                lambda: (since := zero_since_s(third.records)) and third.records[-1].observation.now_s - since[-1] > 4
            )
            before_s = zero_since_s(third.records)[-1]
        async with both(installation, **options) as fourth:
            await installation.replicas_are(0)
        after_s = zero_since_s(backfilled(fourth.records))
        assert after_s
        assert after_s[-1] == pytest.approx(before_s, abs=5), "scrapes are a second apart, or late, and so are ticks"
