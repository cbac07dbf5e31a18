"""Signature Version 4 as the receiver sees it: did somebody who has the secret key send exactly this request?

The day's key is made here for both sides; what we send is signed by aws/sigv4.py, which is fast for one kind of
request. Here a request may be of any kind, as SDKs and the aws command make them.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from poller.core.api_answers import Refused

ALGORITHM: Final = "AWS4-HMAC-SHA256"
MAX_SKEW: Final = 300  # seconds that a client's clock may be off, as at AWS; a signature can be used so long

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_STAMPED: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_PART: Final = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^\s,]+)\s*")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came: `target` is path and query, still encoded; headers in their order, any case."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Claim:
    """What an Authorization header says."""

    access_key: str
    day: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of one day (YYYYMMDD), region and service."""
    key = f"AWS4{secret}".encode("utf-8", "surrogateescape")
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8", "surrogateescape"), "sha256")
    return key


def check_signature(
    request: SignedRequest, secrets: Mapping[str, str], service: str, now: float
) -> Refused | None:
    """None when one of `secrets` (by access key) signed this request for `service`, at `now` (epoch seconds) or
    at most MAX_SKEW away from it; else AWS's answer. Any region will do: we are in none.
    """
    headers = _headers(request.headers)
    claim = _claim(headers.get("authorization", ""))
    if isinstance(claim, Refused):
        return claim
    stamp = headers.get("x-amz-date", "")
    sent = _epoch(stamp)
    if sent is None:
        return _incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
    if claim.service != service or claim.day != stamp[:8]:
        return _invalid(f"Credential should be scoped to service {service!r} and to the day of X-Amz-Date.")
    unsigned = sorted(name for name in headers if name == "host" or name.startswith("x-amz-"))
    if not set(unsigned) <= set(claim.signed) or "host" not in claim.signed:
        return _invalid("Host and all X-Amz-* headers of the request must be signed.")
    if not set(claim.signed) <= headers.keys():
        return _invalid("A header that was signed is not in the request.")
    if abs(now - sent) > MAX_SKEW:
        return _out_of_time(stamp, sent, now)
    secret = secrets.get(claim.access_key)
    if secret is None:
        return Refused(
            "UnrecognizedClientException", 403, "The security token included in the request is invalid."
        )
    if not hmac.compare_digest(_signature(request, headers, claim, stamp, secret), _bytes(claim.signature)):
        return _invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
            " Access Key and signing method."
        )
    return None


def _signature(
    request: SignedRequest, headers: Mapping[str, str], claim: _Claim, stamp: str, secret: str
) -> bytes:
    path, _, query = request.target.partition("?")
    canonical = "\n".join(
        (
            request.method,
            quote(path, safe="/~", errors="surrogateescape"),  # what is encoded is encoded once more, but for S3
            _canonical_query(query),
            *(f"{name}:{headers[name]}" for name in claim.signed),
            "",
            ";".join(claim.signed),
            sha256(request.body).hexdigest(),
        )
    )
    scope = f"{claim.day}/{claim.region}/{claim.service}/aws4_request"
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(_bytes(canonical)).hexdigest()}"
    key = signing_key(secret, claim.day, claim.region, claim.service)
    return hmac.digest(key, _bytes(text), "sha256").hex().encode()


def _headers(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """By names in lower case, the values of one name together, white space as the canonical form has it."""
    found: dict[str, str] = {}
    for name, value in pairs:
        lower, trimmed = name.lower(), " ".join(value.split())
        found[lower] = f"{found[lower]},{trimmed}" if lower in found else trimmed
    return found


def _claim(header: str) -> _Claim | Refused:
    if not header.startswith(f"{ALGORITHM} "):
        return Refused("MissingAuthenticationTokenException", 403, "Missing Authentication Token")
    parts: dict[str, str] = {}
    for text in header.removeprefix(ALGORITHM).split(","):
        match = _PART.fullmatch(text)
        if match is None or match[1] in parts:
            return _incomplete("The Authorization header is not of the form that Signature Version 4 has.")
        parts[match[1]] = match[2]
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if name not in parts]
    if missing:
        return _incomplete(f"Authorization header requires {missing[0]!r} parameter.")
    match parts["Credential"].split("/"):
        case [access_key, day, region, service, "aws4_request"]:
            signed = tuple(parts["SignedHeaders"].split(";"))
            if list(signed) != sorted(set(signed)):
                return _incomplete("SignedHeaders must be sorted, each name once and in lower case.")
            return _Claim(access_key, day, region, service, signed, parts["Signature"])
        case _:
            return _incomplete(
                "Credential must be of the form <access key>/YYYYMMDD/<region>/<service>/aws4_request."
            )


def _canonical_query(query: str) -> str:
    pairs = (pair.partition("=")[::2] for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, value in sorted((_encoded(a), _encoded(b)) for a, b in pairs))


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(_bytes(text)), safe="-_.~")


def _epoch(stamp: str) -> float | None:
    if _STAMPED.fullmatch(stamp) is None:
        return None
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _out_of_time(stamp: str, sent: float, now: float) -> Refused:
    ours = _stamp(now)
    limit = _stamp(now - MAX_SKEW if sent < now else now + MAX_SKEW)
    said = (
        f"Signature expired: {stamp} is now earlier than {limit} ({ours} - 5 min.)"
        if sent < now
        else f"Signature not yet current: {stamp} is still later than {limit} ({ours} + 5 min.)"
    )
    return _invalid(said)


def _stamp(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime(_STAMP)


def _invalid(message: str) -> Refused:
    return Refused("InvalidSignatureException", 403, message)


def _incomplete(message: str) -> Refused:
    return Refused("IncompleteSignatureException", 403, message)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
