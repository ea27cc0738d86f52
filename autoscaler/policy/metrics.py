"""Where requests in flight are read, besides the gateway's own stream."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, StringConstraints, WithJsonSchema, model_validator

from autoscaler.documents.fields import RULES, Duration, ResourceModel, Shape, lasting, rule
from autoscaler.documents.prometheus_address import LONGEST, PATTERN, checked
from autoscaler.documents.promql import GATEWAYS_QUERY, SELECTOR, SUM_OF_A_SERIES

ServerAddress = Annotated[
    str, AfterValidator(checked), WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": LONGEST})
]
"""See `prometheus_address`."""

_SERIES_CEL = f"has(self.series) || !has(self.query) || self.query.matches(r'''{SUM_OF_A_SERIES}''')"
_SERIES_NEEDED = (
    "query: needs `series` beside it, the raw series behind the query, such as inflight_requests; only from "
    "`sum by (namespace, service) (SELECTOR)` can it be read"
)


_A_SELECTOR = (
    'a selector such as name or name{label="value"} with nothing around it: only of that does Prometheus tell how old '
    "the samples are"
)


class Prometheus(ResourceModel):
    """How to read the requests in flight from Prometheus, besides the gateway's own stream."""

    model_config = ConfigDict(json_schema_extra={RULES: [rule(_SERIES_CEL, _SERIES_NEEDED)]})

    server_address: ServerAddress | None = None
    """Base address, such as `http://prometheus.monitoring.svc:9090`, of a server that the controller's
    `--prometheus-servers` or `--prometheus-credentials` names. Absent: the controller's `--prometheus`."""
    query: Annotated[str, StringConstraints(max_length=4096)] = GATEWAYS_QUERY
    """PromQL with one value for each pair of the labels `namespace` and `service`. With the default query only series
    of gateways that the controller knows count; with another query all that it finds."""
    series: Annotated[str, Shape(SELECTOR, _A_SELECTOR, 4096)] | None = None
    """The raw series behind the query, as a selector such as `name{label="value"}`. Their time stamps and number say
    how far to trust the value. It may be absent if the query is `sum by (namespace, service) (SELECTOR)`."""
    max_sample_age: Annotated[Duration, lasting("1s", "1h")] = 15.0
    """A count with an older sample is unknown; it is never zero."""

    pod_query: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    """Only without `traffic`: PromQL with one value for each label `pod`, the requests that each pod of the service
    runs, such as `sum by (pod) (vllm:num_requests_running{namespace="shop"})`. It is asked before the number falls, so
    that idle pods leave first. Absent: the youngest pods leave first."""

    @model_validator(mode="after")
    def _series_is_known(self) -> Self:
        if self.series is None and not re.fullmatch(SUM_OF_A_SERIES, self.query):
            raise ValueError(_SERIES_NEEDED)
        return self

    def raw_series(self) -> str:
        """Give the selector of the raw series, read from the query if it is absent."""
        match = re.fullmatch(SUM_OF_A_SERIES, self.query)
        return self.series or (match.group(1) if match else self.query)


class Metrics(ResourceModel):
    """Where requests in flight are read. The gateway's stream is always read."""

    prometheus: Prometheus | None = None
    """Absent: the controller's `--prometheus` with the default query if it is set, else the stream alone."""
