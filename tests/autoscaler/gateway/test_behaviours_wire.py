"""Behaviours 51 to 59 of docs/reference/gateway.md: what strangers and pods may write, on raw sockets."""

import asyncio
from ipaddress import ip_network

import pytest
from gateway_kit import HOST, NAME, OK, answer_ok, service, until

from autoscaler.gateway.config import Affinity
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.http.clients import ClientLimits
from autoscaler.gateway.http.framing import HeadLimits

pytestmark = pytest.mark.real_time

H = f"Host: {HOST}\r\n".encode()
CHUNKED = b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n"
COUNTED = (PathRule(("/run",)), PathRule(("/*",), SlotUse.PASS, max_per_pod=64))
SMALL = ClientLimits(HeadLimits(line_bytes=1000, field_bytes=1000))
"""5,000 bytes for all that is no body."""


async def one(kit, *services, answers=None, **options):
    """A pod, its gateway and a client."""
    pod = await kit.pod(answers)
    gateway = await kit.gateway(*services, pods=[pod], **options)
    return pod, gateway, await kit.client(gateway)


async def test_b51_no_spelling_of_a_counted_path_avoids_its_slot(kit):
    pod, gateway, _ = await one(kit, service(paths=COUNTED))
    spellings = ["/run", "/%72un", "//run", "/x/../run", "/%2e/run", "/run;a=1", "/RUN", "%2Frun", "/run?x", "/run#x"]
    clients = [
        (await kit.client(gateway)).post(target if target.startswith("/") else f"/{target}", b"{}")
        for target in spellings
    ]
    clients.append((await kit.client(gateway)).post(f"http://{HOST}/r%75n", b"{}"))
    await until(lambda: gateway.dispatcher(NAME).queued == len(clients) - 1)
    assert gateway.dispatcher(NAME).passing == 0
    for _ in clients:
        job = await pod.next()
        assert await job.body() == b"{}"
        job.reply()
        assert pod.most == 1
    for client in clients:
        assert (await client.response()).status == 200


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nX: " + b"x" * 8000, b"0\r\n" + b"X: y\r\n" * 2000, b"1;" + b"x" * 8000, b"1;a=b" * 2000],
    ids=["one trailer", "many trailers", "an extension", "a line of extensions"],
)
async def test_b52_everything_but_the_body_has_a_limit_and_holds_up_no_other_request(kit, endless):
    gateway = await kit.gateway(limits=SMALL)
    client = await kit.client(gateway)
    client.send(CHUNKED)
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    for start in range(0, len(endless), 100):
        client.send(endless[start : start + 100])
    assert (await client.response()).status in {400, 431}
    await until(lambda: gateway.dispatcher(NAME).queued == 0)


async def test_b52_a_trailer_without_an_end_is_431_at_a_pod_too(kit):
    pod, gateway, client = await one(kit, limits=SMALL)
    client.send(CHUNKED + b"1\r\nx\r\n")
    job = await pod.next()
    client.send(b"0\r\n" + b"X: " + b"x" * 8000)
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (431, b"close")
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0


async def test_b52_a_body_of_small_chunks_has_no_end_to_fear(kit):
    pod, _, client = await one(kit, limits=SMALL)
    client.send(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\nX: y\r\n\r\n")
    job = await pod.next()
    assert await job.body() == b"x" * 20_000
    job.reply()
    assert (await client.response()).status == 200


async def test_b52_line_ends_before_a_request_count_too(kit):
    _, gateway, client = await one(kit, limits=SMALL, answers=answer_ok)
    client.send(b"\r\n" * 4)
    assert (await client.get().response()).status == 200
    client.send(b"\r\n" * 3000)
    assert (await client.response()).status == 431
    assert await client.ended() == b""
    assert gateway.dispatcher(NAME).running == 0


@pytest.mark.slow
async def test_b52_thousands_of_requests_in_one_read_are_not_parsed_at_once(kit):
    pod, gateway, client = await one(kit)
    client.send(b"".join(b"GET /%d HTTP/1.1\r\n%b\r\n" % (n, H) for n in range(5000)))
    job = await pod.next()
    (connection,) = gateway.clients.connections
    assert len(connection._pipeline._waiting) < 1000
    answered = 0
    while True:
        assert job.target == f"/{answered}"
        job.reply()
        assert (await client.response()).body == b"ok"
        answered += 1
        if answered == 5000:
            break
        job = await pod.next()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"x" * 1000) * 160 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 40_000,
        b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000 + OK,
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["bytes", "fields", "a field", "reason", "interim", "999", "600", "099", "NUL", "version"],
)
async def test_b53_a_pod_has_the_limits_of_a_client(kit, response):
    pod, gateway, client = await one(kit)
    client.get()
    job = await pod.next()
    job.send(response)
    assert (await client.response()).status == 502
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0


async def test_b53_a_pods_trailer_without_an_end_breaks_the_response_off(kit):
    pod, gateway, client = await one(kit)
    client.get()
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    assert (await client.head()).status == 200
    job.send(b"0\r\nX: " + b"x" * 400_000)
    assert not (await client.ended()).endswith(b"0\r\n\r\n")
    await job.gone()
    assert gateway.dispatcher(NAME).running == 0


async def test_b53_small_chunks_of_a_pod_come_to_the_client_as_one(kit):
    pod, _, client = await one(kit)
    client.get()
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
    await client.head()
    raw = await client.reader.readuntil(b"0\r\n\r\n")
    assert raw.count(b"x") == 1000
    assert raw.count(b"\r\n") < 40


async def test_b53_a_204_has_no_length(kit):
    pod, _, client = await one(kit)
    client.get()
    (await pod.next()).reply(b"HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n")
    assert (await client.response(bodiless=True)).get(b"content-length") is None
    client.get()
    (await pod.next()).reply()
    assert (await client.response()).body == b"ok"


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        ("gzip, chunked", 501),
        ("identity, chunked", 501),
        ("gzip;q=1, chunked", 501),
        ("x-unknown, CHUNKED", 501),
        ("gzip", 400),
        ("chunked, gzip", 400),
        ("chunked, chunked", 400),
        (", chunked", 400),
        ("chunked;a=b", 400),
    ],
)
async def test_b54_an_unknown_transfer_coding_is_refused_and_reaches_no_pod(kit, coding, status):
    pod, _, client = await one(kit)
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: %b\r\n\r\n0\r\n\r\n" % coding.encode())
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (status, b"close")
    assert await client.ended() == b""
    assert pod.connections == 0


async def test_b54_chunks_of_http_1_0_are_400(kit):
    pod, _, client = await one(kit)
    client.send(b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert (await client.response()).status == 400
    assert pod.connections == 0


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip", b"chunked, gzip", b"identity"])
async def test_b54_an_unknown_transfer_coding_of_a_pod_is_502(kit, coding):
    pod, _, client = await one(kit)
    client.get()
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n2\r\nok\r\n0\r\n\r\n" % coding)
    job.close()
    assert (await client.response()).status == 502


@pytest.mark.parametrize(
    "host",
    [
        "<script>/../x.w.example",
        "h:99999999",
        "h:65536",
        "evil@h",
        "h/path",
        "h?x",
        "h#x",
        "h h",
        "a,b",
        "a..b",
        ".a",
        "h:80:80",
        "::1",
        "[::1",
        "[::1]x",
        "h\\x",
        "h%00",
        "*",
        "x" * 64,
        "a." * 130,
        "ü",
    ],
)
async def test_b55_a_host_that_is_none_is_400(kit, host):
    pod, _, client = await one(kit, service(hosts=("*",)))
    response = await client.get(host=host).response()
    assert (response.status, response.get(b"connection")) == (400, b"close")
    assert pod.connections == 0


@pytest.mark.parametrize("host", ["sd_webui.local", "[::1]:8080", "10.0.0.1", "a-b.c", "_x", "h:65535", "h.:"])
async def test_b55_a_host_that_is_one_is_served(kit, host):
    _, _, client = await one(kit, service(hosts=("*",)), answers=answer_ok)
    assert (await client.get(host=host).response()).status == 200


async def test_b55_http_1_0_needs_no_host(kit):
    pod, _, client = await one(kit, service(hosts=("*",)))
    client.send(b"OPTIONS / HTTP/1.0\r\n\r\n")
    job = await pod.next()
    assert job.all(b"host") == [b""]
    job.reply()
    assert (await client.response()).status == 200


async def test_b55_a_load_balancer_may_ask_for_health_by_address(kit):
    gateway = await kit.gateway()
    for raw, status in [
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /readyz HTTP/1.1\r\nHost: 10.0.0.9\r\n\r\n", 200),
        (b"OPTIONS / HTTP/1.0\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: 10.0.0.9\r\nUser-Agent: GoogleHC/1.0\r\n\r\n", 404),
        (b"POST /healthz HTTP/1.1\r\nHost: 10.0.0.9\r\nContent-Length: 0\r\n\r\n", 404),
    ]:
        client = await kit.client(gateway)
        client.send(raw)
        assert (await client.response(bodiless=raw.startswith(b"HEAD"))).status == status
    assert gateway.dispatcher(NAME).queued == gateway.dispatcher(NAME).passed_total == 0


async def test_b56_headers_with_underscores_are_dropped_unless_the_gateway_passes_them(kit):
    headers = ["X_Forwarded_For: 6.6.6.6", "Content_Length: 5", "X-Kept: 1"]
    pod, _, client = await one(kit)
    client.get("/", *headers)
    job = await pod.next()
    assert not [name for name, _ in job.headers if b"_" in name]
    assert job.all(b"x-kept") == [b"1"]
    passing = await kit.gateway(pods=[pod], limits=ClientLimits(HeadLimits(underscores=True)))
    (await kit.client(passing)).get("/", *headers)
    assert (await pod.next()).all(b"x_forwarded_for") == [b"6.6.6.6"]


@pytest.mark.parametrize(
    ("lines", "secure"),
    [
        (["X-Forwarded-Proto: https, http"], True),
        (["X-Forwarded-Proto: HTTPS,https"], True),
        (["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], True),
        (["X-Forwarded-Proto: http, https"], False),
        (["X-Forwarded-Proto: "], False),
    ],
)
async def test_b57_of_a_list_of_protocols_the_first_is_the_clients(kit, lines, secure):
    bound = service(affinity=Affinity("sd", 1800.0))
    _, _, client = await one(kit, bound, answers=answer_ok, trusted_proxies=(ip_network("127.0.0.0/8"),))
    cookie = (await client.get("/", *lines).response()).get(b"set-cookie")
    assert (b"Secure" in cookie) == secure


async def test_b57_what_other_proxies_claim_of_a_client_is_passed_on_unchanged(kit):
    pod, _, client = await one(kit)
    client.get("/", "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6")
    job = await pod.next()
    assert (job.all(b"x-real-ip"), job.all(b"forwarded")) == ([b"6.6.6.6"], [b"for=6.6.6.6"])
    assert job.all(b"x-forwarded-for") == [b"127.0.0.1"]


@pytest.mark.parametrize("kind", [SlotUse.COUNT, SlotUse.PASS])
async def test_b58_a_backend_that_leads_back_to_the_gateway_is_508(kit, kind):
    gateway = await kit.gateway(service(paths=(PathRule(("/*",), kind),)))
    gateway.set_backends(NAME, {"itself": f"127.0.0.1:{gateway.port}"})
    assert (await (await kit.client(gateway)).get().response()).status == 508
    dispatcher = gateway.dispatcher(NAME)
    await until(lambda: dispatcher.running == dispatcher.passing == 0)
    assert dispatcher.passed_total <= 1


async def test_b58_two_gateways_that_lead_to_each_other_are_508_and_a_chain_is_fine(kit):
    first, second = await kit.gateway(), await kit.gateway()
    first.set_backends(NAME, {"second": f"127.0.0.1:{second.port}"})
    second.set_backends(NAME, {"first": f"127.0.0.1:{first.port}"})
    assert (await (await kit.client(first)).get("/", "Connection: CDN-Loop").response()).status == 508
    pod = await kit.pod()
    second.set_backends(NAME, {"pod": pod.address})
    client = (await kit.client(first)).get("/", "CDN-Loop: other")
    job = await pod.next()
    names = [f"inflight-{gateway.uid}".encode() for gateway in (first, second)]
    assert job.all(b"cdn-loop") == [b"other", *names]
    job.reply()
    assert (await client.response()).status == 200


@pytest.mark.parametrize(
    "hello",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x00" * 12,
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
    ids=["HTTP/2", "TLS", "PROXY 1", "PROXY 2", "SSH"],
)
async def test_b59_another_protocol_is_refused_at_once(kit, hello):
    pod, _, client = await one(kit)
    client.send(hello)
    response = await client.response()
    assert (response.status, response.get(b"connection")) == (400, b"close")
    assert await asyncio.wait_for(client.ended(), 30) == b""
    assert pod.connections == 0
