"""Behaviours 16 to 21 of docs/reference/gateway.md: the cookie that brings a client back to its pod."""

import base64
import time
from ipaddress import ip_network

import pytest
from gateway_kit import NAME, answer_ok, service, until
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.affinity import AffinityCookie
from autoscaler.gateway.config import Affinity
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule

SD = Affinity("sd", 1800)
KEY = b"k" * 32


def cookie_of(response):
    """The `name=value` of the one cookie that a response sets."""
    return response.get(b"set-cookie").split(b";")[0].decode()


def issued(pod="a", now_s=1000, *, key=KEY, service="default/sd", affinity=SD):
    line = AffinityCookie([key], service, affinity).issue(pod, now_s, secure=False)
    return line.split(b";")[0].split(b"=", 1)[1]


def reader(*pods, key=KEY, service="default/sd", affinity=SD):
    cookie = AffinityCookie([key], service, affinity)
    cookie.set_pods(pods)
    return cookie


@pytest.mark.real_time
async def test_b16_the_cookie_is_issued_once_and_is_opaque(kit):
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(service(affinity=SD), pods=[pod])
    client = await kit.client(gateway)
    first = await client.get().response()
    name, attributes = first.get(b"set-cookie").split(b"; ", 1)
    assert name.startswith(b"sd=")
    assert attributes == b"Max-Age=1800; Path=/; HttpOnly; SameSite=Lax"
    assert b"127" not in base64.urlsafe_b64decode(name.removeprefix(b"sd="))
    second = await client.get("/", f"Cookie: {name.decode()}").response()
    assert second.get(b"set-cookie") is None
    forged = await client.get("/", "Cookie: sd=cG9k").response()
    assert forged.get(b"set-cookie").startswith(b"sd=")


@pytest.mark.real_time
async def test_b16_the_cookie_is_secure_where_a_trusted_proxy_says_https(kit):
    pod = await kit.pod(answer_ok)
    trusting = await kit.gateway(service(affinity=SD), pods=[pod], trusted_proxies=(ip_network("127.0.0.0/8"),))
    response = await (await kit.client(trusting)).get("/", "X-Forwarded-Proto: https").response()
    assert response.get(b"set-cookie").endswith(b"; Secure")
    distrusting = await kit.gateway(service(affinity=SD), pods=[pod])
    response = await (await kit.client(distrusting)).get("/", "X-Forwarded-Proto: https").response()
    assert not response.get(b"set-cookie").endswith(b"; Secure")


def test_b16_a_cookie_binds_for_its_service_and_key_only():
    value = issued()
    assert reader("a", "b").read([value], 1001) == "a"
    assert reader("a", "b", service="default/other").read([value], 1001) is None
    assert reader("a", "b", key=b"K" * 32).read([value], 1001) is None


@given(st.binary(max_size=40), st.integers(0, 31), st.integers(1, 255))
def test_b16_no_made_up_or_changed_value_binds(made_up, position, change):
    value = bytearray(base64.urlsafe_b64decode(issued()))
    value[position % len(value)] ^= change
    tampered = base64.urlsafe_b64encode(bytes(value))
    assert reader("a").read([made_up, tampered], 1001) is None


def test_b17_a_cookie_expires_by_the_gateways_clock():
    value = issued(now_s=1000)
    assert reader("a").read([value], 2799) == "a"
    assert reader("a").read([value], 2800) is None
    assert reader("a").read([value], 999) is None


@pytest.mark.real_time
async def test_b17_time_is_counted_by_a_clock_that_never_steps(kit, monkeypatch):
    gateway = await kit.gateway()
    before_s = gateway.now_s()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert gateway.now_s() >= before_s


@pytest.mark.real_time
async def test_b18_a_client_whose_pod_is_gone_is_served_and_bound_again(kit):
    a, b = await kit.pod(answer_ok), await kit.pod(answer_ok)
    gateway = await kit.gateway(service(affinity=SD), pods=[a, b])
    client = await kit.client(gateway)
    old = cookie_of(await client.get().response())
    gateway.remove_backend(NAME, "p0")
    response = await client.get("/x", f"Cookie: {old}").response()
    assert response.body == b"ok"
    assert b.seen == ["/x"]
    assert cookie_of(response) != old


@pytest.mark.real_time
async def test_b19_a_bound_request_waits_for_its_busy_pod_or_spills_over(kit):
    a, b = await kit.pod(), await kit.pod(answer_ok)
    gateway = await kit.gateway(service(affinity=SD), pods=[a, b])
    client = (await kit.client(gateway)).post("/1")
    job = await a.next()
    await job.body()
    job.reply()
    cookie = cookie_of(await client.response())
    client.post("/2", b"{}", f"Cookie: {cookie}")
    job = await a.next()
    await job.body()
    waiting = (await kit.client(gateway)).post("/3", b"{}", f"Cookie: {cookie}")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    assert b.seen == []
    job.reply()
    job = await a.next()
    await job.body()
    cookies = b"Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/x\r\nSet-Cookie: a=3\r\n"
    job.reply(b"HTTP/1.1 200 OK\r\n%bContent-Length: 0\r\n\r\n" % cookies)
    assert (await waiting.response()).all(b"set-cookie") == [b"a=1", b"b=2; Path=/x", b"a=3"]
    gateway.reload({NAME: service(affinity=SD, spill_after_s=0)})
    (await kit.client(gateway)).post("/busy", b"{}", f"Cookie: {cookie}")
    assert (await a.next()).target == "/busy"
    spilled = (await kit.client(gateway)).post("/4", b"{}", f"Cookie: {cookie}")
    response = await spilled.response()
    assert b.seen == ["/4"]
    assert response.get(b"set-cookie") is None


@pytest.mark.real_time
async def test_b19_a_bound_request_spills_over_after_a_while(kit):
    a, b = await kit.pod(), await kit.pod(answer_ok)
    gateway = await kit.gateway(service(affinity=SD, spill_after_s=0.05), pods=[a, b])
    client = (await kit.client(gateway)).post("/1")
    job = await a.next()
    await job.body()
    job.send()
    cookie = cookie_of(await client.response())
    job.done()
    (await kit.client(gateway)).post("/2", b"{}", f"Cookie: {cookie}")
    await a.next()
    patient = (await kit.client(gateway)).post("/3", b"{}", f"Cookie: {cookie}")
    assert (await patient.response()).body == b"ok"
    assert b.seen == ["/3"]


@pytest.mark.real_time
async def test_b19_passing_requests_follow_the_cookie_to_a_busy_pod(kit):
    a, b = await kit.pod(), await kit.pod()
    paths = (PathRule(("/work",)), PathRule(("/*",), SlotUse.PASS))
    gateway = await kit.gateway(service(affinity=SD, paths=paths), pods=[a, b])
    client = (await kit.client(gateway)).get("/page")
    page = await a.next()
    page.reply()
    cookie = cookie_of(await client.response())
    client.post("/work", b"{}", f"Cookie: {cookie}")
    await a.next()
    (await kit.client(gateway)).get("/progress", f"Cookie: {cookie}")
    assert (await a.next()).target == "/progress"


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("came", "goes"),
    [
        (["a=1; sd=OURS; b=2"], [b"a=1; b=2"]),
        (["sd=OURS; b=2"], [b"b=2"]),
        (["a=1;sd=OURS"], [b"a=1"]),
        (["sd=OURS"], []),
        (['odd="x y"; =; sdx=1 ;sd=OURS;  k=v '], [b'odd="x y"; =; sdx=1 ;  k=v']),
        (["a=1", "sd=OURS; b=2"], [b"a=1", b"b=2"]),
    ],
)
async def test_b20_our_cookie_is_taken_off_and_the_others_stay_as_they_came(kit, came, goes):
    pod = await kit.pod()
    gateway = await kit.gateway(service(affinity=SD), pods=[pod], keys=[KEY])
    value = issued("p0", int(gateway.now_s())).decode()
    client = await kit.client(gateway)
    client.get("/", *(f"Cookie: {line.replace('OURS', value)}" for line in came))
    request = await pod.next()
    assert request.all(b"cookie") == goes
    request.reply(b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nContent-Length: 0\r\n\r\n")
    response = await client.response()
    assert response.get(b"cache-control") == b"public, max-age=60"
    assert response.get(b"set-cookie") is None


@pytest.mark.real_time
async def test_b21_another_gateway_with_the_same_key_reads_the_cookie(kit):
    a, b = await kit.pod(answer_ok), await kit.pod(answer_ok)
    first = await kit.gateway(service(affinity=SD), pods=[a, b], keys=[KEY])
    first.drain_backend(NAME, "p0")
    cookie = cookie_of(await (await kit.client(first)).get("/1").response())
    await first.stop()
    second = await kit.gateway(service(affinity=SD), pods=[a, b], keys=[KEY])
    response = await (await kit.client(second)).get("/2", f"Cookie: {cookie}").response()
    assert response.get(b"set-cookie") is None
    assert b.seen == ["/1", "/2"]
