"""The gateway's own error responses to a request of a service: which status and text each outcome gets."""

from collections.abc import Mapping
from http import HTTPStatus

from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http.own_response import GATEWAY_FAILED
from autoscaler.gateway.http.request_parser import BrokenBodyError
from autoscaler.gateway.request_body import BodyLateError, BodyTooLargeError

ERROR_RESPONSES = {
    RequestOutcome.QUEUE_FULL: (HTTPStatus.SERVICE_UNAVAILABLE, "the queue is full"),
    RequestOutcome.OVERLOADED: (HTTPStatus.SERVICE_UNAVAILABLE, "the gateway has no memory for more requests"),
    RequestOutcome.QUEUE_TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "no pod was free in time"),
    RequestOutcome.ASLEEP: (HTTPStatus.SERVICE_UNAVAILABLE, "the service is at rest, and this does not wake it"),
    RequestOutcome.DRAINED: (HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is going"),
    RequestOutcome.ERROR: (HTTPStatus.INTERNAL_SERVER_ERROR, GATEWAY_FAILED),
    RequestOutcome.UPSTREAM_RESET: (HTTPStatus.BAD_GATEWAY, "the pod broke off"),
    RequestOutcome.INVALID_RESPONSE: (HTTPStatus.BAD_GATEWAY, "the pod's answer is not HTTP"),
    RequestOutcome.UPSTREAM_TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "the pod did not answer in time"),
    RequestOutcome.BAD_REQUEST: (HTTPStatus.BAD_REQUEST, "the body is broken"),
    RequestOutcome.FRAMING_TOO_LARGE: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "there is too much beside the body"),
    RequestOutcome.BODY_LATE: (HTTPStatus.REQUEST_TIMEOUT, "the body did not come, or came too slowly"),
    RequestOutcome.BODY_TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large"),
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
        RequestOutcome.OVERLOADED,
        RequestOutcome.QUEUE_TIMEOUT,
        RequestOutcome.ASLEEP,
        RequestOutcome.DRAINED,
    }
)


class RequestRejectedError(Exception):
    """The request gets no response of a pod."""

    def __init__(self, outcome: RequestOutcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome


def outcome_of_body_error(error: Exception) -> RequestOutcome:
    """Say how a request ends whose body cannot be passed on."""
    outcome = _BODY_ENDINGS[type(error)]
    return _BROKEN_ENDINGS.get(error.status, outcome) if isinstance(error, BrokenBodyError) else outcome
