"""The PromQL that is sent: a value for each service, and how far it can be trusted. No I/O.

Rules:
    * One response contains everything about all services of a query, of one evaluation. The label `f` says what an
      element is.
    * A property that most services share is one element without the labels of a service.
    * Each text from a policy has lines of its own, so that a comment at its end does no harm.
    * In the gateways' own query only series of known gateways count. Any other target that exposes such series, with
      its own labels kept by Prometheus, is named and not counted.
    * A gateway counts once, even if several Prometheus servers have scraped it.
"""

import re
from collections.abc import Collection

from autoscaler.documents.promql import GATEWAYS_QUERY, GATEWAYS_SERIES, quoted
from autoscaler.ports import ServiceName
from autoscaler.sources.prometheus_response import SharedQuery

REPLICA = "prometheus_replica"
"""The label by which the two servers of a Prometheus pair usually differ."""
_MOST_OTHERS = 100


def is_of_gateways(asked: SharedQuery) -> bool:
    """Tell whether this is the query of our own gateways."""
    return (asked.expression, asked.series) == (GATEWAYS_QUERY, GATEWAYS_SERIES)


def short_query(asked: SharedQuery) -> str:
    """Give the whole query without names of gateways."""
    if is_of_gateways(asked):
        return _gateways_query(asked.series, asked.fresh_s, _copies(asked.series, "instance, pod, state"))
    parts = _all_of(asked.expression, asked.series, asked.fresh_s)
    without = f"(\n{asked.expression}\n) unless on (namespace, service) (\n{asked.series}\n)"
    copies = "" if REPLICA in asked.expression else _labelled(_copies_of_instances(asked.series), "twice")
    return "\nor ".join([*parts, _labelled(without, "bare"), *([copies] if copies else [])])


def query_of(instances: Collection[str], fresh_s: float) -> str:
    """Give the query for gateways by their label `instance`, and for other instances with such series."""
    series = _selector("=~", instances)
    others = _scraped(_selector("!~", instances))
    return f"{_gateways_query(series, fresh_s, _copies(series, 'instance, state'))}\nor {others}"


def query_without(instances: Collection[str], fresh_s: float) -> str:
    """Give the query for all instances but these: a history includes gateways that are long gone."""
    series = _selector("!~", instances)
    return _gateways_query(series, fresh_s, _copies(series, "instance, state"))


def query_who(instances: Collection[str]) -> str:
    """Give the query for which of these instances have series."""
    return _scraped(_selector("=~", instances))


def _scraped(series: str) -> str:
    return _labelled(f"topk({_MOST_OTHERS}, count by (instance, pod) ({series}))", "other")


def series_of(service: ServiceName) -> str:
    """Give the query for all gateways' series of one service."""
    namespace, _, name = service.partition("/")
    return f"{GATEWAYS_SERIES}{{namespace={quoted(namespace)},service={quoted(name)}}}"


def _selector(operator: str, instances: Collection[str]) -> str:
    # An empty pattern would select series without the label.
    pattern = "|".join(map(re.escape, sorted(instances))) if instances else "no gateway is known"
    return f"{GATEWAYS_SERIES}{{instance{operator}{quoted(pattern)}}}"


def _gateways_query(series: str, fresh_s: float, copies: str) -> str:
    """Give the query for gateways: a value is the sum of its series, so it always has samples."""
    return "\nor ".join([*_all_of(f"sum by (namespace, service) ({series})", series, fresh_s), copies])


def _copies(series: str, labels: str) -> str:
    """Count duplicates: two series of a service that have the same values of these labels."""
    return _labelled(f"count by (namespace, service) (count by (namespace, service, {labels}) ({series}) > 1)", "twice")


def _all_of(expression: str, series: str, fresh_s: float) -> list[str]:
    oldest = f"min by (namespace, service) (timestamp(\n{series}\n))"
    sources = f"count by (namespace, service) (count by (namespace, service, instance) (\n{series}\n))"
    return [
        _labelled(f"\n{expression}\n", "value"),
        _labelled(f"{oldest} < time() - {fresh_s:g}", "oldest"),
        _labelled(f"{sources} != scalar(max({sources}))", "series"),
        _labelled(f"min({oldest} >= time() - {fresh_s:g})", "oldest"),
        _labelled(f"max({sources})", "series"),
    ]


def _labelled(vector: str, kind: str) -> str:
    return f'label_replace({vector}, "f", "{kind}", "", "")'


def _copies_of_instances(series: str) -> str:
    """Count series that both servers of a Prometheus pair have scraped; the servers' own targets have no duplicates."""
    replicas = f"count by (namespace, service, instance, {REPLICA}) (\n{series}\n)"
    return f"count by (namespace, service) (count by (namespace, service, instance) ({replicas}) > 1)"
