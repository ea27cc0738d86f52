"""The PromQL that is asked of gateways; that Prometheus reads it so is in tests/contracts."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents.promql import GATEWAYS_QUERY, GATEWAYS_SERIES
from autoscaler.sources.prometheus_query import query_of, query_without, series_of, short_query
from autoscaler.sources.prometheus_response import SharedQuery

names = st.sets(
    st.text(max_size=8) | st.sampled_from(["10.0.0.1:9090", "[fd00::1]:9090", "gateway-6b8-x2x"]), max_size=4
)
_STRING = r'"(?:[^"\\\n]|\\.)*"'


def patterns(query, operator):
    return {json.loads(found) for found in re.findall(rf"instance{operator}({_STRING})", query)}


@given(names, st.text(max_size=8))
def test_a_pattern_matches_the_names_and_nothing_else(gateways, other):
    (ours,) = patterns(query_of(gateways, 15), "=~")
    (others,) = patterns(query_of(gateways, 15), "!~")
    assert ours == others
    assert patterns(query_without(gateways, 15), "!~") == {ours}
    assert all(re.fullmatch(ours, name) for name in gateways)
    if other not in gateways:
        assert re.fullmatch(ours, other) is None or not gateways


def test_what_has_no_instance_is_nobodys_where_no_gateway_is_known():
    assert patterns(query_of((), 15), "=~") == {"no gateway is known"}


def test_names_are_written_as_strings_of_promql():
    assert series_of("tenant-a/shop") == 'inflight_requests{namespace="tenant-a",service="shop"}'


def test_copies_are_looked_for_unless_the_query_tells_them_apart_itself():
    gateways = short_query(SharedQuery("http://p", GATEWAYS_QUERY, GATEWAYS_SERIES))
    assert "count by (namespace, service, instance, pod, state) (inflight_requests) > 1" in gateways
    assert "prometheus_replica" in short_query(SharedQuery("http://p", "sum by (namespace, service) (a)", "a"))
    merged = short_query(
        SharedQuery("http://p", "sum by (namespace, service) (max without (prometheus_replica) (a))", "a")
    )
    assert '"twice"' not in merged
