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

from autoscaler.ports import ServiceName
from autoscaler.promql import GATEWAYS_QUERY, GATEWAYS_SERIES, quoted
from autoscaler.sources.answers import Asked

REPLICA = "prometheus_replica"
"""The label by which the two of a pair of Prometheus differ, unless somebody has named it otherwise."""
_MOST_OTHERS = 100


def is_of_gateways(asked: Asked) -> bool:
    """Tell whether this is the query of our own gateways."""
    return (asked.expression, asked.series) == (GATEWAYS_QUERY, GATEWAYS_SERIES)


def short_query(asked: Asked) -> str:
    """Give what is asked of a query as it is."""
    return _all_of(asked.expression, asked.series, asked.fresh_s, copies=_copies(asked))


def query_of(instances: Collection[str], fresh_s: float) -> str:
    """Give what is asked of gateways by their label `instance`; also, who else has such series."""
    ours, others = _selector("=~", instances), _selector("!~", instances)
    by_instance = f"topk({_MOST_OTHERS}, count by (instance, pod) ({others}))"
    return f"{_gateways_query(ours, fresh_s)}\nor {_labelled(by_instance, 'other')}"


def query_without(instances: Collection[str], fresh_s: float) -> str:
    """Give what is asked of all but these: of the past, which gateways that are long gone have counted too."""
    return _gateways_query(_selector("!~", instances), fresh_s)


def series_of(service: ServiceName) -> str:
    """Give a query for all series of one service that gateways have."""
    namespace, _, name = service.partition("/")
    return f"{GATEWAYS_SERIES}{{namespace={quoted(namespace)},service={quoted(name)}}}"


def _selector(operator: str, instances: Collection[str]) -> str:
    # An empty pattern would select what has no such label.
    pattern = "|".join(map(re.escape, sorted(instances))) if instances else "no gateway is known"
    return f"{GATEWAYS_SERIES}{{instance{operator}{quoted(pattern)}}}"


def _gateways_query(series: str, fresh_s: float) -> str:
    return _all_of(f"sum by (namespace, service) ({series})", series, fresh_s, copies=_copies_of_gateways(series))


def _all_of(expression: str, series: str, fresh_s: float, *, copies: str) -> str:
    oldest = f"min by (namespace, service) (timestamp(\n{series}\n))"
    sources = f"count by (namespace, service) (count by (namespace, service, instance) (\n{series}\n))"
    parts = [
        _labelled(f"\n{expression}\n", "value"),
        _labelled(f"{oldest} < time() - {fresh_s:g}", "oldest"),
        _labelled(f"{sources} != scalar(max({sources}))", "series"),
        _labelled(f"(\n{expression}\n) unless on (namespace, service) (\n{series}\n)", "bare"),
        _labelled(f"min({oldest} >= time() - {fresh_s:g})", "oldest"),
        _labelled(f"max({sources})", "series"),
    ]
    return "\nor ".join([*parts, _labelled(copies, "twice")] if copies else parts)


def _labelled(vector: str, kind: str) -> str:
    return f'label_replace({vector}, "f", "{kind}", "", "")'


def _copies_of_gateways(series: str) -> str:
    """Count what cannot be: two series of one gateway, service and state."""
    return f"count by (namespace, service) (count by (namespace, service, instance, pod, state) ({series}) > 1)"


def _copies(asked: Asked) -> str:
    if is_of_gateways(asked):
        return _copies_of_gateways(asked.series)
    if REPLICA in asked.expression:
        return ""
    replicas = f"count by (namespace, service, instance, {REPLICA}) (\n{asked.series}\n)"
    return f"count by (namespace, service) (count by (namespace, service, instance) ({replicas}) > 1)"
