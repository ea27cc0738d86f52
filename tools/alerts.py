"""The recording and alert rules: one description, written as a PrometheusRule and as a plain file of rules."""

from typing import Any, NamedTuple

import yaml
from panels import grown

_ALL_STARTS = 'max by (namespace, service, le) (inflight_cold_start_seconds_bucket{stage="total"})'
_BY = "by (namespace, service)"
_START_P90 = "service:inflight_cold_start_seconds:p90"
_QUEUED = "service:inflight_requests_queued:sum"
_OLDEST = f"max {_BY} (gateway_oldest_wait_seconds)"
_WRITE_ERRORS = 'inflight_controller_writes_total{result="error"}'
_DRAIN_PROBLEMS = 'inflight_drain_problems_total{rule=~"drainUnconfirmed|podsUnknown"}'
_REFUSED = 'reason=~"queue_full|queue_timeout|overloaded|cut_off|drained|upstream_.*|invalid_response|error"'
_UNMEASURED_START_S = 300
_MANY_QUOTES = 20


class Alert(NamedTuple):
    """One alert."""

    name: str
    expression: str
    lasts: str
    """How long the expression must hold."""
    severity: str
    summary: str
    action: str
    """What to do."""


def _led(metric: str) -> str:
    """Give a metric of the controller that leads: the other one may have other observations."""
    return f"max {_BY} ({metric} and on (instance) inflight_controller_leader == 1)"


RECORDS = {
    _QUEUED: f'sum {_BY} (inflight_requests{{state="queued"}})',
    _START_P90: f"histogram_quantile(0.9, {_ALL_STARTS})",
    "service:gateway_responses:rate5m": "sum by (namespace, service, class) (rate(gateway_responses_total[5m]))",
    "service:gateway_response_seconds:p95_5m": (
        "histogram_quantile(0.95, sum by (namespace, service, le) (rate(gateway_response_seconds_bucket[5m])))"
    ),
    "service:inflight_gpus:rate5m": "max by (namespace, service, state) (rate(inflight_gpu_seconds_total[5m]))",
}
_SERVICE = "{{ $labels.namespace }}/{{ $labels.service }}"
ALERTS = (
    Alert(
        "InflightCountUnknown",
        f"{_led('inflight_count_unknown')} == 1",
        "2m",
        "warning",
        f"The requests in flight of {_SERVICE} are unknown, and its replicas are held.",
        "Look at the reason in the policy's condition ScalingActive, and at the gateways and Prometheus.",
    ),
    Alert(
        "InflightQueueOlderThanAColdStart",
        f"{_OLDEST} > on (namespace, service) (1.5 * {_START_P90}) or "
        f"({_OLDEST} > {_UNMEASURED_START_S} unless on (namespace, service) {_START_P90})",
        "1m",
        "warning",
        f"A request of {_SERVICE} has waited for longer than pods take to start.",
        "See why no pod takes it: at the maximum, no free node, or pods that do not become ready.",
    ),
    Alert(
        "InflightAtMaxAndWaiting",
        f"{_led('inflight_at_max')} == 1 and on (namespace, service) {_QUEUED} > 0",
        "5m",
        "warning",
        f"{_SERVICE} is at its maximum, and requests wait.",
        "Raise maxReplicas, or accept the wait.",
    ),
    Alert(
        "InflightForeignWriter",
        f"{_led('inflight_foreign_writer')} == 1",
        "1m",
        "warning",
        f"Another writer sets the replicas of {_SERVICE}.",
        "Find it in the policy's events, and let only one of the two scale the target.",
    ),
    Alert(
        "InflightNobodyLeads",
        "(sum(inflight_controller_leader) or vector(0)) < 1",
        "1m",
        "critical",
        "No controller writes replicas.",
        "Look at the controllers' pods and logs, and at the Lease inflight-controller.",
    ),
    Alert(
        "InflightWritesRefused",
        f"{grown(f'max {_BY}', _WRITE_ERRORS, '5m')} > 0",
        "5m",
        "warning",
        f"The replicas of {_SERVICE} cannot be written.",
        "The controller's log has the answer of the API server: often a missing right, a quota or an admission.",
    ),
    Alert(
        "InflightRequestsRefused",
        f"sum {_BY} (rate(gateway_requests_total{{{_REFUSED}}}[5m])) "
        f"/ sum {_BY} (rate(gateway_requests_total[5m])) > 0.01",
        "5m",
        "warning",
        f"More than 1 % of the requests of {_SERVICE} end without a pod's response.",
        "See the reasons in gateway_requests_total.",
    ),
    Alert(
        "InflightPodsWithoutAPlace",
        f"{_led('inflight_unplaced_replicas')} > 0",
        "5m",
        "warning",
        f"Replicas of {_SERVICE} have no place: no node has room, or Kubernetes does not create their pods.",
        "Add nodes with GPUs, or lower maxReplicas.",
    ),
    Alert(
        "InflightScaleDownFails",
        f"{grown(f'sum {_BY}', _DRAIN_PROBLEMS, '15m')} > 2",
        "5m",
        "warning",
        f"Scale-downs of {_SERVICE} go on without the gateways' confirmation, or without knowing what pods run.",
        "See that each gateway is reached by the controller and is up to date.",
    ),
    Alert(
        "InflightQuotesMissed",
        f'sum {_BY} (increase(inflight_quote_hits_total{{hit="missed"}}[1h])) '
        f"/ sum {_BY} (increase(inflight_quote_hits_total[1h])) > 0.2 "
        f"and sum {_BY} (increase(inflight_quote_hits_total[1h])) > {_MANY_QUOTES}",
        "10m",
        "warning",
        f"More than a fifth of the waiting users of {_SERVICE} waited for longer than they were promised.",
        "Compare the measured cold starts and service times with those of an hour ago.",
    ),
    Alert(
        "InflightGatewayDown",
        "absent(inflight_requests)",
        "1m",
        "critical",
        "No gateway is scraped.",
        "Look at the gateways' pods, and at how Prometheus finds them.",
    ),
    Alert(
        "InflightGatewayOverloaded",
        "max by (instance) (gateway_overloaded) == 1",
        "1m",
        "critical",
        "The gateway {{ $labels.instance }} refuses requests for lack of memory.",
        "Give it more memory, or add a gateway.",
    ),
)


def _groups() -> list[dict[str, Any]]:
    return [
        {"name": "inflight.records", "rules": [{"record": name, "expr": expr} for name, expr in RECORDS.items()]},
        {"name": "inflight.alerts", "rules": [_alert(each) for each in ALERTS]},
    ]


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.action},
    }


def plain() -> str:
    """Write the rules as a file for Prometheus' `rule_files`."""
    return _written({"groups": _groups()})


def resource() -> str:
    """Write the rules as a PrometheusRule of the operator's."""
    head = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "inflight"}}
    return _written({**head, "spec": {"groups": _groups()}})


def _written(document: dict[str, Any]) -> str:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=160)
    return f"# Generated by tools/generated.py from tools/alerts.py.\n{text}"
