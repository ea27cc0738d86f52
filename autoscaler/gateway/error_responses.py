"""Error responses of the gateway to a request of a service: the status and the text of each outcome, in each format.

`router` answers requests that belong to no service, `http/client_connection` requests that cannot be read.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from autoscaler.gateway.config import ErrorFormat
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http.incoming_body import BrokenBodyError
from autoscaler.gateway.http.own_response import GATEWAY_FAILED, TEXT
from autoscaler.gateway.http.request_parser import TOO_MUCH_OVERHEAD
from autoscaler.gateway.request_body import BodyLateError, BodyTooLargeError

ERROR_RESPONSES = {
    RequestOutcome.QUEUE_FULL: (HTTPStatus.SERVICE_UNAVAILABLE, "the queue is full"),
    RequestOutcome.ALL_BUSY: (HTTPStatus.TOO_MANY_REQUESTS, "every pod is busy, and the queue is full"),
    RequestOutcome.BEYOND_DEADLINE: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "a pod is not expected to be free within the time that the client waits",
    ),
    RequestOutcome.OVERLOADED: (HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is short of memory"),
    RequestOutcome.QUEUE_TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "no pod was free in time"),
    RequestOutcome.ASLEEP: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the service has no pod, and this request starts none",
    ),
    RequestOutcome.CUT_OFF: (HTTPStatus.SERVICE_UNAVAILABLE, "this gateway is cut off from the others"),
    RequestOutcome.DRAINED: (HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is shutting down"),
    RequestOutcome.ERROR: (HTTPStatus.INTERNAL_SERVER_ERROR, GATEWAY_FAILED),
    RequestOutcome.UPSTREAM_RESET: (
        HTTPStatus.BAD_GATEWAY,
        "the pod closed its connection before the response ended",
    ),
    RequestOutcome.INVALID_RESPONSE: (HTTPStatus.BAD_GATEWAY, "the pod's response is not valid HTTP"),
    RequestOutcome.UPSTREAM_TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "the pod did not answer in time"),
    RequestOutcome.BAD_REQUEST: (HTTPStatus.BAD_REQUEST, "the request's body is malformed"),
    RequestOutcome.FRAMING_TOO_LARGE: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_MUCH_OVERHEAD),
    RequestOutcome.BODY_LATE: (HTTPStatus.REQUEST_TIMEOUT, "the request's body did not arrive, or arrived too slowly"),
    RequestOutcome.BODY_TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request's body is too large"),
}
_BODY_ENDINGS: Mapping[type[Exception], RequestOutcome] = {
    BrokenBodyError: RequestOutcome.BAD_REQUEST,
    BodyLateError: RequestOutcome.BODY_LATE,
    BodyTooLargeError: RequestOutcome.BODY_TOO_LARGE,
}
_BROKEN_ENDINGS = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: RequestOutcome.FRAMING_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR: RequestOutcome.ERROR,
}
BODY_ERRORS = tuple(_BODY_ENDINGS)
RETRY_LATER = frozenset(
    {
        RequestOutcome.QUEUE_FULL,
        RequestOutcome.ALL_BUSY,
        RequestOutcome.BEYOND_DEADLINE,
        RequestOutcome.OVERLOADED,
        RequestOutcome.QUEUE_TIMEOUT,
        RequestOutcome.ASLEEP,
        RequestOutcome.CUT_OFF,
        RequestOutcome.DRAINED,
    }
)


_OPENAI_PATH = re.compile(
    rb"[^?#]*/v1/(?:chat/completions|completions|embeddings|images/(?:edits|generations|variations)"
    rb"|audio/(?:speech|transcriptions|translations)|moderations|models(?:/[^?#]*)?|responses)/?(?:[?#].*)?",
    re.DOTALL,
)
_FIRST_SERVER_ERROR = 500


class ErrorBody(NamedTuple):
    """A response without the headers of its connection."""

    status: HTTPStatus
    text: str
    content_type: bytes = TEXT


class RequestRejectedError(Exception):
    """The request gets an error response of the gateway."""

    def __init__(self, outcome: RequestOutcome, detail: str = "") -> None:
        """Say how the request ends, and for its client why, if the text of the outcome does not fit."""
        super().__init__(outcome.value)
        self.outcome = outcome
        self.detail = detail


def outcome_of_body_error(error: Exception) -> RequestOutcome:
    """Return the outcome of a request whose body cannot be passed on."""
    outcome = _BODY_ENDINGS[type(error)]
    return _BROKEN_ENDINGS.get(error.status, outcome) if isinstance(error, BrokenBodyError) else outcome


def error_body(
    outcome: RequestOutcome, detail: str, error_format: ErrorFormat, target: bytes, members: Mapping[str, Any]
) -> ErrorBody:
    """Return the answer for an outcome.

    Args:
        outcome: how the request ended.
        detail: why, if the text of the outcome does not fit.
        error_format: what the policy asks for.
        target: the request's target; clients of OpenAI's API read errors of a shape of their own.
        members: what else is known, such as an estimate, for the formats that have room for it.
    """
    status, text = ERROR_RESPONSES[outcome]
    text = detail or text
    if error_format is ErrorFormat.TEXT:
        return ErrorBody(status, text)
    return error_document(status, outcome.value, text, target, members)


def error_document(status: HTTPStatus, code: str, detail: str, target: bytes, members: Mapping[str, Any]) -> ErrorBody:
    """Return an error as JSON."""
    if _OPENAI_PATH.fullmatch(target):
        error = {"message": detail, "type": _openai_type(status), "param": None, "code": code, **members}
        return ErrorBody(status, json.dumps({"error": error}), b"application/json")
    problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail, "code": code}
    return ErrorBody(status, json.dumps({**problem, **members}), b"application/problem+json")


def _openai_type(status: HTTPStatus) -> str:
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= _FIRST_SERVER_ERROR else "invalid_request_error"
