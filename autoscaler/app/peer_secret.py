"""The key by which the gateways of a cluster know each other: one Secret, which the first of them creates.

Several may start at once. The API server creates the Secret once, and the others read what the first one wrote.
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import Resource

NAME: Final = "inflight-gateway-peers"
ITEM: Final = "key"
_SECRETS = Resource("v1", "secrets")
_BYTES = 32


async def peer_key_lines(api: Api, namespace: str) -> str:
    """Give what a file of `--peer-key` contains: the keys, one a line.

    Args:
        api: the API server.
        namespace: the gateways' own.

    Raises:
        ApiError: the Secret cannot be read or created.
        ValueError: it contains no text under `key`.
    """
    path = f"{_SECRETS.collection(namespace)}/{NAME}"
    try:
        found = await api.get(path)
    except ApiError as error:
        if not error.is_not_found:
            raise
        found = await _created(api, namespace) or await api.get(path)
    return _lines(found, namespace)


async def _created(api: Api, namespace: str) -> Mapping[str, Any] | None:
    """Create the Secret with a random key; None if another gateway was first."""
    key = f"{secrets.token_hex(_BYTES)}\n".encode()
    body = {"metadata": {"name": NAME}, "type": "Opaque", "data": {ITEM: b64encode(key).decode()}}
    try:
        created: Mapping[str, Any] = await api.create(_SECRETS.collection(namespace), body)
    except ApiError as error:
        if not error.is_conflict:
            raise
        return None
    return created


def _lines(secret: Mapping[str, Any], namespace: str) -> str:
    try:
        return b64decode(secret["data"][ITEM], validate=True).decode()
    except (LookupError, TypeError, ValueError) as error:
        wrong = f"the Secret {namespace}/{NAME} has no text under {ITEM!r}"
        raise ValueError(f"{wrong}: delete it, and a gateway that starts creates it again") from error
