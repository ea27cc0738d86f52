"""The gateway's own errors in each format."""

import json
from dataclasses import replace

import pytest
from gateway_kit import service
from hypothesis import given
from hypothesis import strategies as st
from waiting_kit import curl

from autoscaler.gateway.config import ErrorFormat
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.error_responses import ERROR_RESPONSES, error_body

PROBLEM = ErrorFormat.PROBLEM
OPENAI = [
    b"/v1/chat/completions",
    b"/v1/completions?x=1",
    b"/openai/v1/embeddings",
    b"/v1/models",
    b"/v1/models/meta/llama",
    b"/v1/images/generations/",
    b"/v1/audio/transcriptions",
    b"/v1/responses",
]
OTHERS = [b"/", b"/v1", b"/v1/chat", b"/v1/chat/completionsx", b"/xv1/completions", b"/?a=/v1/completions", b"*"]


@pytest.mark.parametrize("outcome", ERROR_RESPONSES, ids=str)
def test_b105_text_is_the_default_and_says_the_same_as_each_other_format(outcome):
    status, text = ERROR_RESPONSES[outcome]
    assert error_body(outcome, "", service().errors, b"/v1/completions", {"a": 1}) == (
        status,
        text,
        b"text/plain; charset=utf-8",
    )
    problem = error_body(outcome, "", PROBLEM, b"/", {"position": 2})
    assert problem.content_type == b"application/problem+json"
    assert json.loads(problem.text) == {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": text,
        "code": outcome.value,
        "position": 2,
    }
    openai = error_body(outcome, "", PROBLEM, b"/v1/chat/completions", {"position": 2})
    assert openai.content_type == b"application/json"
    error = json.loads(openai.text)["error"]
    assert (error["message"], error["code"], error["param"], error["position"]) == (text, outcome.value, None, 2)
    kinds = {4: "invalid_request_error", 5: "server_error"}
    assert error["type"] == ("rate_limit_error" if status == 429 else kinds[status // 100])


@pytest.mark.parametrize("target", OPENAI, ids=repr)
def test_b105_paths_of_openais_api_get_errors_of_its_shape(target):
    assert "error" in json.loads(error_body(RequestOutcome.QUEUE_FULL, "", PROBLEM, target, {}).text)


@pytest.mark.parametrize("target", OTHERS, ids=repr)
def test_b105_other_paths_get_problems(target):
    assert "detail" in json.loads(error_body(RequestOutcome.QUEUE_FULL, "", PROBLEM, target, {}).text)


@given(st.binary(max_size=200))
def test_b105_nothing_of_a_path_is_in_an_error(tail):
    bodies = {error_body(RequestOutcome.ASLEEP, "", PROBLEM, start + tail, {}) for start in (b"/", b"/v1/models/")}
    plain = {error_body(RequestOutcome.ASLEEP, "", PROBLEM, target, {}) for target in (b"/", b"/v1/models")}
    assert bodies <= plain


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("/sdapi/v1/txt2img", "application/problem+json", lambda read: read["code"]),
        ("/v1/chat/completions", "application/json", lambda read: read["error"]["code"]),
    ],
)
async def test_b105_curl_reads_an_error_as_the_policy_asks(kit, path, kind, code):
    gateway = await kit.gateway(replace(service(queue_length=0), errors=PROBLEM))
    answer = await curl(gateway, path, "--data", "{}")
    assert (answer["http_code"], answer["content_type"]) == (503, kind)
    assert code(json.loads(answer["body"])) == "queue_full"
