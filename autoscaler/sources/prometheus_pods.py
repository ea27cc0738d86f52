"""What a response with one value for each pod means. No I/O.

Rules:
1. One element that is not a count of one pod makes the whole response worthless: nothing is known then.
2. The message never repeats text of a response, because others read it.
"""

from math import ceil

import msgspec

from autoscaler.ports import PodCounts
from autoscaler.sources.prometheus_response import LARGEST_COUNT, QueryError, malformed_is_error, result_of


class _Labels(msgspec.Struct, gc=False):
    pod: str | None = None


class _Element(msgspec.Struct, gc=False):
    metric: _Labels
    value: tuple[float, str]


_VECTOR = msgspec.json.Decoder(list[_Element])


def parse_pods(body: bytes) -> PodCounts:
    """Read the response to a query for pods; raises QueryError."""
    running: dict[str, int] = {}
    with malformed_is_error():
        result, warning = result_of(body, "vector")
        values = [(element.metric.pod, float(element.value[1])) for element in _VECTOR.decode(result)]
    if warning:
        raise QueryError(f"part of the data may be missing: {warning}")
    for pod, value in values:
        if not pod:
            raise QueryError("the result lacks the label pod; aggregate with sum by (pod) (...)")
        if pod in running:
            raise QueryError("several values for one pod; aggregate with sum by (pod) (...)")
        if not 0 <= value <= LARGEST_COUNT:
            raise QueryError("a value is not a number of requests")
        running[pod] = ceil(value)
    return PodCounts(running)
