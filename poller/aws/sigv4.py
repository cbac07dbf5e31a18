"""Signature Version 4 for one kind of request: an AWS JSON POST to one endpoint. Pure: the time is an argument.

What does not change between calls (the day's key, all that comes before the hash of the body) is kept in hashes
that have read it already. Held equal to botocore's SigV4Auth by tests/property/test_sigv4.py.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import time
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

from poller.core.sigv4 import signing_key


class Credentials(NamedTuple):
    """What a request is signed with; printable ASCII, `token` only with temporary credentials."""

    access_key: str
    secret_key: str
    token: str | None = None


class _Begun(NamedTuple):
    """What the requests with one target have in common during a second: the canonical request, hashed up to the
    body's hash, and the header lines up to the signature.
    """

    canonical: "hashlib._Hash"
    header: bytes


class Signer:
    """Signs for one service, region and endpoint. `host` is as the Host header says it, `path` as it is sent."""

    def __init__(self, service: str, region: str, host: str, path: str, content_type: str) -> None:
        self._service = service
        self._region = region
        self._content_type = content_type
        self._start = f"POST\n{quote(path, safe='/~')}\n\ncontent-type:{content_type}\nhost:{host}\nx-amz-date:"
        self._second = -1
        self._stamp = ""
        self._begun: dict[str, _Begun] = {}
        self._signed_now: dict[str, tuple[bytes, bytes]] = {}
        self._credentials: Credentials | None = None
        self._day = ""
        self._inner = self._inner_now = self._outer = sha256()
        self._scope = ""
        self._token_canonical = self._signed = self._before = ""

    def sign(self, credentials: Credentials, target: str, body: bytes, now: float) -> bytes:
        """The header lines to send with `body`, each ended by CRLF; `now` is epoch seconds."""
        second = int(now)
        if second != self._second or credentials is not self._credentials:
            self._begin_second(credentials, second)
        # the same bytes in the same second have the same signature: so it is with most receives
        known = self._signed_now.get(target)
        if known is not None and known[0] is body:
            return known[1]
        begun = self._begun.get(target)
        if begun is None:
            begun = self._begun[target] = self._begin_target(target)
        canonical = begun.canonical.copy()
        canonical.update(sha256(body).hexdigest().encode())
        inner, outer = self._inner_now.copy(), self._outer.copy()
        inner.update(canonical.hexdigest().encode())
        outer.update(inner.digest())
        header = b"%b%b\r\n" % (begun.header, outer.hexdigest().encode())
        self._signed_now[target] = (body, header)
        return header

    def _begin_second(self, credentials: Credentials, second: int) -> None:
        self._signed_now.clear()
        self._begun.clear()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        if credentials is not self._credentials or not stamp.startswith(self._day):
            self._begin_day(credentials, stamp[:8])
        self._second, self._stamp = second, stamp
        self._inner_now = self._inner.copy()
        self._inner_now.update(f"AWS4-HMAC-SHA256\n{stamp}\n{self._scope}\n".encode())

    def _begin_target(self, target: str) -> _Begun:
        canonical = f"{self._start}{self._stamp}\n{self._token_canonical}x-amz-target:{target}\n\n{self._signed}\n"
        header = f"X-Amz-Date: {self._stamp}\r\nX-Amz-Target: {target}\r\n{self._before}"
        return _Begun(sha256(canonical.encode()), header.encode("ascii"))

    def _begin_day(self, credentials: Credentials, day: str) -> None:
        self._credentials = credentials
        self._day = day
        key = signing_key(credentials.secret_key, day, self._region, self._service)
        # HMAC (RFC 2104) with the key's blocks hashed once a day: less than half the time of hmac.digest.
        block = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))
        self._scope = f"{day}/{self._region}/{self._service}/aws4_request"
        token = credentials.token
        self._token_canonical = f"x-amz-security-token:{token}\n" if token else ""
        names = ("content-type", "host", "x-amz-date", "x-amz-security-token" if token else "", "x-amz-target")
        self._signed = ";".join(filter(None, names))
        self._before = (
            f"Content-Type: {self._content_type}\r\n"
            + (f"X-Amz-Security-Token: {token}\r\n" if token else "")
            + f"Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{self._scope}, "
            f"SignedHeaders={self._signed}, Signature="
        )
