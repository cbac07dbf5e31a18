"""ARNs in a mapping taken apart and judged: its source, and where failure documents go.

Nothing is looked up here: whether the queue, stream or bucket exists is not known.
"""

import re
from typing import NamedTuple

from poller.core.mapping_shapes import FieldProblem, Path, invalid, quote, violation, wrong_type
from poller.core.model import SourceKind

REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}")
ACCOUNT = re.compile(r"[0-9]{12}")
_PARTITION = re.compile(r"aws(-[a-z0-9]+)*")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_QUEUE_URL = re.compile(
    r"https?://(?:(?:sqs\.)?(?P<region>[a-z0-9-]+)\.)?.*?/(?P<account>\d{12})/(?P<name>[^/?#]+)"
)
_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SHORT = re.compile(r"[A-Za-z0-9:/_.-]{1,150}")  # may be shown as it is
_CONSUMER = re.compile(r"stream/[^/]+/consumer/.+")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_LABEL = re.compile(r"[A-Za-z0-9_.:+-]{1,100}")
_LOCAL_REGION = re.compile(r"[a-z][a-z0-9]*")  # DynamoDB Local writes ddblocal; no region of AWS is one word
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,256}|[A-Za-z0-9_-]{1,251}\.fifo")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_PARTS = 6  # of an ARN; what is behind the fifth colon belongs to the service

_QUEUE_FORM = "arn:aws:sqs:<region>:<account>:<queue>"
_STREAM_FORM = "arn:aws:kinesis:<region>:<account>:stream/<stream>"
_TABLE_FORM = "arn:aws:dynamodb:<region>:<account>:table/<table>/stream/<time>"
_SOURCES = f"a queue's {_QUEUE_FORM}, a stream's {_STREAM_FORM} or a table's stream's {_TABLE_FORM}"
_TOPIC_FORM = "arn:aws:sns:<region>:<account>:<topic>"
_BUCKET_FORM = "arn:aws:s3:::<bucket>"
# The same as schemas tell them: what a user's own DynamoDB calls its region is let pass.
_PLACE = f"{REGION.pattern}:{ACCOUNT.pattern}"
_ARN = f"arn:{_PARTITION.pattern}"
SOURCE_PATTERNS = {
    SourceKind.SQS: f"{_ARN}:sqs:{_PLACE}:(?:{_QUEUE.pattern})",
    SourceKind.KINESIS: f"{_ARN}:kinesis:{_PLACE}:stream/{_STREAM.pattern}",
    SourceKind.DYNAMODB: (
        f"{_ARN}:dynamodb:(?:{REGION.pattern}|{_LOCAL_REGION.pattern}):{ACCOUNT.pattern}"
        f":table/{_TABLE.pattern}/stream/{_LABEL.pattern}"
    ),
}
DESTINATION_PATTERNS = (
    f"{_ARN}:sqs:{_PLACE}:[A-Za-z0-9_-]{{1,80}}",
    f"{_ARN}:sns:{_PLACE}:[A-Za-z0-9_-]{{1,256}}",
    f"{_ARN}:s3:::{_BUCKET.pattern}",
)
_DESTINATIONS = f"{_QUEUE_FORM}, {_TOPIC_FORM} or {_BUCKET_FORM}"


class SourceParts(NamedTuple):
    """The parts of the ARN of a queue or stream; `label` is the time in that of a DynamoDB stream."""

    kind: SourceKind
    partition: str
    region: str
    account: str
    name: str
    label: str = ""


class DestinationParts(NamedTuple):
    """The parts of a destination's ARN; `service` is sqs, sns or s3; a bucket has no region and no account."""

    service: str
    region: str
    account: str
    name: str


def parse_source_arn(value: object, path: Path = ("EventSourceArn",)) -> SourceParts | FieldProblem:
    """CFG-1, CFG-37: the parts, or a sentence about what was written instead of the ARN of a source."""
    if value is None:
        return _unrecognised(path, f"EventSourceArn is missing: write {_SOURCES}")
    if not isinstance(value, str):
        return wrong_type(path, value, "text", f"the ARN of a source, {_SOURCES}")
    if len(value) > 10_000:
        limit = "Member must have length less than or equal to 10000"
        return violation(path, value, limit, f"write {_SOURCES}")
    parts = value.split(":", _PARTS - 1)
    if parts[0] != "arn":
        return _unrecognised(path, _not_an_arn(value))
    service = parts[2] if len(parts) > 2 else ""
    if not service:
        return _unrecognised(path, f"{quote(value)} is not a whole ARN; write {_SOURCES}")
    if service not in _READERS:
        return _unrecognised(path, f"this is an ARN of {quote(service)}; sources are {_SOURCES}")
    if len(parts) != _PARTS:
        form = {"sqs": _QUEUE_FORM, "kinesis": _STREAM_FORM, "dynamodb": _TABLE_FORM}[service]
        return _unrecognised(path, f"{quote(value)} has {len(parts)} parts instead of 6: write {form}")
    if service == "kinesis" and _CONSUMER.fullmatch(parts[5]):
        return _consumer(path, parts)
    read = _READERS[service](parts)
    return _unrecognised(path, read) if isinstance(read, str) else read


def _queue(parts: list[str]) -> SourceParts | str:
    count = len(parts) + parts[5].count(":")
    if count != _PARTS:
        return f"{quote(':'.join(parts))} has {count} parts instead of 6: write {_QUEUE_FORM}"
    name = "a queue name: up to 80 letters, digits, - and _, with .fifo at the end of a FIFO queue's"
    wrong = _wrong_place(parts) or _wrong(parts, _QUEUE, parts[5], name)
    return wrong or SourceParts(SourceKind.SQS, parts[1], parts[3], parts[4], parts[5])


def _stream(parts: list[str]) -> SourceParts | str:
    kind, slash, name = parts[5].partition("/")
    if kind != "stream" or not slash:
        return f"{quote(':'.join(parts))} is not the ARN of a stream; write {_STREAM_FORM}"
    what = "a stream name: up to 128 letters, digits, -, _ and ."
    wrong = _wrong_place(parts) or _wrong(parts, _STREAM, name, what)
    return wrong or SourceParts(SourceKind.KINESIS, parts[1], parts[3], parts[4], name)


def _consumer(path: Path, parts: list[str]) -> FieldProblem:
    """KIN-5: the ARN of a consumer asks for enhanced fan-out, which pushes the records; ours are fetched."""
    stream = ":".join((*parts[:5], parts[5].split("/consumer/")[0]))
    message = "Enhanced fan-out is not part of this version, and this is the ARN of a consumer"
    return invalid(
        path, message, f"write the stream's ARN, {stream if _SHORT.fullmatch(stream) else _STREAM_FORM}"
    )


def _table(parts: list[str]) -> SourceParts | str:
    """A table has no order to read in: its stream has, and only the stream's ARN names it (CFG-1)."""
    kind, _, rest = parts[5].partition("/")
    table, slash, rest = rest.partition("/")
    word, _, label = rest.partition("/")
    if kind == "table" and not slash:
        return (
            "this is the ARN of a table: a mapping reads its stream, whose ARN is the table's LatestStreamArn,"
            f" {_TABLE_FORM}"
        )
    if kind != "table" or word != "stream":
        return f"{quote(':'.join(parts))} is not the ARN of a table's stream; write {_TABLE_FORM}"
    name = "a table name: up to 255 letters, digits, -, _ and ."
    time = "the time in the ARN of a stream, such as 2026-01-31T12:00:00.000"
    local = _LOCAL_REGION.fullmatch(parts[3]) is not None
    wrong = (
        _wrong_place(parts, local=local)
        or _wrong(parts, _TABLE, table, name)
        or _wrong(parts, _LABEL, label, time)
    )
    return wrong or SourceParts(SourceKind.DYNAMODB, parts[1], parts[3], parts[4], table, label)


_READERS = {"sqs": _queue, "kinesis": _stream, "dynamodb": _table}


def parse_destination_arn(value: str) -> DestinationParts | str:
    """CFG-9, CFG-50, DST-1: the parts of a standard queue's, standard topic's or bucket's ARN, or what's wrong."""
    if value.startswith("kafka://"):
        return "kafka:// is a destination for Kafka sources"
    parts = value.split(":", _PARTS - 1)
    if parts[0] != "arn":
        url = _QUEUE_URL.fullmatch(value)
        return "this is the URL of a queue, not its ARN" if url else f"{quote(value)} is not an ARN"
    if len(parts) != _PARTS:
        return f"{quote(value)} is not a whole ARN"
    _, partition, service, region, account, name = parts
    if _PARTITION.fullmatch(partition) is None:
        return f"in {quote(value)}, {quote(partition)} is not a partition, such as aws or aws-cn"
    match service:
        case "sqs" | "sns":
            what, pattern = ("queue", _QUEUE) if service == "sqs" else ("topic", _TOPIC)
            wrong = _wrong_place(parts) or _wrong(parts, pattern, name, f"the name of a {what}")
            if not wrong and name.endswith(".fifo"):
                wrong = f"a FIFO {what} cannot take the failures of a stream"
        case "s3":
            wrong = _wrong_bucket(value, region + account, name)
        case "lambda":
            wrong = "a function cannot take the failures of a stream"
        case _:
            wrong = f"this is an ARN of {quote(service)}"
    return wrong or DestinationParts(service, region, account, name)


def destinations_allowed() -> str:
    """What to write instead, behind `allowed:`."""
    return f"a standard queue, a standard topic or a bucket: {_DESTINATIONS}"


def _wrong_bucket(value: str, place: str, name: str) -> str:
    if place:
        return f"{quote(value)} is not the ARN of a bucket, which has neither region nor account"
    if "/" in name:
        return f"{quote(value)} goes on behind the bucket: the poller chooses the keys itself"
    return "" if _BUCKET.fullmatch(name) else f"in {quote(value)}, {quote(name)} is not the name of a bucket"


def _wrong_place(parts: list[str], *, local: bool = False) -> str:
    return (
        _wrong(parts, _PARTITION, parts[1], "a partition, such as aws or aws-cn")
        or ("" if local else _wrong(parts, REGION, parts[3], "a region, such as eu-west-1"))
        or _wrong(parts, ACCOUNT, parts[4], "an account, which has 12 digits")
    )


def _wrong(parts: list[str], pattern: re.Pattern[str], part: str, what: str) -> str:
    if pattern.fullmatch(part):
        return ""
    return f"in {quote(':'.join(parts))}, {quote(part)} is not {what}"


def _unrecognised(path: Path, advice: str) -> FieldProblem:
    return invalid(path, "Unrecognized event source.", advice)


def _not_an_arn(value: str) -> str:
    url = _QUEUE_URL.fullmatch(value)
    if url is not None:
        region = url["region"] if url["region"] and REGION.fullmatch(url["region"]) else "<region>"
        name = url["name"] if _QUEUE.fullmatch(url["name"]) else "<queue>"
        return f"this is the URL of a queue; write its ARN, arn:aws:sqs:{region}:{url['account']}:{name}"
    if value.startswith(("http://", "https://")):
        return f"this is a URL; write {_SOURCES}"
    if _STREAM.fullmatch(value):
        return f"{quote(value)} is a name; write the whole ARN, {_SOURCES}"
    return f"{quote(value)} is not an ARN; write {_SOURCES}"
