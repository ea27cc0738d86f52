"""Asks the page of a running controller or gateway. A page that hangs, or answers something else, is an error."""

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from aiohttp import hdrs

from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.terminal.values import AnswerError, Fleet, UnknownServiceError, read

PATIENCE_S = 10.0
MOST_BYTES = 64 << 20
"""Of one answer: ten times that of a fleet of ten thousand services."""


class PageClient:
    """The page at an address.

    Args:
        address: such as `http://127.0.0.1:8090`.
        session: its connections.
        hint: what to do if it cannot be reached.
        tokens: the first is sent with each request.
    """

    def __init__(
        self, address: str, session: aiohttp.ClientSession, hint: str = "", tokens: BearerTokens | None = None
    ) -> None:
        self.name = address.rstrip("/")
        self.notes: list[str] = []
        self._session, self._hint, self._tokens = session, hint, tokens

    async def fleet(self) -> Any:
        """Give all services."""
        _, values = await self._get("/api/v1/fleet")
        return values

    async def service(self, service: str) -> Any:
        """Give one service."""
        return await self._of_service(f"/api/v1/services/{quote(service)}", service)

    async def why_not(self, service: str, replicas: int) -> Any:
        """Give why it does not have this number of replicas."""
        return await self._of_service(f"/api/v1/services/{quote(service)}/why-not?replicas={replicas}", service)

    async def _of_service(self, path: str, service: str) -> Any:
        status, values = await self._get(path)
        if status == HTTPStatus.NOT_FOUND:
            known = [row.name for row in read(await self.fleet(), Fleet, self.name).services]
            raise UnknownServiceError(unknown(service, known))
        return values

    async def _get(self, path: str) -> tuple[int, Any]:
        """Give the values of an answer, or None if there is nothing at this path."""
        headers = {} if self._tokens is None else {hdrs.AUTHORIZATION: self._tokens.header()}
        try:
            async with asyncio.timeout(PATIENCE_S), self._session.get(self.name + path, headers=headers) as response:
                body = await _body(response)
        except TimeoutError:
            raise AnswerError(f"{self.name} does not answer within {PATIENCE_S:g} s.{self._hint}") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise AnswerError(f"{self.name} cannot be reached: {error}.{self._hint}") from error
        if response.status == HTTPStatus.NOT_FOUND:
            return response.status, None
        if response.status != HTTPStatus.OK:
            text = body[:200].decode(errors="replace").strip()
            raise AnswerError(f"{self.name}{path} answers {response.status}: {text}")
        try:
            return response.status, msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise AnswerError(f"{self.name} does not answer as a page of Inflight does: {error}") from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer, up to the most that a page sends."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MOST_BYTES:
            raise ValueError(f"its answer is longer than {MOST_BYTES >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


def unknown(service: str, known: list[str]) -> str:
    """Say that there is no such service, and which ones there are."""
    return f"{service}: there is no such service; there are: {', '.join(sorted(known)) or 'none'}"


def checked_address(text: str) -> str:
    """Give the address of a page.

    Raises:
        ValueError: it is none.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; legal is http://HOST:PORT") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ValueError(f"{text!r}: legal is http://HOST:PORT")
    return text.rstrip("/")
