"""Each response is counted once, by the class of its status, whoever made it; `/v1/figures` shows it."""

import json

import pytest
from gateway_kit import HOST, NAME, OK, PASS_ALL, answer_ok, in_time, service, until

from autoscaler.gateway.config import Timeouts
from autoscaler.gateway.counts import CLASSES
from autoscaler.gateway.reporting.figures import pieces
from autoscaler.gateway.router import Router

pytestmark = pytest.mark.real_time

SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"


def counts(gateway):
    return gateway.proxies[NAME].counts


def classes(gateway):
    return {name: number for name, number in zip(CLASSES, counts(gateway).responses, strict=True) if number}


async def ended(gateway, number):
    """Wait until this many requests have ended."""
    await until(lambda: sum(counts(gateway).outcomes.values()) == number)


async def figures(kit, gateway, query=""):
    return json.loads(await in_time((await kit.observe(gateway, f"/v1/figures{query}")).read()))


async def as_the_target_says(request):
    await request.body()
    phrases = {"200": "OK", "304": "Not Modified", "404": "Not Found", "500": "Internal Server Error"}
    status = request.target[1:4]
    request.send(f"HTTP/1.1 {status} {phrases[status]}\r\nContent-Length: 0\r\n\r\n".encode())


async def test_a_pods_response_counts_in_the_class_of_its_status(kit):
    gateway = await kit.gateway(pods=[await kit.pod(as_the_target_says)])
    client = await kit.client(gateway)
    for status in (200, 200, 304, 404, 500):
        assert (await client.get(f"/{status}").response(bodiless=status == 304)).status == status
    await ended(gateway, 5)
    assert classes(gateway) == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1}
    assert counts(gateway).cut_responses == 0


async def test_a_refusal_of_the_gateway_counts_by_its_status(kit):
    gateway = await kit.gateway(service(queue_length=0, queue_timeout_s=0.01))
    assert (await (await kit.client(gateway)).get().response()).status == 503
    await ended(gateway, 1)
    assert classes(gateway) == {"5xx": 1}
    assert counts(gateway).response_s.total == 0.0, "no pod had it"


async def test_a_body_that_cannot_be_read_counts_as_an_error_of_the_client(kit):
    gateway = await kit.gateway(pods=[await kit.pod(answer_ok)])
    client = await kit.client(gateway)
    client.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n".encode())
    assert (await client.response()).status == 400
    await ended(gateway, 1)
    assert classes(gateway) == {"4xx": 1}


@pytest.mark.parametrize("end", ["reset", "silence"])
async def test_a_response_that_breaks_off_counts_once_by_the_status_it_began_with(kit, end):
    pod = await kit.pod()
    gateway = await kit.gateway(service(timeouts=Timeouts(request_s=0.2)), pods=[pod])
    client = (await kit.client(gateway)).get()
    job = await pod.next()
    job.send(HALF)
    assert (await client.head()).status == 200
    if end == "reset":
        job.reset()
    assert await client.ended() == b"half"
    await ended(gateway, 1)
    assert classes(gateway) == {"2xx": 1}
    assert counts(gateway).cut_responses == 1


async def test_a_client_that_goes_before_its_response_got_none(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(concurrency=1), pods=[pod])
    running = (await kit.client(gateway)).get()
    await pod.next()
    queued = (await kit.client(gateway)).get()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    running.close()
    queued.close()
    await ended(gateway, 2)
    assert classes(gateway) == {}
    assert counts(gateway).cut_responses == 0


async def test_a_client_that_goes_in_the_middle_of_its_response_got_one_that_nobody_cut(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    client = (await kit.client(gateway)).get()
    (await pod.next()).send(HALF)
    await client.head()
    client.close()
    await ended(gateway, 1)
    assert classes(gateway) == {"2xx": 1}
    assert counts(gateway).cut_responses == 0


async def test_wait_and_service_of_the_same_requests_add_up_to_the_response(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(concurrency=1, paths=PASS_ALL), pods=[pod])
    first, second = (await kit.client(gateway)).post("/work-1"), (await kit.client(gateway)).post("/work-2")
    passing = (await kit.client(gateway)).get("/favicon.ico")
    for _ in range(3):
        job = await pod.next()
        await job.body()
        job.reply(OK)
    for each in (first, second, passing):
        await each.response()
    await ended(gateway, 3)
    of = counts(gateway)
    assert sum(of.wait_s.counts) == sum(of.service_s.counts) == sum(of.response_s.counts) == 2, "only counted requests"
    assert of.wait_s.total + of.service_s.total == pytest.approx(of.response_s.total)


async def test_the_figures_tell_of_answers_times_waits_and_pods(kit):
    pods = [await kit.pod(), await kit.pod()]
    gateway = await kit.gateway(service(concurrency=1), service(name="default/quiet", hosts=("quiet",)), pods=pods)
    done = (await kit.client(gateway)).get()
    (await pods[0].next()).reply(SERVER_ERROR)
    await done.response()
    await ended(gateway, 1)
    running = [(await kit.client(gateway)).get() for _ in pods]
    for pod in pods:
        await pod.next()
    waiting = (await kit.client(gateway)).get()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    found = await figures(kit, gateway)
    assert found["gateway"] == gateway.uid
    assert found["started"] == gateway.started_s <= found["at"]
    assert list(found["services"]) == [NAME], "the other one never had a request"
    of = found["services"][NAME]
    assert (of["queued"], of["running"], of["failures"]) == (1, 2, 0)
    assert of["answers"] == {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 1}
    for histogram in (of["response_s"], of["service_s"]):
        assert len(histogram["counts"]) == len(histogram["bounds"]) + 1
        assert sum(histogram["counts"]) == 1
    assert of["oldest_wait_s"] >= 0.0
    assert {name: (pod["running"], pod["answers"]) for name, pod in of["pods"].items()} == {"p0": (1, 1), "p1": (1, 0)}
    assert all(pod["since_s"] >= 0.0 for pod in of["pods"].values())
    assert (await figures(kit, gateway, f"?service={NAME}"))["services"].keys() == {NAME}
    assert (await figures(kit, gateway, "?service=default/none"))["services"] == {}
    for each in (*running, waiting):
        each.close()
    await ended(gateway, 4)
    assert (await figures(kit, gateway))["services"][NAME]["oldest_wait_s"] is None


async def test_the_figures_of_many_services_come_in_pieces_and_make_one_object(kit):
    names = [f"default/s-{number}" for number in range(120)]
    gateway = Router({name: service(name=name, hosts=(name,)) for name in names})
    for proxy in gateway.proxies.values():
        proxy.counts.arrived = 1
    written = list(pieces(gateway))
    assert len(written) == 1 + 3 + 1
    assert list(json.loads(b"".join(written))["services"]) == names
