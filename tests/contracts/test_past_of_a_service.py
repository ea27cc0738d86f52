"""What a page shows from before its process, asked of a real Prometheus."""

import time

import pytest
from metrics_peers import Exporter, until

from autoscaler.sources.prometheus import PrometheusSource

pytestmark = [pytest.mark.real_time, pytest.mark.program]


async def test_gateways_are_added_up_replicas_are_not_and_a_sample_is_not_carried_on(session, prometheus):
    exporters, sampled_s = [Exporter(), Exporter()], int(time.time()) - 100
    for exporter in exporters:
        exporter.says("ns/past", running=2, queued=3, timestamp_ms=sampled_s * 1000)
        exporter.samples += [
            f'{metric}{{namespace="ns",service="past"}} {value} {sampled_s * 1000}'
            for metric, value in (("inflight_replicas", 4), ("inflight_ready_replicas", 1))
        ]

    async def asked():
        source = PrometheusSource(session, 5.0)
        found = await source.past(
            prometheus.server, "ns/past", start_s=sampled_s - 30, end_s=sampled_s + 90, step_s=15.0
        )
        assert not isinstance(found, str), found
        return [(each.at_s - sampled_s, *each[1:]) for each in found if each[1:] != (None,) * 4]

    async with exporters[0].served(prometheus.exporter_ports[0]), exporters[1].served(prometheus.exporter_ports[1]):
        found = await until(asked, lambda rows: rows and rows[0][1] == 4.0)
    assert found == [(after_s, 4.0, 6.0, 4.0, 1.0) for after_s in (0.0, 15.0, 30.0, 45.0)]
