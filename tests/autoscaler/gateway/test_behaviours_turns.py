"""Behaviours 78, 79 and 89 of docs/reference/gateway.md: whose turn it is, over real sockets."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from gateway_kit import NAME, service, until

from autoscaler.gateway.dispatch.turn_rules import ClassMatch, Fairness, Identity, PriorityClass
from autoscaler.gateway.reporting.metrics import text
from autoscaler.runtime.prometheus_text import TEXT

pytestmark = pytest.mark.real_time

GOLD = PriorityClass("gold", (ClassMatch(header=("x-tier", "gold")),))
OTHERS = PriorityClass("others")
BATCH = PriorityClass("batch", (ClassMatch(paths=("/batch*",)),))
PROXY = ip_network("127.0.0.0/8")


async def order(kit, gateway, pod, *requests):
    """Send requests behind one that runs, and return their targets in the order in which the pod gets them."""
    await arrive(kit, gateway, "/first")
    for number, (target, *lines) in enumerate(requests, 1):
        await arrive(kit, gateway, target, *lines)
        await until(lambda number=number: gateway.dispatcher(NAME).queued == number)
    served = []
    for _ in range(1 + len(requests)):
        job = await pod.next()
        served.append(job.target)
        job.reply()
    return served[1:]


async def arrive(kit, gateway, target, *lines):
    (await kit.client(gateway)).get(target, *lines)
    await until(lambda: gateway.dispatcher(NAME).running)


async def test_b78_a_higher_class_goes_first_and_a_lower_one_has_its_share(kit):
    classes = service(shares=(0, 0.25, 0.25))
    pod = await kit.pod()
    gateway = await kit.gateway(replace(classes, classes=(GOLD, OTHERS, BATCH)), pods=[pod], trusted_proxies=(PROXY,))
    batch = [(f"/batch{n}",) for n in range(2)]
    gold = [(f"/gold{n}", "X-Tier: gold") for n in range(6)]
    assert await order(kit, gateway, pod, *batch, ("/other",), *gold) == [
        "/gold0",
        "/gold1",
        "/gold2",
        "/other",
        "/batch0",
        "/gold3",
        "/gold4",
        "/batch1",
        "/gold5",
    ]


async def test_b78_a_header_of_a_client_gives_no_class(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(replace(service(shares=(0, 0)), classes=(GOLD, OTHERS)), pods=[pod])
    assert await order(kit, gateway, pod, ("/a",), ("/b", "X-Tier: gold")) == ["/a", "/b"]


async def test_b79_one_clients_requests_do_not_stand_before_the_first_of_another(kit):
    fair = replace(service(), fairness=Fairness(Identity.COOKIE, "id"))
    pod = await kit.pod()
    gateway = await kit.gateway(fair, pods=[pod])
    many = [(f"/a{n}", "Cookie: id=a") for n in range(5)]
    assert (await order(kit, gateway, pod, *many, ("/b", "Cookie: id=b")))[:3] == ["/a0", "/b", "/a1"]


async def test_b79_clients_behind_a_proxy_are_told_by_the_address_that_it_reports(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(
        replace(service(), fairness=Fairness(Identity.ADDRESS)), pods=[pod], trusted_proxies=(PROXY,)
    )
    many = [(f"/a{n}", "X-Forwarded-For: 192.0.2.1") for n in range(3)]
    assert await order(kit, gateway, pod, *many, ("/b", "X-Forwarded-For: 192.0.2.2")) == ["/a0", "/b", "/a1", "/a2"]


async def test_b89_each_class_has_a_queue_of_its_own_and_the_metrics_say_who_waits(kit):
    classes = replace(service(queue_length=1, shares=(0, 0)), classes=(OTHERS, BATCH))
    gateway = await kit.gateway(classes)
    (await kit.client(gateway)).get("/batch")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    refused = (await kit.client(gateway)).get("/batch")
    assert (await refused.response()).status == 503
    (await kit.client(gateway)).get("/other")
    await until(lambda: gateway.dispatcher(NAME).queued == 2)
    written = b"".join(text(gateway, TEXT)).decode()
    for name in ("others", "batch"):
        assert f'gateway_class_queued_requests{{namespace="default",service="sd",class="{name}"}} 1' in written
