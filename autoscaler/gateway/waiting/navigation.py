"""A browser that opens a page: how it is recognised, and how its place is kept without cookies and scripts.

The place is a token in the query. Each waiting page asks to be refreshed with a new one. No pod gets it.
"""

from collections.abc import Sequence
from secrets import token_bytes
from typing import NamedTuple
from urllib.parse import quote

from autoscaler.gateway.http.headers import RequestHead
from autoscaler.gateway.waiting.place_tokens import PlaceToken

PARAMETER = b"inflight-place="
_KEY_BYTES = 8
_LONGEST_QUERY = 1024
"""Bytes of a query that a refresh repeats. With a longer one a page is held as any other request."""
_SAFE = "!$&()*+,;=:@/?%-._~"
"""Characters of a query that are harmless in a header and in HTML; all others are encoded."""


class Navigation(NamedTuple):
    """One page that a browser opens, over all its refreshes."""

    place: PlaceToken
    is_back: bool
    """Whether it has waited before."""
    query: str
    """What to repeat; only harmless characters."""

    def refresh_url(self, token: bytes) -> str:
        """Return the relative address of the next refresh."""
        return f"?{self.query}{'&' if self.query else ''}{PARAMETER.decode()}{token.decode()}"

    @property
    def fresh_url(self) -> str:
        """The relative address that asks for a new place."""
        return f"?{self.query}"


def without_token(head: RequestHead) -> tuple[RequestHead, bytes]:
    """Return the head without the gateway's own parameter, and the token in it; empty if there is none."""
    path, mark, query = head.target.partition(b"?")
    if PARAMETER not in query:
        return head, b""
    pairs = query.split(b"&")
    token = next((pair[len(PARAMETER) :] for pair in pairs if pair.startswith(PARAMETER)), b"")
    kept = b"&".join(pair for pair in pairs if not pair.startswith(PARAMETER))
    return head._replace(target=path + mark + kept if kept else path), token


def is_navigation(head: RequestHead) -> bool:
    """Return whether a browser opens a page of its own with this request, not a part of another page."""
    return (
        head.method == b"GET"
        and _only(head, b"sec-fetch-mode") == b"navigate"
        and _only(head, b"sec-fetch-dest") in {b"", b"document"}
        and b"text/html" in b",".join(head.values.get(b"accept", ())).lower()
        and len(_query(head)) <= _LONGEST_QUERY
        and not head.upgrade
    )


def new_place(now_s: float) -> PlaceToken:
    """Return a place for a client that comes now, as Unix time."""
    return PlaceToken(token_bytes(_KEY_BYTES), now_s)


def harmless_query(head: RequestHead) -> str:
    """Return the query with all characters encoded that could mean something in a header or in HTML."""
    return quote(_query(head), safe=_SAFE)


def _query(head: RequestHead) -> bytes:
    return head.target.partition(b"?")[2]


def _only(head: RequestHead, name: bytes) -> bytes:
    values: Sequence[bytes] = head.values.get(name, ())
    return values[0].strip().lower() if len(values) == 1 else b""
