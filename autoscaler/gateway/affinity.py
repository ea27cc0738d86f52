"""The cookie that brings a client back to its pod: signed, opaque, and without state in the gateway.

The value is base64url of 8 bytes for the pod, the second of issue, and 12 bytes of signature. The bytes for the pod and
the signature are keyed hashes that include the service's name, so a cookie cannot be read, forged, or used for another
service. A gateway with the same key accepts the cookies of another. Of several keys the first signs and each is
accepted, so a key can be replaced without unbinding any client.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from autoscaler.gateway.config import Affinity

_SHORTEST_KEY, _LONGEST_KEY = 16, 64
"""Bytes; blake2b allows no more."""
_POD_BYTES = 8
_SIGNATURE_BYTES = 12
_ISSUED = struct.Struct(">I")


def read_keys(file: Path) -> tuple[bytes, ...]:
    """Read cookie keys: one a line from a text; any other content is one key as it is.

    Raises:
        ValueError: a key is too short or too long; the message names the file and the key.
        OSError: the file cannot be read.
    """
    content = file.read_bytes()
    text = content.isascii() and content.decode().replace("\n", "").replace("\r", "").isprintable()
    keys = [line.strip() for line in content.splitlines()] if text else [content]
    keys = [key for key in keys if key] or [b""]
    for number, key in enumerate(keys, 1):
        if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
            legal = f"a cookie key has {_SHORTEST_KEY} to {_LONGEST_KEY} bytes"
            raise ValueError(f"{file}: key {number} has {len(key)} bytes; {legal}")
    return tuple(keys)


def derived_keys(secrets: Iterable[bytes]) -> tuple[bytes, ...]:
    """Make cookie keys of secrets that all gateways have, so that each accepts the others' cookies."""
    return tuple(hmac.digest(secret, b"inflight affinity cookie", "sha256") for secret in secrets)


class AffinityCookie:
    """Reads and writes one service's cookie. Times are Unix seconds by a clock that never steps."""

    def __init__(self, keys: Sequence[bytes], service: str, affinity: Affinity) -> None:
        self._keys = [_Key(key, service) for key in keys]
        self._name = affinity.cookie.encode()
        self._timeout_s = affinity.timeout_s
        self._issued: dict[tuple[str, bool], tuple[int, bytes]] = {}
        """The line that was issued last for a pod: it is the same for a whole second."""

    def set_pods(self, pods: Iterable[str]) -> None:
        """Set which pods there are; a cookie for any other pod is ignored."""
        names = list(pods)
        for key in self._keys:
            key.pods = {key.short(pod): pod for pod in names}
        self._issued.clear()

    def split(self, cookies: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Split the values of `Cookie` headers into those for the pod, byte for byte, and the gateway's own."""
        if not any(self._name in cookie for cookie in cookies):
            return list(cookies), []
        others, ours = [], []
        for cookie in cookies:
            kept = []
            for pair in cookie.split(b";"):
                name, _, value = pair.strip().partition(b"=")
                if name == self._name:
                    ours.append(value)
                else:
                    kept.append(pair)
            if kept:
                others.append(b";".join(kept).lstrip())
        return others, ours

    def read(self, values: Sequence[bytes], now_s: float) -> str | None:
        """Return the pod of a cookie; None if the cookie is forged or expired, or its pod is gone."""
        for value in values:
            try:
                raw = base64.urlsafe_b64decode(value)
            except (binascii.Error, ValueError):
                continue
            body, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
            if len(body) != _POD_BYTES + _ISSUED.size:
                continue
            for key in self._keys:
                if hmac.compare_digest(signature, key.sign(body)):
                    (issued_s,) = _ISSUED.unpack(body[_POD_BYTES:])
                    return key.pods.get(body[:_POD_BYTES]) if 0 <= now_s - issued_s < self._timeout_s else None
        return None

    def issue(self, pod: str, now_s: float, *, secure: bool) -> bytes:
        """Return the `Set-Cookie` line that binds a client to a pod."""
        second = int(now_s)
        issued_s, line = self._issued.get((pod, secure), (-1, b""))
        if issued_s != second:
            line = self._line(pod, second, secure=secure)
            self._issued[pod, secure] = second, line
        return line

    def _line(self, pod: str, second: int, *, secure: bool) -> bytes:
        key = self._keys[0]
        body = key.short(pod) + _ISSUED.pack(second)
        value = base64.urlsafe_b64encode(body + key.sign(body))
        line = b"Set-Cookie: %b=%b; Max-Age=%d; Path=/; HttpOnly; SameSite=Lax" % (self._name, value, self._timeout_s)
        return line + (b"; Secure\r\n" if secure else b"\r\n")


class _Key:
    """The hashes of one key for the pods and cookies of one service."""

    def __init__(self, key: bytes, service: str) -> None:
        scope = len(service.encode()).to_bytes(2, "big") + service.encode()
        self._pod_hash = blake2b(scope, digest_size=_POD_BYTES, key=key[:64], person=b"pod")
        self._sign_hash = blake2b(scope, digest_size=_SIGNATURE_BYTES, key=key[:64], person=b"sign")
        self.pods: dict[bytes, str] = {}
        """The current pods, by the bytes that stand for them."""

    def short(self, pod: str) -> bytes:
        """Return the bytes that stand for a pod."""
        return _digest(self._pod_hash, pod.encode())

    def sign(self, body: bytes) -> bytes:
        """Return the signature of a cookie's content."""
        return _digest(self._sign_hash, body)


def _digest(keyed: blake2b, data: bytes) -> bytes:
    hashed = keyed.copy()
    hashed.update(data)
    return hashed.digest()
