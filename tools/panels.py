"""What the Grafana dashboards show: rows of panels, and the queries of each. `dashboards` writes them as JSON.

Queries of gateways are sums, because each gateway counts its own requests. Queries of the controller are maxima,
because both controllers observe all services. A counter whose series begins with its first event is read by `grown`.
"""

from typing import NamedTuple

_INTERVAL = "$__rate_interval"
_ONE = 'namespace="$namespace",service="$service"'
_BY = "by (namespace, service)"
_QUANTILES = {"P50": 0.5, "P90": 0.9, "P95": 0.95, "P99": 0.99}


class Query(NamedTuple):
    """One query of a panel."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One panel."""

    title: str
    meaning: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    stacked: bool = False
    kind: str = "timeseries"
    most: float | None = None
    """The upper end of the axis."""


class Dashboard(NamedTuple):
    """One dashboard: rows of panels under a heading each."""

    uid: str
    title: str
    of_one_service: bool
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def grown(aggregation: str, counter: str, window: str) -> str:
    """Give by how much a counter has grown, also if its series began within the window."""
    now = f"{aggregation} ({counter})"
    return f"clamp_min({now} - ({aggregation} ({counter} offset {window}) or {now} * 0), 0)"


def _rate(metric: str, more: str = "", of: str = _ONE) -> str:
    return f"rate({metric}{{{of}{more}}}[{_INTERVAL}])"


def _quantiles(histogram: str) -> tuple[Query, ...]:
    buckets = f"sum by (le) ({_rate(f'{histogram}_bucket')})"
    return tuple(Query(f"histogram_quantile({share}, {buckets})", name) for name, share in _QUANTILES.items())


def _most(metric: str, legend: str) -> Query:
    return Query(f"max({metric}{{{_ONE}}})", legend)


_SUCCESSES, _CLIENT_ERRORS, _SERVER_ERRORS = ',class=~"1xx|2xx|3xx"', ',class="4xx"', ',class="5xx"'
_ANSWERED = f"sum({_rate('gateway_responses_total')})"
_STARTS = f'inflight_cold_start_seconds_bucket{{{_ONE},stage="total"}}'
_REFERENCE = (
    Panel("Request volume", "Responses per second.", "reqps", (Query(_ANSWERED, "responses"),)),
    Panel(
        "Success rate",
        "The share of responses that are neither 4xx nor 5xx.",
        "percentunit",
        (Query(f"sum({_rate('gateway_responses_total', _SUCCESSES)}) / {_ANSWERED}", "success"),),
        most=1.0,
    ),
    Panel(
        "4xx",
        "Responses per second that say the request is at fault.",
        "reqps",
        (Query(f"sum({_rate('gateway_responses_total', _CLIENT_ERRORS)})", "4xx"),),
    ),
    Panel(
        "5xx",
        "Responses per second that say the gateway or a pod is at fault.",
        "reqps",
        (Query(f"sum({_rate('gateway_responses_total', _SERVER_ERRORS)})", "5xx"),),
    ),
    Panel(
        "Pods over time",
        "Pods that serve, and pods that start.",
        "short",
        (_most("inflight_ready_replicas", "ready"), _most("inflight_starting_replicas", "starting")),
        stacked=True,
    ),
    Panel(
        "Response time",
        "From the arrival of a request to the last byte of its response.",
        "s",
        _quantiles("gateway_response_seconds"),
    ),
)
_WHY = (
    Panel(
        "In flight",
        "Requests that wait, and requests that pods run.",
        "short",
        (
            Query(f'sum(inflight_requests{{{_ONE},state="running"}})', "running"),
            Query(f'sum(inflight_requests{{{_ONE},state="queued"}})', "queued"),
        ),
        stacked=True,
    ),
    Panel(
        "Replicas",
        "What the algorithm recommends, what was decided, what is asked for, and what is there.",
        "short",
        (
            _most("inflight_recommended_replicas", "recommended"),
            _most("inflight_desired_replicas", "desired"),
            _most("inflight_replicas", "asked for"),
            _most("inflight_ready_replicas", "ready"),
            _most("inflight_starting_replicas", "starting"),
            _most("inflight_unplaced_replicas", "without a place"),
        ),
    ),
    Panel(
        "Oldest wait",
        "How long the oldest waiting request has waited.",
        "s",
        (_most("gateway_oldest_wait_seconds", "oldest"),),
    ),
    Panel("Wait", "From the arrival of a request until a pod gets it.", "s", _quantiles("gateway_wait_seconds")),
    Panel(
        "Decisions by rule",
        "The last rule that changed the number: what decides how many replicas there are.",
        "short",
        (Query(grown("max by (rule)", f"inflight_decisions_total{{{_ONE}}}", _INTERVAL), "{{rule}}"),),
        stacked=True,
    ),
    Panel(
        "Candidates",
        "What the policy's candidates would ask for, beside what was decided.",
        "short",
        (
            Query(f"max by (candidate) (inflight_candidate_desired_replicas{{{_ONE}}})", "{{candidate}}"),
            _most("inflight_desired_replicas", "decided"),
        ),
    ),
)
_MEAN_STAGES = (
    f"max by (stage) (inflight_cold_start_seconds_sum{{{_ONE}}}) / "
    f"max by (stage) (inflight_cold_start_seconds_count{{{_ONE}}})"
)
_COSTS = (
    Panel(
        "Cold starts by stage",
        "The mean of each stage, over the starts that the controller has measured since it started.",
        "s",
        (Query(_MEAN_STAGES, "{{stage}}"),),
    ),
    Panel(
        "Cold starts",
        "The time within which half, and nine of ten, of the measured starts were ready.",
        "s",
        tuple(
            Query(f"histogram_quantile({share}, max by (le) ({_STARTS}))", name)
            for name, share in {"P50": 0.5, "P90": 0.9}.items()
        ),
    ),
    Panel(
        "GPUs by state",
        "GPUs that replicas hold.",
        "short",
        (Query(f"max by (state) ({_rate('inflight_gpu_seconds_total')})", "{{state}}"),),
        stacked=True,
    ),
    Panel(
        "Cost per hour",
        "What the replicas cost, in the currency of the policy.",
        "short",
        (Query(f"max by (currency) ({_rate('inflight_cost_total')}) * 3600", "{{currency}}"),),
    ),
    Panel(
        "Cost in this range",
        "The sum over the time range of the dashboard.",
        "short",
        (Query(f"max by (currency) (increase(inflight_cost_total{{{_ONE}}}[$__range]))", "{{currency}}"),),
        kind="stat",
    ),
    Panel(
        "Quotes kept",
        "The share of waiting requests that started within the time that nine of ten were to start in.",
        "percentunit",
        (
            Query(
                f'sum(increase(inflight_quote_hits_total{{{_ONE},hit="kept"}}[$__range])) / '
                f"sum(increase(inflight_quote_hits_total{{{_ONE}}}[$__range]))",
                "kept",
            ),
        ),
        kind="stat",
    ),
)


def _top(expression: str) -> tuple[Query, ...]:
    return (Query(f"topk(20, {expression})", "{{namespace}}/{{service}}"),)


def _each(label: str, counter: str, by: str = "max") -> str:
    """Give the rate of a counter of each service, by one more label."""
    return f"{by} by (namespace, service, {label}) (rate({counter}[{_INTERVAL}]))"


def _total(metric: str, legend: str) -> Query:
    return Query(f"sum(max {_BY} ({metric}))", legend)


_FLEET = (
    (
        "Now",
        (
            Panel(
                "Requests in flight",
                "Requests of all services that wait or run.",
                "short",
                (Query("sum by (state) (inflight_requests)", "{{state}}"),),
                width=6,
                kind="stat",
            ),
            Panel(
                "Replicas",
                "Replicas of all services.",
                "short",
                (
                    _total("inflight_replicas", "asked for"),
                    _total("inflight_ready_replicas", "ready"),
                    _total("inflight_starting_replicas", "starting"),
                ),
                width=6,
                kind="stat",
            ),
            Panel(
                "Cost per hour",
                "What all replicas cost, by currency.",
                "short",
                (
                    Query(
                        f"sum by (currency) ({_each('currency', 'inflight_cost_total')}) * 3600",
                        "{{currency}}",
                    ),
                ),
                width=6,
                kind="stat",
            ),
            Panel(
                "Needs attention",
                "Services whose count is unknown, at their maximum, with another writer, or without a place.",
                "short",
                (
                    _total("inflight_count_unknown", "count unknown"),
                    _total("inflight_at_max", "at max"),
                    _total("inflight_foreign_writer", "another writer"),
                    Query(f"count(max {_BY} (inflight_unplaced_replicas) > 0) or vector(0)", "without a place"),
                    Query("sum(inflight_controller_leader)", "leaders"),
                ),
                width=6,
                kind="stat",
            ),
        ),
    ),
    (
        "Services",
        (
            Panel("Queued", "Waiting requests.", "short", _top(f'sum {_BY} (inflight_requests{{state="queued"}})')),
            Panel("Running", "Running requests.", "short", _top(f'sum {_BY} (inflight_requests{{state="running"}})')),
            Panel("Oldest wait", "Of waiting requests.", "s", _top(f"max {_BY} (gateway_oldest_wait_seconds)")),
            Panel("Ready", "Pods that serve.", "short", _top(f"max {_BY} (inflight_ready_replicas)"), stacked=True),
            Panel("Desired", "Desired replicas.", "short", _top(f"max {_BY} (inflight_desired_replicas)")),
            Panel(
                "GPUs by state",
                "GPUs that replicas of all services hold.",
                "short",
                (
                    Query(
                        f"sum by (state) ({_each('state', 'inflight_gpu_seconds_total')})",
                        "{{state}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Responses",
                "Responses per second by class of status.",
                "reqps",
                (Query(f"sum by (class) (rate(gateway_responses_total[{_INTERVAL}]))", "{{class}}"),),
                stacked=True,
            ),
            Panel(
                "5xx",
                "Responses per second that say the gateway or a pod is at fault.",
                "reqps",
                _top(f'sum {_BY} (rate(gateway_responses_total{{class="5xx"}}[{_INTERVAL}]))'),
            ),
            Panel(
                "Response time, P95",
                "From the arrival of a request to the last byte of its response.",
                "s",
                _top(f"histogram_quantile(0.95, {_each('le', 'gateway_response_seconds_bucket', by='sum')})"),
            ),
        ),
    ),
)

DASHBOARDS = (
    Dashboard("inflight-fleet", "Inflight / Fleet", of_one_service=False, rows=_FLEET),
    Dashboard(
        "inflight-service",
        "Inflight / Service",
        of_one_service=True,
        rows=(("Service", _REFERENCE), ("Why this number", _WHY), ("Starts and cost", _COSTS)),
    ),
)
