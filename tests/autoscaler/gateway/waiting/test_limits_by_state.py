"""A start and a busy service have limits of their own, and answers of their own."""

import pytest
from gateway_kit import NAME, service, until
from peers_kit import TakerKit

from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.dispatch.types import QueueLimits

pytestmark = pytest.mark.real_time

APART = {"none_ready": QueueLimits(1, 600.0), "all_busy": QueueLimits(0, 600.0)}


def outcomes(gateway):
    return {outcome for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


async def test_b103_beyond_the_limit_of_a_start_is_503_and_beyond_that_of_a_busy_service_429(kit):
    gateway = await kit.gateway(service(**APART))
    await beyond_both_limits(kit, gateway)


async def test_b103_a_gateway_that_asks_the_owner_gives_the_same_answers():
    kit = TakerKit()
    try:
        await beyond_both_limits(kit, await kit.gateway(service(**APART)))
    finally:
        await kit.close()


async def beyond_both_limits(kit, gateway):
    pod = await kit.pod()
    waits = (await kit.client(gateway)).post("/waits")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    refused = await (await kit.client(gateway)).get("/beyond").response()
    assert (refused.status, refused.body) == (503, b"the queue is full\n")
    assert int(refused.get(b"Retry-After")) >= 1
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    await until(lambda: gateway.dispatcher(NAME).ready)
    refused = await (await kit.client(gateway)).get("/beyond").response()
    assert (refused.status, refused.body) == (429, b"every pod is busy, and the queue is full\n")
    assert int(refused.get(b"Retry-After")) >= 1
    assert outcomes(gateway) == {RequestOutcome.QUEUE_FULL, RequestOutcome.ALL_BUSY}
    await job.body()
    job.reply()
    assert (await waits.response()).status == 200


async def test_b103_without_limits_of_its_own_a_busy_service_answers_503_as_before(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(queue_length=0), pods=[pod])
    (await kit.client(gateway)).post("/runs")
    await pod.next()
    assert (await (await kit.client(gateway)).get("/beyond").response()).status == 503
