"""Sending spans delays nobody and has a bound, whatever the receiver does."""

import asyncio
from threading import Event

import pytest
from span_receiver import span_receiver

from autoscaler.runtime import spans
from autoscaler.runtime.spans import Span, SpanExport, spans_address

pytestmark = pytest.mark.real_time

SPAN = Span("work", "internal", ("a" * 32, "b" * 16), "", 1.0, 2.0, {"n": 1})


@pytest.mark.parametrize("url", ["http://collector:4318", "http://collector:4318/", "http://collector:4318/v1/traces"])
def test_a_receiver_is_named_by_its_base_address_or_whole(url):
    assert spans_address(url) == "http://collector:4318/v1/traces"


async def test_spans_that_find_no_room_are_lost_and_counted_and_nobody_waits():
    async with span_receiver() as receiver:
        export, go_on, begun = SpanExport(receiver.url, "test", most=3), Event(), Event()

        def slow():
            begun.set()
            go_on.wait(30)
            return [SPAN]

        export.offer(slow)
        await asyncio.to_thread(begun.wait, 30)
        for _ in range(5):
            export.offer(lambda: [SPAN])
        assert export.lost == 2
        go_on.set()
        await asyncio.to_thread(export.close, 30)
        assert [span.name for span in receiver.spans] == ["work"] * 4
        assert export.lost == 2


async def test_spans_that_the_receiver_does_not_take_are_lost_and_said_once(caplog):
    async with span_receiver() as receiver:
        receiver.status = 400
        export = SpanExport(receiver.url, "test")
        export.offer(lambda: [SPAN, SPAN])
        await asyncio.to_thread(export.close, 30)
    assert export.lost == 2
    assert caplog.text.count("spans are not taken by their receiver; lost so far: 2") == 1


async def test_an_event_whose_spans_cannot_be_made_ends_nothing(caplog):
    async with span_receiver() as receiver:
        export = SpanExport(receiver.url, "test")
        export.offer(lambda: 1 / 0)
        export.offer(lambda: [SPAN])
        await asyncio.to_thread(export.close, 30)
        assert [span.name for span in receiver.spans] == ["work"]
    assert export.lost == 1
    assert "the spans of an event could not be made" in caplog.text


async def test_a_process_can_end_while_the_receiver_hangs(monkeypatch):
    monkeypatch.setattr(spans, "_ANSWER_S", 30.0)
    never = asyncio.Event()

    async def hang(_reader, writer):
        await never.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    export = SpanExport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "test")
    export.offer(lambda: [SPAN])
    await asyncio.to_thread(export.close, 0.0)
    assert export._thread.daemon
    never.set()
    server.close()
