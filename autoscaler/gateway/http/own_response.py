"""A response of the gateway itself, as bytes."""

from http import HTTPStatus

GATEWAY_FAILED = "internal error; the gateway's log has the details"


TEXT = b"text/plain; charset=utf-8"


def own_response(
    status: int,
    text: str,
    content_type: bytes = TEXT,
    *,
    keep_alive: bool,
    added: bytes = b"",
    without_body: bool = False,
) -> bytes:
    """Return a whole response; `added` are whole header lines."""
    body = f"{text}\n".encode()
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        HTTPStatus(status).phrase.encode(),
        content_type,
        len(body),
        added,
        b"" if keep_alive else b"Connection: close\r\n",
        b"" if without_body else body,
    )
