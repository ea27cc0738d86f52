"""Tokens by which a browser without cookies keeps its place: signed, opaque, and without state in the gateway.

A token is base64url of 8 random bytes for the place, the millisecond of its arrival, the second of issue and 12 bytes
of signature, which covers the name of the service too. Gateways with the same keys accept each other's tokens. A token
says nothing of other clients, and a copy gives no more than the age of its place.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

_BODY = struct.Struct(">8sQI")
_SIGNATURE_BYTES = 12
_LENGTH = 43
"""Characters of a token."""


class PlaceToken(NamedTuple):
    """What a token says."""

    key: bytes
    """Stands for the place."""
    arrived_s: float
    """When its client came first, as Unix time."""


class PlaceTokens:
    """Writes and reads the tokens of one service.

    Args:
        keys: the first signs, each is accepted.
        service: its name.
    """

    def __init__(self, keys: Sequence[bytes], service: str) -> None:
        self._signers = [
            blake2b(service.encode(), digest_size=_SIGNATURE_BYTES, key=key[:64], person=b"place") for key in keys
        ]

    def issue(self, token: PlaceToken, now_s: float) -> bytes:
        """Write a token."""
        body = _BODY.pack(token.key, int(token.arrived_s * 1000), int(now_s))
        return base64.urlsafe_b64encode(body + _signature(self._signers[0], body)).rstrip(b"=")

    def read(self, text: bytes, now_s: float, valid_s: float) -> PlaceToken | None:
        """Return what a token says; None if it is forged, or was issued longer ago than it is valid."""
        if len(text) != _LENGTH:
            return None
        try:
            raw = base64.urlsafe_b64decode(text + b"=")
        except (binascii.Error, ValueError):
            return None
        body, signature = raw[: _BODY.size], raw[_BODY.size :]
        if len(signature) != _SIGNATURE_BYTES or not any(
            hmac.compare_digest(signature, _signature(signer, body)) for signer in self._signers
        ):
            return None
        key, arrived_ms, issued_s = _BODY.unpack(body)
        return PlaceToken(key, arrived_ms / 1000) if now_s - issued_s <= valid_s + 1 else None


def _signature(signer: blake2b, body: bytes) -> bytes:
    signed = signer.copy()
    signed.update(body)
    return signed.digest()
