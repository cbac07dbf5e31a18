"""What may come to a listener: right requests, requests that are wrong in one place, several at once, and bytes.

`speak` sends them and reads what comes back, as no HTTP library would that knows what is proper.
"""

import json
import re
import select
import socket
from typing import Any

from hypothesis import strategies as st

HUNG_UP = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
QUIET = 0.03  # seconds: whoever says nothing for so long waits for more, or does not answer at all

ARN = "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:00000000-0000-4000-8000-000000000000"
PATHS = [
    "/", "/metrics", "/livez", "/readyz", "/startupz", "/v1/mappings", "/v1/mappings/orders",
    "/v1/mappings/x/scale",
    "/v1/mappings/orders/pause", "/v1/mappings/orders/resume", "/v1/mappings/%00/shards", "/v1/history",
    "/2015-03-31/event-source-mappings", "/2015-03-31/event-source-mappings/",
    "/2015-03-31/event-source-mappings/00000000-0000-4000-8000-000000000000",
    "/2015-03-31/event-source-mappings/..", "/2015-03-31/event-source-mappings/%2e%2e/x",
    "/2015-03-31/functions/f",
    f"/2017-03-31/tags/{ARN}", "/2017-03-31/tags/" + ARN.replace(":", "%3A"), "/2017-03-31/tags/%2F%25%ff",
    "/2017-03-31/tags/", "//", "/./", "/%", "/%zz", "/%ff", "/\xff", "*", "", "http://h/", "http://[::1/",
    "/#", "/?",
]  # fmt: skip
QUERIES = [
    "MaxItems=1", "MaxItems=0", "MaxItems=1e99", "MaxItems=", "MaxItems", "Marker=%ff", "Marker=a%00", "&",
    "=", "&&&=",
    "FunctionName=f", f"EventSourceArn={ARN}", "tagKeys=a", "name[]=esm_up", "name[]", "a=b" * 50, "%", "%f",
    "\xff",
]  # fmt: skip
LINES = [
    "Content-Type: application/json", "Content-Type: text/plain", "Content-Type: ;;;=",
    "Content-Type: a/b; charset=\xff",
    "Content-Type: application/json; charset=utf-16", "Content-Encoding: gzip", "Content-Encoding: \xe9",
    "Accept: */*", "Accept: application/openmetrics-text; version=x; escaping=y", "Accept: ;q=\x80",
    "Accept: text/plain;version=9",
    "Accept-Encoding: gzip, br", "Expect: 100-continue", "Expect: more", "Origin: null", "Origin: http://[",
    "Origin: x",
    "Sec-Fetch-Site: cross-site", "Host: localhost", "Host: [::1]:1", "Host: evil.example", "Host: ",
    "Host: [", "Host: \xff",
    "Authorization: Bearer", "Authorization: AWS4-HMAC-SHA256",
    "Authorization: AWS4-HMAC-SHA256 Credential=A/2026/r/lambda/aws4_request,SignedHeaders=host,Signature=\xff",
    "X-Amz-Date: 20260101T000000Z", "X-Amz-Date: \xff", "Connection: close", "Connection: upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13", "Cookie: " + "a=b;" * 40, "Cookie: \xff=\x01",
    "Range: bytes=0-0",
    "If-Modified-Since: never", "If-None-Match: \"", "X: " + "y" * 9_000, "X" * 9_000 + ": y",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, chunked", "Content-Length: -1",
    "Content-Length: 9" + "9" * 30, "Content-Length: 1, 2",
    "no colon", ": nameless", " folded", "A : b", "A\x00: b", "A: \x00", "Trailer: X", "TE: trailers",
    "Via: 1.1 x",
]  # fmt: skip
GOOD_PATHS = PATHS[: PATHS.index("/./")]
GOOD_LINES = [
    "Content-Type: application/json", "Content-Type: application/json; charset=utf-16", "Content-Encoding: gzip",
    "Accept: */*", "Accept: application/openmetrics-text; version=x; escaping=y", "Accept-Encoding: gzip, br",
    "Accept: text/plain;version=9", "Expect: 100-continue", "Expect: \x80", "Range: bytes=0-0", "Via: 1.1 x",
    "If-None-Match: \"",
    "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site", "Origin: http://127.0.0.1", "Upgrade: websocket",
    "Cookie: " + "a=b;" * 40, "X-Amz-Date: 20260101T000000Z", "X: \xff", "X-HTTP-Method-Override: DELETE",
]  # fmt: skip
GUARD = "Authorization: Bearer 0123456789abcdef0123"
FIELDS: dict[str, Any] = {
    "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:rubble",
    "FunctionName": "rubble",
    "BatchSize": 10,
    "Enabled": False,
    "FilterCriteria": {"Filters": [{"Pattern": '{"body": [1]}'}]},
    "ScalingConfig": {"MaximumConcurrency": 2},
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:x"}},
    "StartingPosition": "LATEST",
    "StartingPositionTimestamp": 1e9,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "Tags": {"a": "b"},
    "Handler": {"TimeoutInSeconds": 1},
    "Poller": {"Heartbeat": True},
    "Name": "rubble",
    "UUID": "x",
}

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(
    _SCALARS | st.sampled_from(list(FIELDS.values())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(st.sampled_from(list(FIELDS)) | st.text(max_size=5), _VALUES, max_size=4) | st.just(
    FIELDS
)
_BODIES = st.one_of(
    st.just(b""),
    _OBJECTS.map(lambda value: json.dumps(value).encode()),
    _VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=20),
    st.sampled_from([b"[" * 50_000, b'{"a":' * 5_000, b'"\\ud800"', b'{"BatchSize": 1' + b"0" * 5_000 + b"}",
                     b"\xff" * 9, b'{"BatchSize":1e999}', b'{"a":1,"a":2}', b"x" * 300_000, b"\x1f\x8b\x08\x00"]),
)  # fmt: skip
_METHODS = st.sampled_from(
    ["GET", "POST", "PUT", "DELETE"] * 5
    + ["HEAD", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "", "\xff", "X" * 99]
)
_CHARACTERS = st.characters(max_codepoint=255)
_URLISH = st.text("/%.aZ09~+:;@!$'()*,=&?-_", max_size=14).map(lambda text: f"/{text}")


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request of HTTP, or nearly."""
    odd = draw(
        st.sampled_from([False] * 3 + [True])
    )  # most are right as HTTP: others get no further than its parser
    path = draw(st.sampled_from(PATHS) if odd else st.sampled_from(GOOD_PATHS) | _URLISH)
    query = (
        st.sampled_from(QUERIES) | st.text(_CHARACTERS, max_size=8)
        if odd
        else st.sampled_from(QUERIES[:-3]) | _URLISH
    )
    queries = draw(st.lists(query, max_size=2))
    version = draw(st.sampled_from(["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "http/1.1", ""])) if odd else "HTTP/1.1"
    lines = [GUARD] if draw(st.booleans()) else []
    lines += draw(st.lists(st.sampled_from(LINES if odd else GOOD_LINES), max_size=3, unique=True))
    if not odd or draw(st.booleans()):
        lines.insert(0, "Host: 127.0.0.1")
    body = draw(_BODIES)
    match draw(
        st.sampled_from(["length", "length", "length", "chunks", "none", "short", "long", "both", "broken"])
    ):
        case "length":
            lines.append(f"Content-Length: {len(body)}")
        case "short":
            lines.append(f"Content-Length: {len(body) // 2}")
        case "long":
            lines.append(f"Content-Length: {len(body) + 9}")
        case "chunks":
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        case "broken":
            lines.append("Transfer-Encoding: chunked")
        case "both":
            lines += ["Transfer-Encoding: chunked", f"Content-Length: {len(body)}"]
    target = path + ("?" + "&".join(queries) if queries else "")
    method = draw(_METHODS if odd else st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]))
    head = "\r\n".join([f"{method} {target} {version}", *lines, "", ""])
    return head.encode("latin-1") + body


@st.composite
def rubble(draw: st.DrawFn) -> bytes:
    """What comes over one connection."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    match draw(st.sampled_from(["as it is", "as it is", "cut", "changed", "bytes"])):
        case "cut":
            data = data[: draw(st.integers(0, len(data)))]
        case "changed" if data:
            at = draw(st.integers(0, min(len(data), 400) - 1))
            data = data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[at + 1 :]
        case "bytes":
            data = draw(st.binary(max_size=200))
    return data


def speak(port: int, data: bytes) -> list[tuple[int, bytes]]:
    """Says this, hangs up when nothing comes any more; each status that came, with what came after it."""
    came = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(data + HUNG_UP)
            while select.select([connection], [], [], QUIET)[0] and (part := connection.recv(65_536)):
                came += part
        except (ConnectionError, TimeoutError):
            pass  # it may refuse to hear us out
    found = list(re.finditer(rb"HTTP/1\.[01] (\d{3}) ", came))
    ends = [one.start() for one in found[1:]] + [len(came)]
    return [(int(one[1]), bytes(came[one.start() : end])) for one, end in zip(found, ends, strict=False)]


def wrong(answers: list[tuple[int, bytes]]) -> list[bytes]:
    """The answers that nobody should get: a failure of the server, but for a health check's verdict."""
    return [
        text
        for status, text in answers
        if status >= 500 and not (status == 503 and (b"text/plain" in text or b"ServiceException" in text))
    ]
