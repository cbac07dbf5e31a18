"""Error answers in the form of the service that is asked: status, headers and body, ready for the wire."""

import json
from http import HTTPStatus
from typing import Final, NamedTuple

from tests.faults.rules import Broken, Expired, Refused, Throttle


class _Words(NamedTuple):
    """How a service speaks: its content type, and `__type` of a throttle and of credentials that expired."""

    content_type: str
    throttle: tuple[int, str]
    expired: tuple[int, str]


_JSON_10: Final = "application/x-amz-json-1.0"
_JSON_11: Final = "application/x-amz-json-1.1"
_EXPIRED: Final = (400, "com.amazon.coral.service#ExpiredTokenException")
_WORDS: Final = {
    "sqs": _Words(_JSON_10, (403, "com.amazonaws.sqs#RequestThrottled"), (403, "com.amazonaws.sqs#ExpiredToken")),
    "kinesis": _Words(_JSON_11, (400, "ProvisionedThroughputExceededException"), (400, "ExpiredTokenException")),
    "streams": _Words(_JSON_10, (400, "com.amazonaws.dynamodb.v20120810#LimitExceededException"), _EXPIRED),
    "dynamodb": _Words(_JSON_10, (400, "com.amazon.coral.availability#ThrottlingException"), _EXPIRED),
    # a target of ours: it has no credentials to lose, but may well ask for some
    "http": _Words("application/json", (429, "TooManyRequests"), (408, "RequestTimeout")),
}


def refusal(service: str, fault: Throttle | Broken | Expired | Refused) -> bytes:
    """The whole answer. Whoever asks for an unknown service gets a KeyError."""
    words = _WORDS[service]
    match fault:
        case Throttle():
            status, kind = words.throttle
            message = "Rate exceeded"
        case Expired():
            status, kind = words.expired
            message = "The security token included in the request is expired"
        case Broken(status=status):
            kind = "InternalFailure" if status == HTTPStatus.INTERNAL_SERVER_ERROR else "ServiceUnavailable"
            message = "broken on purpose"
        case Refused(code=kind, message=message):
            status = 400
    body = json.dumps({"__type": kind, "message": message}).encode()
    headers = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {words.content_type}",
        f"Content-Length: {len(body)}",
    ]
    if service == "sqs":  # the code that clients of the old protocol knew
        headers.append(f"x-amzn-query-error: {kind.rpartition('#')[2]};Sender")
    if service == "http" and status in {429, 503}:
        headers.append("Retry-After: 0")
    return "\r\n".join([*headers, "", ""]).encode() + body
