"""The spans of requests, as a real receiver of OpenTelemetry gets them, and the trace that the pod gets."""

import asyncio
import re

import pytest
from gateway_kit import NAME, OK, PASS_ALL, answer_ok, service, until
from gateway_program import document
from span_receiver import span_receiver

from autoscaler.gateway.tracing import Tracing, exported
from autoscaler.runtime.spans import SpanExport, start_context

pytestmark = pytest.mark.real_time

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"traceparent: 00-{TRACE}-{CLIENT}-01"


class Traced:
    """Gateways whose spans go to a receiver."""

    def __init__(self, kit, receiver):
        self.kit, self.receiver = kit, receiver
        self.export = SpanExport(receiver.url, "inflight-gateway")

    async def gateway(self, *services, ratio=1.0, **options):
        return await self.kit.gateway(*services, tracing=Tracing(ratio), on_ended=exported(self.export), **options)

    async def sent(self):
        """Wait until all spans are sent; there are no more afterwards."""
        await asyncio.to_thread(self.export.close, 30)
        return {span.name: span for span in self.receiver.spans}


@pytest.fixture
async def traced(kit):
    async with span_receiver() as receiver:
        made = Traced(kit, receiver)
        yield made
        if made.export._thread.is_alive():
            await made.sent()


def parent_at(job):
    (found,) = job.all(b"traceparent")
    return re.fullmatch(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])", found).groups()


async def all_ended(gateway, number=1):
    await until(lambda: sum(gateway.proxies[NAME].counts.outcomes.values()) == number)


async def test_a_held_request_has_its_wait_its_slot_and_the_pods_part_in_the_clients_trace(traced):
    gateway = await traced.gateway(service(concurrency=1))
    client = (await traced.kit.client(gateway)).get("/draw?secret=1", PARENT, "tracestate: vendor=1", "TraceState: b=2")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    came_s = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() > came_s)  # uvloop's time has whole milliseconds
    pod = await traced.kit.pod()
    gateway.set_backends(NAME, {"sd-7": pod.address})
    job = await pod.next()
    trace_id, parent_id, flags = (each.decode() for each in parent_at(job))
    assert (trace_id, flags) == (TRACE, "01")
    assert job.all(b"tracestate") == [b"vendor=1", b"b=2"]
    job.reply()
    assert (await client.response()).status == 200
    await all_ended(gateway)
    spans = await traced.sent()
    whole, held, slot, upstream = (spans[name] for name in ("GET", "held", "slot", "upstream"))
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert {span.program for span in spans.values()} == {"inflight-gateway"}
    assert (whole.kind, whole.parent_id, upstream.kind, upstream.span_id) == ("server", CLIENT, "client", parent_id)
    assert held.parent_id == slot.parent_id == whole.span_id
    assert upstream.parent_id == slot.span_id
    assert whole.attributes == {
        "http.request.method": "GET",
        "url.path": "/draw",
        "http.response.status_code": 200,
        "inflight.service": NAME,
        "inflight.outcome": "served",
        "inflight.request_id": whole.attributes["inflight.request_id"],
    }
    assert upstream.attributes == {"inflight.pod": "sd-7"}
    assert whole.start_s == held.start_s <= held.end_s == slot.start_s <= upstream.start_s
    assert upstream.end_s == slot.end_s == whole.end_s
    assert whole.links == [start_context(NAME, "sd-7")], "the decision that woke the pod"
    assert not any(span.error for span in spans.values())


async def test_a_pod_that_was_there_is_linked_to_nothing_and_a_free_slot_needs_no_wait(traced):
    gateway = await traced.gateway(pods=[await traced.kit.pod(answer_ok)])
    await (await traced.kit.client(gateway)).get("/", PARENT).response()
    await all_ended(gateway)
    spans = await traced.sent()
    assert spans.keys() == {"GET", "slot", "upstream"}
    assert spans["GET"].links == []


async def test_a_request_that_is_refused_has_an_error_and_no_slot(traced):
    gateway = await traced.gateway(service(queue_length=0))
    assert (await (await traced.kit.client(gateway)).get("/", PARENT).response()).status == 503
    await all_ended(gateway)
    spans = await traced.sent()
    assert spans.keys() == {"GET", "held"}
    assert spans["GET"].error == spans["GET"].attributes["inflight.outcome"] == "queue_full"


async def test_a_response_that_breaks_off_is_an_error_although_it_began_well(traced):
    pod = await traced.kit.pod()
    gateway = await traced.gateway(pods=[pod])
    client = (await traced.kit.client(gateway)).get("/", PARENT)
    job = await pod.next()
    job.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await client.head()
    job.reset()
    await client.ended()
    await all_ended(gateway)
    spans = await traced.sent()
    assert (spans["GET"].attributes["http.response.status_code"], spans["GET"].error) == (200, "upstream_reset")
    assert spans["upstream"].error == "upstream_reset"


async def test_what_the_client_says_of_sampling_holds_and_its_headers_pass_as_they_came(traced):
    pod = await traced.kit.pod()
    gateway = await traced.gateway(pods=[pod])
    client = (await traced.kit.client(gateway)).get("/", PARENT.removesuffix("01") + "00", "tracestate: vendor=1")
    job = await pod.next()
    assert job.all(b"traceparent") == [f"00-{TRACE}-{CLIENT}-00".encode()]
    assert job.all(b"tracestate") == [b"vendor=1"]
    job.reply()
    await client.response()
    await all_ended(gateway)
    assert await traced.sent() == {}


@pytest.mark.parametrize(("ratio", "flags"), [(0.0, b"00"), (1.0, b"01")])
async def test_a_request_without_a_trace_gets_one_and_has_spans_at_the_ratio(traced, ratio, flags):
    pod = await traced.kit.pod()
    gateway = await traced.gateway(pods=[pod], ratio=ratio)
    client = (await traced.kit.client(gateway)).get("/")
    job = await pod.next()
    trace_id, _, came_flags = parent_at(job)
    assert came_flags == flags
    job.reply()
    await client.response()
    await all_ended(gateway)
    spans = await traced.sent()
    assert {span.trace_id for span in spans.values()} == ({trace_id.decode()} if ratio else set())
    assert not ratio or spans["GET"].parent_id == ""


@pytest.mark.parametrize(
    "lines",
    [
        ["traceparent: nonsense"],
        [PARENT, PARENT],
        [f"traceparent: 00-{'0' * 32}-{CLIENT}-01"],
        [f"traceparent: 00-{TRACE}-{'0' * 16}-01"],
        [f"traceparent: ff-{TRACE}-{CLIENT}-01"],
        [f"traceparent: 00-{TRACE.upper()}-{CLIENT}-01"],
        [f"{PARENT}-more"],
    ],
)
async def test_a_traceparent_that_breaks_the_rules_begins_a_new_trace(traced, lines):
    pod = await traced.kit.pod()
    gateway = await traced.gateway(pods=[pod])
    client = (await traced.kit.client(gateway)).get("/", *lines, "tracestate: vendor=1")
    job = await pod.next()
    assert parent_at(job)[0] != TRACE.encode()
    assert job.all(b"tracestate") == []
    job.reply()
    await client.response()


async def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known(traced):
    pod = await traced.kit.pod()
    gateway = await traced.gateway(pods=[pod])
    client = (await traced.kit.client(gateway)).get("/", f"traceparent: 01-{TRACE}-{CLIENT}-01-more")
    job = await pod.next()
    assert parent_at(job)[0] == TRACE.encode()
    job.reply()
    await client.response()


async def test_without_traces_a_clients_headers_pass_as_they_came(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(service(paths=PASS_ALL), pods=[pod])
    client = (await kit.client(gateway)).get("/work", PARENT, "traceparent: nonsense", "tracestate: vendor=1")
    job = await pod.next()
    assert job.all(b"traceparent") == [PARENT.partition(": ")[2].encode(), b"nonsense"]
    assert job.all(b"tracestate") == [b"vendor=1"]
    job.reply(OK)
    await client.response()


async def test_the_command_sends_spans_where_its_option_says_and_counts_those_that_are_not_taken(kit, programs):
    pod = await kit.pod(answer_ok)
    async with span_receiver() as receiver:
        receiver.status = 400
        gateway = await programs.start(document(backends=[pod.address]), f"--traces={receiver.url}", "--grace=0s")
        client = await gateway.connected(kit)
        assert (await client.get("/", PARENT).response()).status == 200
        await gateway.said("spans are not taken by their receiver")
        assert await gateway.metric("gateway_lost_spans_total") == 3
        receiver.status = 200
        assert (await client.get("/", PARENT).response()).status == 200
        await until(lambda: len(receiver.spans) == 3)
        assert {(span.trace_id, span.program) for span in receiver.spans} == {(TRACE, "inflight-gateway")}
