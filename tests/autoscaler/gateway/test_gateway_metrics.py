"""The gateway's metrics as text: what a scraper reads, and how much is written at a stretch."""

from gateway_kit import service
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from autoscaler.gateway.reporting.metrics import text
from autoscaler.gateway.router import Router
from autoscaler.runtime.prometheus_text import PIECE


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
        gateway.proxies["default/a"].counts.wait_s.observe(seconds)
    ours = b"".join(text(gateway)).decode()
    registry = CollectorRegistry()
    registry.register(_Read(families := list(text_string_to_metric_families(ours))))
    assert list(text_string_to_metric_families(generate_latest(registry).decode())) == families
    assert {family.type for family in families} == {"gauge", "counter", "histogram"}
    assert {sample.labels.get("service") for family in families for sample in family.samples} == {"a", "b", None}


async def test_no_piece_of_many_services_is_long():
    gateway = gateway_of(*(f"default/s-{number}" for number in range(500)))
    pieces = [piece.count(b"\n") for piece in text(gateway)]
    assert max(pieces) == PIECE
    assert sum(pieces) > 50 * 500
