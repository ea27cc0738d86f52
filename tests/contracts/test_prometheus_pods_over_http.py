"""What pods run, asked of a server over HTTP: an answer, or why there is none."""

import pytest
from aiohttp import web
from metrics_peers import served

from autoscaler.ports import PodCounts, PodQuery
from autoscaler.sources.prometheus import PrometheusSource

pytestmark = pytest.mark.real_time
ANSWER = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"pod": "llm-0"}, "value": [1.0, "3"]}]},
}


async def asked(session, respond):
    async with served("/api/v1/query", respond) as port:
        source = PrometheusSource(session, 2.0)
        return await source.pods(PodQuery(f"http://127.0.0.1:{port}", "sum by (pod) (vllm:num_requests_running)"))


async def test_the_query_of_the_policy_is_asked_as_it_is(session):
    async def respond(request):
        assert (await request.post())["query"] == "sum by (pod) (vllm:num_requests_running)"
        return web.json_response(ANSWER)

    assert await asked(session, respond) == PodCounts({"llm-0": 3})


async def test_a_refusal_is_a_problem_that_names_server_and_query(session):
    async def refuse(_request):
        return web.Response(status=503)

    found = await asked(session, refuse)
    assert found.running == {}
    assert "sum by (pod) (vllm:num_requests_running)" in found.problem
    assert "refused: HTTP 503" in found.problem


async def test_a_server_that_is_gone_is_a_problem(session):
    found = await PrometheusSource(session, 2.0).pods(PodQuery("http://127.0.0.1:1", "a"))
    assert "not reachable" in found.problem
