"""Calls to the API server: raw JSON, a deadline on every request, errors that say what happened."""

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp

from autoscaler.kubernetes.account import Account, UnconfiguredError, find_account

USER_AGENT = "inflight"
"""Our name in the audit log."""
FIELD_MANAGER = "inflight"
"""Our name in managedFields."""
MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_JSON = "application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""The Accept headers of a list and of a watch of which only metadata is read: the server then sends no more than that.
A watch with a list's header stays silent. A list with a watch's header is refused."""
_QUOTED_CHARS = 300
_IDLE_S = 80.0
"""The API server closes a connection after 90 s. A write that finds an open one saves a handshake."""
_LONGEST_LINE = 2 * 2**20
"""A line of a watch is an object, and etcd takes none larger than 1.5 MiB."""

Json = Mapping[str, Any]


class ApiError(Exception):
    """A request to the API server failed: `status` is the HTTP status, or 0 if there was no usable response."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        """Kubernetes' own word, such as `Conflict` or `AlreadyExists`; empty if it gave none."""

    @property
    def is_not_found(self) -> bool:
        """Whether the object or the kind does not exist."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_forbidden(self) -> bool:
        """Whether our account lacks the right, or an admission policy or a quota has refused the object."""
        return self.status == HTTPStatus.FORBIDDEN

    @property
    def is_conflict(self) -> bool:
        """Whether another client has changed the object first."""
        return self.status == HTTPStatus.CONFLICT

    @property
    def is_refusal(self) -> bool:
        """Whether the server rejected the request; otherwise it may have carried it out."""
        return HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def is_expired(self) -> bool:
        """Whether a resource version is too old, so that a new list is needed."""
        return self.status == HTTPStatus.GONE


def from_status(status: Json) -> ApiError:
    """Make an error of a Kubernetes `Status` object, which responses and watches contain."""
    return ApiError(int(status.get("code") or 0), status.get("reason") or "", str(status.get("message") or status))


class Api:
    """One API server, used by one account.

    Args:
        account: its address and our credentials.
        session: sends the requests.
        deadline_s: the timeout of a request; watches have their own.
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
        """Post an object to the path of its collection and return the stored object; raises ApiError."""
        return await self.request("POST", path, body)

    async def replace(self, path: str, body: Json) -> Any:
        """Replace the object that has the same resource version; raises ApiError, also on a conflict."""
        return await self.request("PUT", path, body)

    async def patch(self, path: str, body: Json) -> Any:
        """Merge a patch into the object at a path; if it has a resourceVersion, it can conflict. Raises ApiError."""
        return await self.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def apply(self, path: str, body: Json, manager: str, *, force: bool) -> Any:
        """Apply an object on the server's side as this field manager; raises ApiError.

        Args:
            path: that of the object, which need not exist.
            body: every field that the manager wants. One that it applied before and that is missing here is removed.
            manager: its name in managedFields.
            force: whether to take over fields that other managers have set to other values, instead of a conflict.
        """
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self.request("PATCH", path, body, query=query, content_type=_APPLY_PATCH)

    async def remove(self, path: str, uid: str) -> Any:
        """Delete the object at a path if it has this uid, and in the background what it owns; raises ApiError."""
        return await self.request(
            "DELETE", path, {"propagationPolicy": "Background", "preconditions": {"uid": uid}}, query={}
        )

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
        """Send a request and return the JSON of the response; raises ApiError on any failure."""
        query = dict(query or {}) if method == "GET" else {"fieldManager": FIELD_MANAGER, **(query or {})}
        limits = aiohttp.ClientTimeout(total=deadline_s or self._deadline_s)
        headers = {"Accept": accept, "Content-Type": content_type}
        async with (
            _translated(f"{method} {path}"),
            await self._send(method, path, limits, query=query, body=body, headers=headers) as response,
        ):
            text = await response.read()
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise _refusal(response.status, text)
            found = json.loads(text)
            if not isinstance(found, dict) or "kind" not in found:
                raise ApiError(0, "NotKubernetes", f"{method} {path}: the response is not from a Kubernetes API")
            return found

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence_s: float, accept: str = _JSON
    ) -> AsyncGenerator[bytes, None]:
        """Watch: give an empty line when the response has started, then its lines; raises ApiError.

        It ends after `silence_s` without a line: the server may be gone, or nothing has changed. The next watch shows.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._deadline_s, sock_read=silence_s)
        async with (
            _translated(f"watch {path}"),
            await self._send("GET", path, limits, query=query, headers={"Accept": accept}) as response,
        ):
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise _refusal(response.status, await response.read())
            try:
                yield b""
                async for line in response.content:
                    yield line
            except TimeoutError:
                return
            finally:
                _abort(response)

    async def _send(
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


def _abort(response: aiohttp.ClientResponse) -> None:
    """Drop a watch's connection: nothing would wait for a TLS shutdown, which could outlive the event loop."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


def _refusal(status: int, text: bytes) -> ApiError:
    try:
        found = json.loads(text)
        return ApiError(status, found["reason"], found["message"])
    except (ValueError, LookupError, TypeError):
        return ApiError(status, "", f"HTTP {status}: {text[:_QUOTED_CHARS].decode(errors='replace')}")


@asynccontextmanager
async def connected(*, deadline_s: float = 10.0) -> AsyncIterator[Api]:
    """Connect with the service account of this pod; outside a pod with $KUBECONFIG or ~/.kube/config.

    Raises:
        ApiError: neither exists, or it cannot be read.
    """
    try:
        account = await find_account(os.environ)
    except UnconfiguredError as error:
        raise ApiError(0, "Unconfigured", str(error)) from error
    # A watch keeps its connection. With a limit, watches would starve writes.
    connector = aiohttp.TCPConnector(limit=0, ssl=account.tls, keepalive_timeout=_IDLE_S)
    async with aiohttp.ClientSession(connector=connector, trust_env=True, read_bufsize=_LONGEST_LINE) as session:
        yield Api(account, session, deadline_s=deadline_s)
