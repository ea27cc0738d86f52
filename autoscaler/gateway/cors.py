"""Cross-origin requests: a browser sends a preflight before the request, and the gateway may answer it for the pod."""

from dataclasses import dataclass
from http import HTTPStatus

from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.http.headers import RequestHead
from autoscaler.gateway.http.own_response import own_response

_ASKS = b"access-control-request-method"
_PREFLIGHTS_PER_POD = 64
"""Open preflights for each pod on counted paths; the rule of a Pass path has its own number."""


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages may call a service."""

    origins: tuple[str, ...]
    """Such as `https://app.example.com`; `*` is any."""
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    headers: tuple[str, ...] = ("Content-Type", "Authorization")
    max_age_s: float = 600.0
    """How long a browser may cache the answer."""

    def preflight_lines(self, head: RequestHead) -> bytes | None:
        """Return the header lines that answer a preflight; None if the page may not send the request."""
        if not self._allowed(head):
            return None
        methods, headers = ", ".join(self.methods).encode(), ", ".join(self.headers).encode()
        return b"%bAccess-Control-Allow-Methods: %b\r\n%bAccess-Control-Max-Age: %d\r\n" % (
            self.response_lines(head),
            methods,
            b"Access-Control-Allow-Headers: %b\r\n" % headers if headers else b"",
            self.max_age_s,
        )

    def answer_preflight(self, head: RequestHead, *, keep_alive: bool) -> bytes:
        """Return the whole answer to a preflight."""
        lines = self.preflight_lines(head)
        if lines is None:
            text = "traffic.cors of this service does not allow this origin"
            return own_response(HTTPStatus.FORBIDDEN, text, keep_alive=keep_alive)
        return b"HTTP/1.1 204 No Content\r\n%b%b\r\n" % (lines, b"" if keep_alive else b"Connection: close\r\n")

    def response_lines(self, head: RequestHead) -> bytes:
        """Return the header lines that let a page read the response."""
        if "*" in self.origins:
            return b"Access-Control-Allow-Origin: *\r\n" if _origin(head) else b""
        allowed = b"Access-Control-Allow-Origin: %b\r\n" % _origin(head) if self._allowed(head) else b""
        return allowed + b"Vary: Origin\r\n"

    def _allowed(self, head: RequestHead) -> bool:
        origin = _origin(head)
        return bool(origin) and ("*" in self.origins or origin.lower().decode("latin-1") in self.origins)


def _origin(head: RequestHead) -> bytes:
    origins = head.values.get(b"origin", ())
    return origins[0] if len(origins) == 1 else b""


def is_preflight(head: RequestHead) -> bool:
    """Return whether a request without a body is a CORS preflight."""
    return head.method == b"OPTIONS" and _ASKS in head.values and bool(_origin(head))


def preflight_rule(rule: PathRule) -> PathRule:
    """Return the rule of a preflight on a path: it takes no slot, because the request itself follows."""
    rule = rule._replace(hint=None)
    return rule if rule.kind is SlotUse.PASS else rule._replace(kind=SlotUse.PASS, max_per_pod=_PREFLIGHTS_PER_POD)
