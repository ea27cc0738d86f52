"""Bearer tokens between our own programs: sent by the client, required by the server.

Rules:
1. The file has one token per line. The first is sent, all are accepted, so that a rotation has no gap: add the new
   token as the second line everywhere, then make it the first, then remove the old one.
2. The file is read again when it changes. An invalid file changes nothing and is logged.
3. Probes need no token, because a kubelet sends none.
"""

import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import hdrs, web

from autoscaler.documents.document import DocumentError
from autoscaler.runtime.files import version_of

_log = logging.getLogger(__name__)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,1024}=*")
"""RFC 6750's b64token, long enough that it cannot be guessed."""
_OPEN = frozenset({"/healthz", "/readyz"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BearerTokens:
    """The current tokens of a file.

    Args:
        file: one token per line.

    Raises:
        DocumentError: the file has no token, or an invalid line.
        OSError: it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version = version_of(file)
        self._tokens = _read(file)

    def header(self) -> str:
        """Give the value of the client's `Authorization` header."""
        self._read_again()
        return f"Bearer {self._tokens[0]}"

    def accepts(self, header: str) -> bool:
        """Tell whether the value of an `Authorization` header has one of the tokens, in constant time."""
        self._read_again()
        scheme, _, token = header.partition(" ")
        given = token.strip().encode()
        matches = [hmac.compare_digest(given, each.encode()) for each in self._tokens]
        return scheme.lower() == "bearer" and any(matches)

    def _read_again(self) -> None:
        version = version_of(self._file)
        if version == self._version:
            return
        self._version = version
        try:
            self._tokens = _read(self._file)
        except (OSError, DocumentError) as error:
            _log.error("tokens not reloaded, the last valid ones stay in force: %s", error)


def authenticated(tokens: BearerTokens | None) -> web.Application:
    """Make an application that responds 401 to requests without a token; probes need none, and so do all if None."""

    @web.middleware
    async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
        if tokens is None or request.path in _OPEN or tokens.accepts(request.headers.get(hdrs.AUTHORIZATION, "")):
            return await handler(request)
        return web.Response(
            status=401, text="a token is needed: see --token-file\n", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
        )

    return web.Application(middlewares=[ask])


def _read(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DocumentError([f"{file}: has a byte that is not ASCII"]) from error
    found = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DocumentError([f"{file}: has no token; write one a line"])
    # The line is a secret, or was meant to be one, so no message shows it.
    legal = "must be 16 to 1024 letters, digits or - . _ ~ + /, and = at its end"
    if problems := [f"{file}:{number}: {legal}" for number, token in found if not _TOKEN.fullmatch(token)]:
        raise DocumentError(problems)
    return tuple(token for _, token in found)
