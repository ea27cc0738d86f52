"""A client that waits for an event stream gets comments, and then the stream or an event `error`."""

import json
from dataclasses import replace

import pytest
from gateway_kit import NAME, answer_ok, service, until
from waiting_kit import Quote, Quotes, curl

from autoscaler.gateway.config import EventOptions, WaitingOptions
from autoscaler.gateway.http.headers import read_request, values_by_name
from autoscaler.gateway.waiting.events import unencoded, wants_events

AT_ONCE = WaitingOptions(events=EventOptions(after_s=0.0, every_s=60.0))
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"
)
COMMENT = b": waiting position=2 estimate=25.0 p90=34.0\n\n"
WANTS = ("Accept: text/event-stream", "Accept-Encoding: gzip")

pytestmark = pytest.mark.real_time


async def waiting(kit, target="/", lines=WANTS, *, options=AT_ONCE, **limits):
    """A gateway, and a client whose wait has begun."""
    gateway = await kit.gateway(replace(service(**limits), waiting=options))
    gateway.proxies[NAME].quotes.quote = Quotes(Quote(2, 25.0, 34.0)).quote
    client = (await kit.client(gateway)).get(target, *lines)
    await until(lambda: gateway.dispatcher(NAME).queued)
    return gateway, client


def error_in(body):
    event, _, data = body.removeprefix(COMMENT).partition(b"\n")
    assert event == b"event: error"
    return json.loads(data.removeprefix(b"data: "))


async def test_b106_comments_come_before_the_stream_and_the_connection_goes_on(kit):
    gateway, client = await waiting(kit)
    head = await client.head()
    assert (head.status, head.get(b"Content-Type")) == (200, b"text/event-stream")
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    assert job.all(b"Accept-Encoding") == []
    job.reply(STREAM)
    body = b""
    while size := int(await client.reader.readuntil(b"\r\n"), 16):
        body += await client.reader.readexactly(size)
        await client.reader.readexactly(2)
    await client.reader.readexactly(2)
    assert body == COMMENT + b"data: 1\n\ndata: 2\n\n"
    client.get("/next")
    (await pod.next()).reply()
    assert (await client.response()).body == b"ok"


async def answered(kit, reply, target="/"):
    gateway, client = await waiting(kit, target)
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    if reply is None:
        job.close()
    else:
        job.reply(reply)
    return (await client.response()).body


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b'HTTP/1.1 400 Bad Request\r\nContent-Length: 22\r\n\r\n{"error":{"code":"a"}}', {"error": {"code": "a"}}),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n<b>\n", {"status": 500, "detail": "<b>"}),
        (b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", {"status": 502, "detail": "Bad Gateway"}),
        (None, {"status": 502, "code": "upstream_reset"}),
    ],
    ids=["json", "text", "odd", "broken off"],
)
async def test_b106_another_response_of_the_pod_is_an_event(kit, reply, expected):
    assert error_in(await answered(kit, reply)).items() >= expected.items()


async def test_b106_an_error_on_a_path_of_openais_api_has_its_shape(kit):
    assert error_in(await answered(kit, None, "/v1/chat/completions"))["error"]["code"] == "upstream_reset"


async def test_b106_a_wait_that_is_too_long_is_an_event(kit):
    _, client = await waiting(kit, queue_timeout_s=0.2)
    assert error_in((await client.response()).body)["code"] == "queue_timeout"


async def test_b106_curl_gets_the_status_itself_if_the_wait_ends_before_the_first_comment(kit):
    later = WaitingOptions(events=EventOptions(after_s=60.0, every_s=60.0))
    gateway = await kit.gateway(replace(service(queue_timeout_s=0.1), waiting=later))
    assert (await curl(gateway, "/", "--header", WANTS[0]))["http_code"] == 504


@pytest.mark.parametrize(
    ("lines", "options"),
    [(("Accept: application/json",), AT_ONCE), (WANTS, WaitingOptions())],
    ids=["accept", "policy"],
)
async def test_b106_other_clients_and_services_get_no_comments(kit, lines, options):
    gateway, client = await waiting(kit, lines=lines, options=options)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await client.response()).body == b"ok"


def test_an_event_stream_is_one_of_several_that_a_client_accepts():
    headers = [(b"Host", b"a"), (b"Accept", b"text/html, Text/Event-Stream;q=0.9"), (b"Accept-Encoding", b"gzip")]
    head = read_request(b"POST", b"/", headers, values_by_name(headers))
    assert wants_events(head, http10=False)
    assert not wants_events(head, http10=True)
    assert [line for line in unencoded(head).lines if b"ncoding" in line] == []
