"""The gateway's metrics as text and as OpenMetrics: what a scraper reads, and how much is written at a stretch."""

from gateway_kit import service
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from autoscaler.gateway.reporting.metrics import text
from autoscaler.gateway.router import Router
from autoscaler.runtime.prometheus_text import OPENMETRICS, PIECE, TEXT

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def gateway_of(*names):
    return Router({name: service(name=name) for name in names})


class _Read:
    """What was read, for the library to write again."""

    def __init__(self, families):
        self.collect = lambda: families


async def test_the_library_reads_every_metric_and_writes_the_same():
    gateway = gateway_of("default/a", "default/b")
    gateway.set_backends("default/a", {'odd "pod"\\\n': "127.0.0.1:1"})
    for seconds in (0.003, 7.0, 1000.0):
        gateway.proxies["default/a"].counts.wait_s.observe(seconds, TRACE, 1.0)
    ours = b"".join(text(gateway, TEXT)).decode()
    registry = CollectorRegistry()
    registry.register(_Read(families := list(text_string_to_metric_families(ours))))
    assert list(text_string_to_metric_families(generate_latest(registry).decode())) == families
    assert {family.type for family in families} == {"gauge", "counter", "histogram"}
    assert {sample.labels.get("service") for family in families for sample in family.samples} == {"a", "b", None}


async def test_openmetrics_has_the_same_numbers_with_units_and_the_newest_trace_of_each_bucket():
    gateway = gateway_of("default/a", "default/b")
    counts = gateway.proxies["default/a"].counts
    counts.responded(503)
    counts.took(0.0, 7.0, 8.0, trace_id="0" * 31 + "1", unix_s=1000.0)
    counts.took(0.0, 6.0, 8.5, trace_id=TRACE, unix_s=1001.5)
    counts.took(0.0, 20.0, None)
    families = {family.name: family for family in openmetrics_families(b"".join(text(gateway, OPENMETRICS)).decode())}
    as_text = text_string_to_metric_families(b"".join(text(gateway, TEXT)).decode())

    def numbers(found):
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in found
            for sample in family.samples
            if not sample.name.startswith("gateway_memory")
        }

    assert numbers(families.values()) == numbers(as_text)
    assert families["gateway_response_seconds"].unit == families["inflight_seconds"].unit == "seconds"
    assert families["gateway_memory_limit_bytes"].unit == "bytes"
    exemplars = {
        (sample.name, sample.labels["service"], sample.labels["le"]): sample.exemplar
        for family in families.values()
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert {
        key: (found.labels["trace_id"], found.value, float(found.timestamp)) for key, found in exemplars.items()
    } == {
        ("gateway_wait_seconds_bucket", "a", "10.0"): (TRACE, 6.0, 1001.5),
        ("gateway_service_seconds_bucket", "a", "1.0"): ("0" * 31 + "1", 1.0, 1000.0),
        ("gateway_service_seconds_bucket", "a", "4.0"): (TRACE, 2.5, 1001.5),
        ("gateway_response_seconds_bucket", "a", "8.0"): ("0" * 31 + "1", 8.0, 1000.0),
        ("gateway_response_seconds_bucket", "a", "12.0"): (TRACE, 8.5, 1001.5),
    }


async def test_no_piece_of_many_services_is_long():
    gateway = gateway_of(*(f"default/s-{number}" for number in range(500)))
    pieces = [piece.count(b"\n") for piece in text(gateway, OPENMETRICS)]
    assert max(pieces) == PIECE
    assert sum(pieces) > 50 * 500
