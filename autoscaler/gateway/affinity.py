"""The cookie that brings a client back to its pod: signed, opaque, and remembered by nobody.

The value is base64url of 8 bytes that stand for the pod, the second of issue, and 12 bytes of signature. The pod's
bytes and the signature are keyed hashes over the service's name too, so that nothing can be read from a cookie, made
up, or carried over to another service. Who holds the key reads the cookies of any gateway that held it, before or
beside this one.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from autoscaler.gateway.config import Affinity

_POD_BYTES = 8
_SIGNATURE_BYTES = 12
_ISSUED = struct.Struct(">I")


class AffinityCookie:
    """Reads and writes one service's cookie. Times are Unix seconds by a clock that never steps."""

    def __init__(self, key: bytes, service: str, affinity: Affinity) -> None:
        scope = len(service.encode()).to_bytes(2, "big") + service.encode()
        self._pod_hash = blake2b(scope, digest_size=_POD_BYTES, key=key[:64], person=b"pod")
        self._sign_hash = blake2b(scope, digest_size=_SIGNATURE_BYTES, key=key[:64], person=b"sign")
        self._name = affinity.cookie.encode()
        self._timeout_s = affinity.timeout_s
        self._pods: dict[bytes, str] = {}
        self._bytes_of: dict[str, bytes] = {}
        self._issued: dict[tuple[str, bool], tuple[int, bytes]] = {}
        """The line that was last issued for a pod: all of a second are the same."""

    def know(self, pods: Iterable[str]) -> None:
        """Learn which pods there are; a cookie for any other one is read as none."""
        self._bytes_of = {pod: _digest(self._pod_hash, pod.encode()) for pod in pods}
        self._pods = {short: pod for pod, short in self._bytes_of.items()}
        self._issued.clear()

    def split(self, cookies: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Part the values of `Cookie` headers into what the pod gets, byte for byte, and the values of ours."""
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
        """Give the pod that a cookie stands for; None if it is forged, too old, or stands for no pod of now."""
        for value in values:
            try:
                raw = base64.urlsafe_b64decode(value)
            except (binascii.Error, ValueError):
                continue
            body, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
            if len(body) == _POD_BYTES + _ISSUED.size and hmac.compare_digest(signature, self._sign(body)):
                (issued_s,) = _ISSUED.unpack(body[_POD_BYTES:])
                if issued_s <= now_s < issued_s + self._timeout_s:
                    return self._pods.get(body[:_POD_BYTES])
        return None

    def issue(self, pod: str, now_s: float, *, secure: bool) -> bytes:
        """Write the whole `Set-Cookie` line that binds a client to a pod."""
        second = int(now_s)
        issued_s, line = self._issued.get((pod, secure), (-1, b""))
        if issued_s != second:
            line = self._line(pod, second, secure=secure)
            self._issued[pod, secure] = second, line
        return line

    def _line(self, pod: str, second: int, *, secure: bool) -> bytes:
        body = (self._bytes_of.get(pod) or _digest(self._pod_hash, pod.encode())) + _ISSUED.pack(second)
        value = base64.urlsafe_b64encode(body + self._sign(body))
        line = b"Set-Cookie: %b=%b; Max-Age=%d; Path=/; HttpOnly; SameSite=Lax" % (self._name, value, self._timeout_s)
        return line + (b"; Secure\r\n" if secure else b"\r\n")

    def _sign(self, body: bytes) -> bytes:
        return _digest(self._sign_hash, body)


def _digest(keyed: blake2b, data: bytes) -> bytes:
    hashed = keyed.copy()
    hashed.update(data)
    return hashed.digest()
