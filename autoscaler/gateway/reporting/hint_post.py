"""`POST /v1/hints`: a program announces requests that are to come.

The body is one JSON object with `service` (`namespace/name`), and optionally `requests` (1), `inSeconds` (0) and `for`
(60): so many requests are to come between `inSeconds` from now and `for` seconds later. The answer is
`{"kept": n, "refused": m}`.
"""

import json
from http import HTTPStatus
from typing import Any, NamedTuple

from aiohttp import web

from autoscaler.gateway.router import Router
from autoscaler.runtime.bearer_tokens import BearerTokens

_LONGEST_BODY = 4096
_NUMBERS = {"requests": (1, 1000, 1), "inSeconds": (0, 86_400, 0), "for": (1, 3600, 60)}
"""Of each key the least and the greatest value, and the value where it is absent."""


class HintPost(NamedTuple):
    """What a program announces."""

    service: str
    requests: int
    in_s: float
    for_s: float


class HintPostError(ValueError):
    """A body that announces nothing; the message names the key, its value and what is legal."""


def read_post(body: bytes) -> HintPost:
    """Read the body of a request.

    Raises:
        HintPostError: it is not one JSON object of known keys with legal values.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise HintPostError("the body must be a JSON object with service, requests, inSeconds and for")
    if unknown := sorted(given.keys() - {"service", *_NUMBERS}):
        raise HintPostError(f"{unknown[0][:64]!r}: is no key; legal are service, requests, inSeconds and for")
    service = given.get("service")
    if not isinstance(service, str):
        raise HintPostError(f"service: is {_shown(service)}; must be namespace/name")
    numbers = {key: _number(key, given.get(key, absent)) for key, (_, _, absent) in _NUMBERS.items()}
    return HintPost(service, int(numbers["requests"]), numbers["inSeconds"], numbers["for"])


def _number(key: str, value: Any) -> float:
    least, most, _ = _NUMBERS[key]
    is_whole = type(value) is int
    if not (is_whole or (type(value) is float and key != "requests")) or not least <= value <= most:
        kind = "a whole number" if key == "requests" else "a number of seconds"
        raise HintPostError(f"{key}: is {_shown(value)}; must be {kind} from {least} to {most}")
    return float(value)


def _shown(value: Any) -> str:
    return json.dumps(value)[:64]


def takes_hints(gateway: Router, tokens: BearerTokens | None) -> Any:
    """Return the handler of `POST /v1/hints`; without tokens it takes none, because a hint costs replicas."""

    async def post(request: web.Request) -> web.Response:
        if tokens is None:
            return _problem(HTTPStatus.FORBIDDEN, "hints need a token: start the gateway with --token-file")
        if (request.content_length or 0) > _LONGEST_BODY:
            return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body must have at most {_LONGEST_BODY} bytes")
        try:
            hint = read_post(await request.read())
        except HintPostError as error:
            return _problem(HTTPStatus.BAD_REQUEST, str(error))
        proxy = gateway.proxies.get(hint.service)
        if proxy is None:
            return _problem(HTTPStatus.NOT_FOUND, f"service: {hint.service[:512]!r} is no service of this gateway")
        if proxy.hints is None:
            return _problem(HTTPStatus.CONFLICT, f"service: the policy of {hint.service} has no spec.hints")
        kept = proxy.hints.announce(request.remote or "", hint.requests, in_s=hint.in_s, for_s=hint.for_s)
        status = HTTPStatus.OK if kept else HTTPStatus.TOO_MANY_REQUESTS
        return web.json_response({"kept": kept, "refused": hint.requests - kept}, status=status)

    return post


def _problem(status: HTTPStatus, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")
