"""S3's own protocol: which operation a method and a path mean, the forms of bodies, headers and XML."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from poller.core.model import JsonObject
from poller.testing.calls import AwsError

_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_OF_BUCKETS: Final = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
_OF_OBJECTS: Final = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_LISTING: Final = {
    "prefix": "Prefix", "start-after": "StartAfter", "continuation-token": "ContinuationToken",
    "max-keys": "MaxKeys", "delimiter": "Delimiter",
}  # fmt: skip
# What a put says and a get says again.
_KEPT: Final = frozenset({"content-type", "cache-control", "content-disposition", "content-language", "expires"})
_CHECKSUM: Final = "x-amz-checksum-"
_DIGESTS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    _CHECKSUM + "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    _CHECKSUM + "sha1": lambda body: hashlib.sha1(body).digest(),
    _CHECKSUM + "sha256": lambda body: hashlib.sha256(body).digest(),
    "content-md5": lambda body: hashlib.md5(body).digest(),
}


def read_request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[str, JsonObject]:
    """The operation and its fields. Raises AwsError.

    The bucket is the path's first part, or stands before `.localhost` in the host, where SDKs put it.
    """
    parts = urlsplit(url)
    query = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    path = unquote(parts.path).removeprefix("/")
    host, _, local = headers.get("host", "").partition(":")[0].rpartition(".")
    if host and local == "localhost":
        path = f"{host}/{path}"
    bucket, _, key = path.partition("/")
    plain = all(name == "x-id" or name.startswith("x-amz-") for name in query)
    if not bucket and method == "GET":
        return "ListBuckets", {}
    if key and plain and method in _OF_OBJECTS and "x-amz-copy-source" not in headers:
        request: JsonObject = {"Bucket": bucket, "Key": key}
        if method == "PUT":
            content, told = read_body(headers, body)
            request |= {"Body": content, "Headers": _kept(told)}
        return _OF_OBJECTS[method], request
    if bucket and not key:
        if method == "GET" and query.get("list-type") == "2":
            listing = {field: query[name] for name, field in _LISTING.items() if name in query}
            return "ListObjectsV2", {"Bucket": bucket} | listing
        if plain and method in _OF_BUCKETS:
            return _OF_BUCKETS[method], {"Bucket": bucket}
    text = f"The embedded S3 has nothing for {method} {parts.path} with {sorted(query) or 'no query'}."
    raise AwsError("NotImplemented", text, 501)


def read_body(headers: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
    """The content without what aws-chunked puts around it, and the headers with those that trail behind it.

    Raises AwsError when chunks do not come to their end, or when a checksum is that of another content.
    """
    told = dict(headers)
    if headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or "aws-chunked" in headers.get(
        "content-encoding", ""
    ):
        body = _unchunked(body, told)
    length = headers.get("x-amz-decoded-content-length", str(len(body)))
    if length != str(len(body)):
        raise AwsError("IncompleteBody", f"The request promised {length} bytes and brought {len(body)}.")
    for name, digest in _DIGESTS.items():
        if name in told and told[name] != base64.b64encode(digest(body)).decode():
            raise AwsError("BadDigest", f"The {name} you specified did not match what we received.")
    return body, told


def _unchunked(rest: bytes, headers: dict[str, str]) -> bytes:
    content = []
    while True:
        line, _, rest = rest.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)  # a signature may stand behind it
        except ValueError:
            raise AwsError("InvalidChunkSizeError", "A chunk does not begin with its size.") from None
        if size == 0:
            break
        if rest[size : size + 2] != b"\r\n":
            raise AwsError("IncompleteBody", "A chunk is not as long as it says.")
        content.append(rest[:size])
        rest = rest[size + 2 :]
    for line in rest.split(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return b"".join(content)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {"content-type": "binary/octet-stream"}
    kept |= {
        name: value
        for name, value in headers.items()
        if name in _KEPT or name.startswith("x-amz-meta-") or (name.startswith(_CHECKSUM) and "algo" not in name)
    }
    encodings = [word.strip() for word in headers.get("content-encoding", "").split(",")]
    if encoding := ", ".join(word for word in encodings if word not in {"aws-chunked", ""}):
        kept["content-encoding"] = encoding
    return kept


def write_answer(
    operation: str, headers: Mapping[str, str], url: str, answer: JsonObject
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a success."""
    match operation:
        case "GetObject" | "HeadObject":
            body: bytes = answer["Body"]
            wanted = headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
            told = {n: v for n, v in answer["Headers"].items() if wanted or not n.startswith(_CHECKSUM)}
            told |= {"ETag": answer["ETag"], "Last-Modified": formatdate(answer["LastModified"], usegmt=True)}
            told["Content-Length"] = str(len(body))
            return 200, told, body if operation == "GetObject" else b""
        case "PutObject":
            return 200, {"ETag": answer["ETag"]}, b""
        case "CreateBucket":
            return 200, {"Location": answer["Location"]}, b""
        case "HeadBucket":
            return 200, {"x-amz-bucket-region": answer["BucketRegion"]}, b""
        case "ListBuckets":
            inner = "".join(f"<Bucket>{_fields(bucket)}</Bucket>" for bucket in answer["Buckets"])
            return _xml(200, f'<ListAllMyBucketsResult xmlns="{_NAMESPACE}">'
                             f"<Buckets>{inner}</Buckets></ListAllMyBucketsResult>")  # fmt: skip
        case "ListObjectsV2":
            encoded = "encoding-type=url" in urlsplit(url).query
            return _xml(200, _listing(answer, encoded=encoded))
        case _:
            return 204, {}, b""


def write_error(method: str, error: AwsError) -> tuple[int, dict[str, str], bytes]:
    """The same of a refusal; the answer to a HEAD has no body."""
    if method == "HEAD":
        return error.status, {}, b""
    return _xml(error.status, f"<Error>{_fields({'Code': error.name, 'Message': error.message})}</Error>")


def _listing(answer: JsonObject, *, encoded: bool) -> str:
    def shown(key: str) -> str:
        return quote(key) if encoded else key

    head = {name: value for name, value in answer.items() if name != "Contents"}
    head |= {"Prefix": shown(head["Prefix"])} | ({"EncodingType": "url"} if encoded else {})
    contents = (_fields(item | {"Key": shown(item["Key"])}) for item in answer["Contents"])
    inner = "".join(f"<Contents>{item}</Contents>" for item in contents)
    return f'<ListBucketResult xmlns="{_NAMESPACE}">{_fields(head)}{inner}</ListBucketResult>'


def _fields(fields: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{_text(name, value)}</{name}>" for name, value in fields.items())


def _text(name: str, value: Any) -> str:
    if name in {"LastModified", "CreationDate"}:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return escape(str(value), quote=False)


def _xml(status: int, text: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/xml"}, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
