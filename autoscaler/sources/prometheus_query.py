"""The PromQL that is asked: a value for each service, and with it what tells how far to trust it. No I/O.

Rules:
    * One answer brings all about all services of a query, of one evaluation; label `f` tells elements apart.
    * What is as usual is said once, without labels of a service.
    * Each text of a policy stands on lines of its own, so that a comment at its end does no harm.
    * Of the gateways' own query only series of known gateways are counted. Whoever else exposes such series, and has
      Prometheus keep the labels that he gives them, is named and not counted.
    * A gateway counts once, however many Prometheus have scraped it.
"""

import re
from collections.abc import Collection

from autoscaler.documents.promql import GATEWAYS_QUERY, GATEWAYS_SERIES, quoted
from autoscaler.ports import ServiceName
from autoscaler.sources.prometheus_response import Asked

REPLICA = "prometheus_replica"
"""The label by which the two of a pair of Prometheus differ, unless somebody has named it otherwise."""
_MOST_OTHERS = 100


def is_of_gateways(asked: Asked) -> bool:
    """Tell whether this is the query of our own gateways."""
    return (asked.expression, asked.series) == (GATEWAYS_QUERY, GATEWAYS_SERIES)


def short_query(asked: Asked) -> str:
    """Give what is asked of a query as it is."""
    if is_of_gateways(asked):
        return _gateways_query(asked.series, asked.fresh_s, _copies(asked.series, "instance, pod, state"))
    parts = _all_of(asked.expression, asked.series, asked.fresh_s)
    without = f"(\n{asked.expression}\n) unless on (namespace, service) (\n{asked.series}\n)"
    copies = "" if REPLICA in asked.expression else _labelled(_copies_of_instances(asked.series), "twice")
    return "\nor ".join([*parts, _labelled(without, "bare"), *([copies] if copies else [])])


def query_of(instances: Collection[str], fresh_s: float) -> str:
    """Give what is asked of gateways by their label `instance`; also, who else has such series."""
    series = _selector("=~", instances)
    others = _scraped(_selector("!~", instances))
    return f"{_gateways_query(series, fresh_s, _copies(series, 'instance, state'))}\nor {others}"


def query_without(instances: Collection[str], fresh_s: float) -> str:
    """Give what is asked of all but these: of the past, which gateways that are long gone have counted too."""
    series = _selector("!~", instances)
    return _gateways_query(series, fresh_s, _copies(series, "instance, state"))


def query_who(instances: Collection[str]) -> str:
    """Ask which of these have series at all."""
    return _scraped(_selector("=~", instances))


def _scraped(series: str) -> str:
    return _labelled(f"topk({_MOST_OTHERS}, count by (instance, pod) ({series}))", "other")


def series_of(service: ServiceName) -> str:
    """Give a query for all series of one service that gateways have."""
    namespace, _, name = service.partition("/")
    return f"{GATEWAYS_SERIES}{{namespace={quoted(namespace)},service={quoted(name)}}}"


def _selector(operator: str, instances: Collection[str]) -> str:
    # An empty pattern would select what has no such label.
    pattern = "|".join(map(re.escape, sorted(instances))) if instances else "no gateway is known"
    return f"{GATEWAYS_SERIES}{{instance{operator}{quoted(pattern)}}}"


def _gateways_query(series: str, fresh_s: float, copies: str) -> str:
    """Ask of gateways: a value is the sum of its series, and so is never without any."""
    return "\nor ".join([*_all_of(f"sum by (namespace, service) ({series})", series, fresh_s), copies])


def _copies(series: str, labels: str) -> str:
    """Count what cannot be: two series of a service that are alike in these labels."""
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
    """Count what two Prometheus of a pair have both scraped; of what each scrapes for itself nothing is there twice."""
    replicas = f"count by (namespace, service, instance, {REPLICA}) (\n{series}\n)"
    return f"count by (namespace, service) (count by (namespace, service, instance) ({replicas}) > 1)"
