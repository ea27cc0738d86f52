"""What no Prometheus says but something at its address may: unknown, explained, and bounded in size and time."""

import asyncio
import gzip
import json
import threading
from contextlib import AsyncExitStack

import pytest
from metrics_peers import EXPRESSION, PATIENCE_S, SERIES, replying

from autoscaler.ports import Query
from autoscaler.sources.prometheus import PrometheusSource
from autoscaler.sources.prometheus_incremental import IncrementalReader

pytestmark = pytest.mark.real_time

A, B = "ns/a", "ns/b"
MOST_BYTES = 100_000
EVALUATED_S = 1000.0


def elements(value="5", oldest="998", series="2", service="a", **labels):
    return [
        {"metric": {"namespace": "ns", "service": service, "f": f} | labels, "value": [EVALUATED_S, text]}
        for f, text in (("value", value), ("oldest", oldest), ("series", series))
    ]


def vector(result, **more):
    return {"status": "success", "data": {"resultType": "vector", "result": result}} | more


def http(body, status="200 OK", content_type="application/json", headers=""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def read(session, server, *, deadline_s=10.0, now_s=50.0):
    source = PrometheusSource(session, deadline_s, max_response_bytes=MOST_BYTES)
    return (await source.read({A: Query(server, EXPRESSION, SERIES, max_age_s=5)}, now_s))[A]


async def reading_of(session, reply):
    async def answer(_, writer):
        writer.write(reply)

    async with replying(answer) as address:
        reading = await read(session, f"http://{address}")
        assert not reading.problem or f"Prometheus at http://{address}, query {EXPRESSION!r}: " in reading.problem
        return reading


async def test_the_truth_is_believed(session):
    assert await reading_of(session, http(vector(elements()))) == (5, 48, 2, "")


async def test_a_note_on_the_query_is_no_warning(session):
    assert await reading_of(session, http(vector(elements(), infos=["metric might not be a counter"]))) == (
        5,
        48,
        2,
        "",
    )


async def test_a_warning_makes_the_value_a_part(session):
    reading = await reading_of(session, http(vector(elements(), warnings=["store-1 is gone: secret", "so is store-2"])))
    assert reading.value == 5
    assert reading.problem.endswith("part of the data may be missing: the response has warnings")


LIES = {
    "a page": (http(b"<html>", content_type="text/html"), "answered with text/html, not with JSON"),
    "a page of a kind": (http(b"", content_type="a/secret"), "answered with something else, not with JSON"),
    "a page of an error": (http(b"<html>", "502 secret", "text/html"), "HTTP 502 Bad Gateway: 6 bytes; is this a Prom"),
    "an error in words": (http(b"secret", "401 Unauthorized", "text/plain"), "HTTP 401 Unauthorized; no --prom"),
    "an error of no number": (http(b"secret", "599 secret"), "refused: HTTP 599 of no known meaning: 6 bytes"),
    "an error of no form": (http(b"[]", "500 Internal Server Error"), "HTTP 500 Internal Server Error"),
    "an error with status 200": (
        http({"status": "error", "errorType": "timeout", "error": "secret"}),
        "refused: timeout: the query takes too long",
    ),
    "an error of no kind": (
        http({"status": "error", "errorType": "secret", "error": "secret"}, "400 Bad Request"),
        "refused: HTTP 400 Bad Request: ",
    ),
    "a redirect": (
        http(b"", "302 Found", headers="Location: https://user:secret@login.example/\r\n"),
        "redirects (HTTP 302), which is not followed",
    ),
    "nothing": (http(b""), "JSON that is not Prometheus'"),
    "half an answer": (http(json.dumps(vector(elements())).encode()[:-20]), "JSON that is not Prometheus'"),
    "no text": (http(b"\xff\xfe\xfd"), "JSON that is not Prometheus'"),
    "no end of brackets": (http(b"[" * 90_000), "JSON that is not Prometheus'"),
    "other JSON": (http({"took": 3, "hits": []}), "JSON that is not Prometheus'"),
    "a list": (http([1, 2]), "JSON that is not Prometheus'"),
    "a string": (http("success"), "JSON that is not Prometheus'"),
    "no data": (http({"status": "success", "data": None}), "JSON that is not Prometheus'"),
    "a result of no kind": (
        http({"status": "success", "data": {"resultType": "secret", "result": []}}),
        "with a result of another kind where a vector",
    ),
    "a matrix": (http({"status": "success", "data": {"resultType": "matrix", "result": []}}), "with a matrix where"),
    "a scalar": (
        http({"status": "success", "data": {"resultType": "scalar", "result": [1, "5"]}}),
        "answered with a scalar where a vector was asked for",
    ),
    "a scalar called vector": (http(vector([EVALUATED_S, "5"])), "JSON that is not Prometheus'"),
    "a histogram": (http(vector([{"metric": {}, "histogram": [EVALUATED_S, {}]}])), "JSON that is not Prometheus'"),
    "values that are none": (http(vector(elements(value="secret"))), "JSON that is not Prometheus'"),
    "numbers beyond numbers": (
        http(json.dumps(vector(elements())).encode().replace(b"1000.0", b"1" * 400)),
        "JSON that is not Prometheus'",
    ),
    "elements of another query": (http(vector(elements(f="else"))), "JSON that is not Prometheus'"),
    "an empty result": (http(vector([])), "no series for"),
    "another service": (http(vector(elements(service="b"))), "(1 other services have one)"),
    "everything twice": (http(vector(elements() + elements())), "several values for ns/a"),
    "only a value": (http(vector(elements()[:1])), "but no sample"),
    "a sample from the future": (http(vector(elements(oldest="1001"))), "this is impossible"),
    "a sample from never": (http(vector(elements(oldest="NaN"))), "this is impossible"),
    "no number of series": (http(vector(elements(series="NaN"))), "this is impossible"),
    "a value of no series": (http(vector(elements(series="0"))), "this is impossible"),
    "a stale sample": (http(vector(elements(oldest="990"))), "10.0 s old, more than maxSampleAge 5 s"),
    "a negative number": (http(vector(elements(value="-1"))), "the value is -1"),
    "a number beyond counts": (http(vector(elements(value="1e16"))), "the value is 1e+16"),
    "a number of series beyond counts": (http(vector(elements(series="1e300"))), "this is impossible"),
    "no HTTP": (b"220 secret.example ESMTP\r\n", "not reachable"),
    "a broken header": (b"HTTP/1.1 200 OK\r\nsecret: \x00\x01secret\r\n\r\n", "not reachable"),
    "a hang-up": (b"", "not reachable"),
    "less than announced": (http(vector(elements()))[:-10], "not reachable"),
    "too much": (http(vector([], padding="x" * MOST_BYTES)), f"larger than {MOST_BYTES} bytes"),
    "too much when unpacked": (
        http(gzip.compress(bytes(10 * MOST_BYTES)), headers="Content-Encoding: gzip\r\n"),
        f"larger than {MOST_BYTES} bytes",
    ),
    "a broken archive": (http(b"no archive", headers="Content-Encoding: gzip\r\n"), "not reachable"),
}


@pytest.mark.parametrize(("reply", "explained"), LIES.values(), ids=LIES)
async def test_a_lie_is_unknown_and_explained(session, reply, explained):
    reading = await reading_of(session, reply)
    assert reading.value is None
    assert explained in reading.problem
    assert "secret" not in reading.problem


async def test_ten_megabytes_without_announcement_are_not_read_to_the_end(session):
    sent = []

    async def flood(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(10_000):
            writer.write(b" " * 1000)
            sent.append(1000)
            await writer.drain()

    async with replying(flood) as address:
        reading = await read(session, f"http://{address}")
    assert f"larger than {MOST_BYTES} bytes" in reading.problem
    assert sum(sent) < 10_000_000


async def never(_, writer):
    await asyncio.Event().wait()


async def one_byte_at_a_time(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("slow", [never, one_byte_at_a_time])
async def test_an_answer_that_does_not_come_in_time_is_unknown(session, slow):
    async with replying(slow) as address:
        reading = await read(session, f"http://{address}", deadline_s=0.2)
    assert reading.value is None
    assert "no response within 0.2 s" in reading.problem


async def test_prometheus_is_told_when_to_give_up(session):
    forms = []

    async def answer(reader, writer):
        forms.append(await reader.read(10_000))
        writer.write(http(vector(elements())))

    async with replying(answer) as address:
        await read(session, f"http://{address}", deadline_s=1.5)
    assert b"timeout=1500ms" in forms[0]


async def test_a_slow_server_does_not_make_the_others_unknown(session):
    async def answer(_, writer):
        writer.write(http(vector(elements())))

    async with replying(never) as slow, replying(answer) as quick:
        queries = {"ns/b": Query(f"http://{slow}", "x", "y", 5), A: Query(f"http://{quick}", "x", "y", 5)}
        readings = await PrometheusSource(session, 0.3).read(queries, 50)
    assert readings["ns/b"].value is None
    assert readings[A].value == 5


async def test_services_with_the_same_query_share_one_question(session):
    asked = []

    async def answer(_, writer):
        asked.append(writer)
        writer.write(http(vector([element for n in range(100) for element in elements(value=str(n), service=f"s{n}")])))

    async with replying(answer) as address:
        query = Query(f"http://{address}", EXPRESSION, SERIES, max_age_s=5)
        younger = query._replace(max_age_s=1)
        queries = {f"ns/s{n}": younger if n == 7 else query for n in range(100)}
        readings = await PrometheusSource(session, 10).read(queries, 50)
    assert len(asked) == 1
    assert {service: reading.value for service, reading in readings.items()} == {
        f"ns/s{n}": None if n == 7 else n for n in range(100)
    }


async def test_a_read_that_is_given_up_gives_up_its_connections(session):
    hung_up = asyncio.Event()
    asked = asyncio.Event()

    async def answer(reader, _):
        asked.set()
        while await reader.read(1000):
            pass
        hung_up.set()

    async with replying(answer) as address:
        reading = asyncio.create_task(read(session, f"http://{address}"))
        await asked.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(hung_up.wait(), 10)


@pytest.mark.parametrize(
    "server",
    [
        *("", "prometheus:9090", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://..", "/"),
        *("http://user:secret@127.0.0.1:1/", "http://user:se/cret@127.0.0.1:1", "http://secret@127.0.0.1:1"),
        *("http://127.0.0.1:1/?namespace=a", "http://127.0.0.1:1/admin#", "http://127.0.0.1:1/a b", "http://h:1/\n"),
    ],
)
async def test_an_address_that_is_none_is_not_asked_and_what_may_be_a_password_is_not_shown(session, server):
    reading = await read(session, server)
    assert reading.value is None
    assert "its address must" in reading.problem
    assert "secret" not in reading.problem
    assert "cret" not in reading.problem


# Large answers.


async def test_the_loop_goes_on_while_a_large_answer_is_read(session, monkeypatch):
    gone_on = threading.Event()
    whole = IncrementalReader.read

    def when_the_loop_has_gone_on(reader, body):
        assert gone_on.wait(PATIENCE_S), "the loop stood still"
        return whole(reader, body)

    async def answer(_, writer):
        writer.write(http(vector(elements(), padding="x" * MOST_BYTES)))

    monkeypatch.setattr(IncrementalReader, "read", when_the_loop_has_gone_on)
    async with replying(answer) as address:
        source = PrometheusSource(session)
        query = Query(f"http://{address}", EXPRESSION, SERIES, max_age_s=5)
        reading = asyncio.create_task(source.read({A: query}, 50))
        for _ in range(100):
            await asyncio.sleep(0.001)
        gone_on.set()
        assert (await reading)[A].value == 5


async def test_a_large_answer_is_taken_for_many_services_and_not_for_one(session):
    many = {f"ns/s{n}": None for n in range(10_000)}
    result = [element for name in many for element in elements(service=name[3:], padding="x" * 80)]

    async def answer(_, writer):
        writer.write(http(vector(result)))

    async with replying(answer) as address:
        query = Query(f"http://{address}", EXPRESSION, SERIES, max_age_s=5)
        source = PrometheusSource(session)
        all_of_them = await source.read(dict.fromkeys(many, query), 50)
        one = await source.read({"ns/s1": query._replace(max_age_s=6)}, 50)
    assert {reading.value for reading in all_of_them.values()} == {5}
    assert "larger than 4195328 bytes" in one["ns/s1"].problem


async def test_of_many_large_answers_few_are_held_at_a_time(session):
    """Servers that never end their large answers hold up each other, neither a small one nor that of the gateways."""

    async def large(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" " * 50_000)
            await writer.drain()
            await asyncio.sleep(0.001)

    async def small(_, writer):
        writer.write(http(vector(elements())))

    async def of_gateways(_, writer):
        writer.write(http(vector(elements(service="b"), padding="x" * MOST_BYTES)))

    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(replying(large)) for _ in range(20)]
        quick = await stack.enter_async_context(replying(small))
        shared = await stack.enter_async_context(replying(of_gateways))
        queries = {f"ns/s{n}": address for n, address in enumerate(addresses)} | {A: quick}
        asked = {name: Query(f"http://{address}", "max(x)", "x", 5) for name, address in queries.items()}
        found = await PrometheusSource(session, 2).read(
            asked | {B: Query(f"http://{shared}", EXPRESSION, SERIES, 5)}, 50
        )
    assert (found.pop(A).value, found.pop(B).value) == (5, 5)
    assert {reading.value for reading in found.values()} == {None}
    assert all(
        "larger than" in reading.problem or "no response within" in reading.problem for reading in found.values()
    )
