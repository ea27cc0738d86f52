"""A whole response of the gateway's own, as bytes."""

from http import HTTPStatus

GATEWAY_FAILED = "the gateway failed; its log says why"


def own_response(status: int, text: str, *, keep_alive: bool, added: bytes = b"", without_body: bool = False) -> bytes:
    """Write a whole response of our own; `added` are whole header lines."""
    body = f"{text}\n".encode()
    return b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        HTTPStatus(status).phrase.encode(),
        len(body),
        added,
        b"" if keep_alive else b"Connection: close\r\n",
        b"" if without_body else body,
    )
