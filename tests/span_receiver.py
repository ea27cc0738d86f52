"""A receiver of OpenTelemetry: takes spans over OTLP/HTTP, and says what it got."""

import contextlib
import gzip
from typing import NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Received(NamedTuple):
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start_s: float
    end_s: float
    attributes: dict
    links: list
    error: str
    program: str


def value(of):
    return getattr(of, of.WhichOneof("value"))


class SpanReceiver:
    """Takes spans, or fails as the test says."""

    def __init__(self):
        self.spans = []
        self.status = 200
        self.asked = 0

    async def take(self, request):
        self.asked += 1
        body = await request.read()
        if self.status == 200:
            zipped = request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b"
            self._read(gzip.decompress(body) if zipped else body)
        return web.Response(status=self.status, content_type="application/x-protobuf")

    def _read(self, body):
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {each.key: value(each.value) for each in of_resource.resource.attributes}
            for span in (span for scope in of_resource.scope_spans for span in scope.spans):
                self.spans.append(
                    Received(
                        span.name,
                        span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.start_time_unix_nano / 1e9,
                        span.end_time_unix_nano / 1e9,
                        {each.key: value(each.value) for each in span.attributes},
                        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                        span.status.message,
                        resource["service.name"],
                    )
                )

    def named(self, name):
        return [span for span in self.spans if span.name == name]


@contextlib.asynccontextmanager
async def span_receiver():
    receiver = SpanReceiver()
    app = web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
