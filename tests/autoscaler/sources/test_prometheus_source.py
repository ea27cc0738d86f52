"""Whatever servers answer, the source gives a reading and a past for each service, and raises nothing."""

import asyncio
import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents.promql import GATEWAYS_QUERY, GATEWAYS_SERIES
from autoscaler.ports import Query
from autoscaler.sources.prometheus import PrometheusSource
from autoscaler.sources.prometheus_response import LARGEST_COUNT

A, B = "ns/a", "ns/b"
OURS = Query("http://p:9090", GATEWAYS_QUERY, GATEWAYS_SERIES, 15.0)
OWN = Query("http://p:9090", "max by (namespace, service) (x)", "x", 15.0)

numbers = (
    st.floats().map(str) | st.integers(-1, 5).map(str) | st.sampled_from(["1e303", "1e308", "9" * 400, "+Inf", "x"])
)
times = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.sampled_from([1000, 1000.5])
points = st.tuples(times, numbers)
names = st.sampled_from(["a", "b", "", "gateway", "10.0.0.1:9090", 'a"\\\n'])
labels = st.fixed_dictionaries(
    {"f": st.sampled_from(["value", "oldest", "series", "bare", "twice", "other", "none"])},
    optional={"namespace": st.just("ns"), "service": names, "instance": names, "pod": names, "state": names},
)
elements = st.fixed_dictionaries({"metric": labels}, optional={"value": points, "values": st.lists(points, max_size=3)})
results = st.lists(elements, max_size=6) | points
answers = st.fixed_dictionaries(
    {"status": st.sampled_from(["success", "success", "success", "error"])},
    optional={
        "data": st.fixed_dictionaries(
            {"resultType": st.sampled_from(["vector", "matrix", "scalar", "other"]), "result": results}
        ),
        "warnings": st.lists(st.text(max_size=5), max_size=1) | st.integers(),
        "errorType": st.sampled_from(["bad_data", "PLANTED"]) | st.integers() | st.none(),
    },
)
bodies = answers.map(lambda answer: json.dumps(answer).encode()) | st.binary(max_size=20)
replies = st.tuples(st.sampled_from([200, 200, 200, 200, 204, 302, 400, 403, 503, 599, 999]), bodies)


class Replies:
    """Answers one request after the other, and the last one again and again."""

    def __init__(self, replies):
        self._replies = list(replies)

    @contextlib.asynccontextmanager
    async def post(self, _url, **_options):
        self.status, self._body = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        self.ok, self.content_type, self.content = self.status < 400, "application/json", self
        yield self

    async def iter_any(self):
        yield self._body


@given(st.lists(replies, min_size=1, max_size=5), st.sampled_from([OURS, OWN]), st.sets(names, max_size=2) | st.none())
def test_every_service_gets_a_reading_and_a_past_that_can_be(answers, query, gateways):
    async def asked():
        known = None if gateways is None else dict.fromkeys(gateways, "10.0.0.1:9090")
        source = PrometheusSource(Replies(answers), gateways=lambda: known)
        first = await source.read({A: query, B: query}, 50.0)
        again = await source.read({A: query, B: query}, 52.0)
        past = await source.history({A: query, B: query}, 50.0, span_s=4, step_s=2)
        return first, again, past

    *readings, histories = asyncio.run(asked())
    assert all(found.keys() == {A, B} for found in (*readings, histories))
    found = [reading for each in readings for reading in each.values()]
    found += [moment.reading for past in histories.values() for moment in past.readings]
    for reading in found:
        assert reading.problem if reading.value is None else 0 <= reading.value <= LARGEST_COUNT
        assert reading.sampled_s <= 52
    assert all(
        "PLANTED" not in text for text in [*(each.problem for each in found), *(p.problem for p in histories.values())]
    )
