"""Plain calls to the API server: raw JSON, a deadline on every request, errors that say what happened."""

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp

from autoscaler.kubernetes.account import Account, UnconfiguredError, find_account

USER_AGENT = "inflight"
"""What the audit log calls us."""
FIELD_MANAGER = "inflight"
"""What managedFields call us."""
MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""What to accept of a list, and of a watch, of which only metadata is read: no more is sent then. A watch that accepts
what is for a list is silent, and a list that accepts what is for a watch is refused."""
_QUOTED_CHARS = 300
_IDLE_S = 80.0
"""The API server closes a connection after 90 s; a write that finds one open is spared a handshake."""
_LONGEST_LINE = 2 * 2**20
"""A line of a watch is an object, and etcd takes none larger than 1.5 MiB."""

Json = Mapping[str, Any]


class ApiError(Exception):
    """The API server did not do what was asked: `status` is HTTP's, or 0 where there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        """Kubernetes' own word, such as `Conflict` or `AlreadyExists`; empty where it gave none."""

    @property
    def is_not_found(self) -> bool:
        """Whether there is no such object or no such kind."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else was first."""
        return self.status == HTTPStatus.CONFLICT

    @property
    def is_refusal(self) -> bool:
        """Whether the server has said that it did nothing; else it may have done what was asked."""
        return HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def is_expired(self) -> bool:
        """Whether a resource version is so old that one has to list again."""
        return self.status == HTTPStatus.GONE


def from_status(status: Json) -> ApiError:
    """Make an error of a Kubernetes `Status` object, as it comes in answers and in the middle of a watch."""
    return ApiError(int(status.get("code") or 0), status.get("reason") or "", str(status.get("message") or status))


class Api:
    """One API server, as one account.

    Args:
        account: where it is and who we are.
        session: how to get there.
        deadline_s: a request that is not answered by then is given up; watches have their own.
    """

    def __init__(self, account: Account, session: aiohttp.ClientSession, *, deadline_s: float = 10.0) -> None:
        self._account = account
        self._session = session
        self._deadline_s = deadline_s

    async def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        deadline_s: float | None = None,
        accept: str = _JSON,
    ) -> Any:
        """Read the object or list at a path; raises ApiError."""
        return await self.request("GET", path, query=query, deadline_s=deadline_s, accept=accept)

    async def create(self, path: str, body: Json) -> Any:
        """Post an object to the path of its collection and return what was stored; raises ApiError."""
        return await self.request("POST", path, body)

    async def replace(self, path: str, body: Json) -> Any:
        """Put an object in the place of the one of its resource version; raises ApiError, also on a conflict."""
        return await self.request("PUT", path, body)

    async def patch(self, path: str, body: Json) -> Any:
        """Merge a patch into the object at a path; with a resourceVersion in it, it can conflict. Raises ApiError."""
        return await self.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        deadline_s: float | None = None,
    ) -> Any:
        """Ask and return the answer's JSON; raises ApiError, whatever goes wrong."""
        query = dict(query or {}) if method == "GET" else {"fieldManager": FIELD_MANAGER, **(query or {})}
        limits = aiohttp.ClientTimeout(total=deadline_s or self._deadline_s)
        headers = {"Accept": accept, "Content-Type": content_type}
        async with (
            _translated(f"{method} {path}"),
            await self._answer(method, path, limits, query=query, body=body, headers=headers) as answer,
        ):
            text = await answer.read()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise _refusal(answer.status, text)
            found = json.loads(text)
            if not isinstance(found, dict) or "kind" not in found:
                raise ApiError(0, "NotKubernetes", f"{method} {path}: what answers is no Kubernetes API")
            return found

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence_s: float, accept: str = _JSON
    ) -> AsyncGenerator[bytes, None]:
        """Watch: give an empty line when the server has answered, then its lines; raises ApiError.

        A silence of `silence_s` is the end: the server may be gone, or may have nothing to say; the next watch shows.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._deadline_s, sock_read=silence_s)
        async with (
            _translated(f"watch {path}"),
            await self._answer("GET", path, limits, query=query, headers={"Accept": accept}) as answer,
        ):
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise _refusal(answer.status, await answer.read())
            try:
                yield b""
                async for line in answer.content:
                    yield line
            except TimeoutError:
                return
            finally:
                _abort(answer)

    async def _answer(
        self,
        method: str,
        path: str,
        limits: aiohttp.ClientTimeout,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Json | None = None,
    ) -> aiohttp.ClientResponse:
        headers = {**headers, "User-Agent": USER_AGENT}
        if authorization := await self._account.authorization():
            headers["Authorization"] = authorization
        return await self._session.request(
            method,
            f"{self._account.server}{path}",
            params=query,
            headers=headers,
            data=None if body is None else json.dumps(body),
            timeout=limits,
            server_hostname=self._account.server_name,
            proxy=self._account.proxy,
            allow_redirects=False,
        )


@asynccontextmanager
async def _translated(what: str) -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ApiError(0, "Timeout", f"{what}: the API server did not answer in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ApiError(0, "Unreachable", f"{what}: {str(error) or type(error).__name__}") from error


def _abort(answer: aiohttp.ClientResponse) -> None:
    """Drop a watch's connection: a TLS farewell would be waited for by nobody and outlive the event loop."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


def _refusal(status: int, text: bytes) -> ApiError:
    try:
        found = json.loads(text)
        return ApiError(status, found["reason"], found["message"])
    except (ValueError, LookupError, TypeError):
        return ApiError(status, "", f"HTTP {status}: {text[:_QUOTED_CHARS].decode(errors='replace')}")


@asynccontextmanager
async def connected(*, deadline_s: float = 10.0) -> AsyncIterator[Api]:
    """Connect as the account of this pod, or as $KUBECONFIG or ~/.kube/config say where we are in none.

    Raises:
        ApiError: neither is there, or it cannot be read.
    """
    # The kubeconfig is read from the environment of now.
    try:
        account = await find_account(os.environ)
    except UnconfiguredError as error:
        raise ApiError(0, "Unconfigured", str(error)) from error
    # A watch holds its connection; a bound would let watches starve writes.
    connector = aiohttp.TCPConnector(limit=0, ssl=account.tls, keepalive_timeout=_IDLE_S)
    async with aiohttp.ClientSession(connector=connector, trust_env=True, read_bufsize=_LONGEST_LINE) as session:
        yield Api(account, session, deadline_s=deadline_s)
