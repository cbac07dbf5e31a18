"""A failure document read again: as failure_document.py wrote it, or AWS, in any envelope and any state."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from poller.core.model import JsonObject, SourceKind

BATCH_INFOS: Final = {"KinesisBatchInfo": SourceKind.KINESIS, "DDBStreamBatchInfo": SourceKind.DYNAMODB}
_DEEPEST: Final = 4  # envelopes within envelopes: SNS to SQS is one
_LONGEST: Final = 129  # digits of a sequence number: what Kinesis allows
_BLANK: Final = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A failure document, taken apart (DST-2, DST-3). `first` and `last` are sequence numbers, empty for a
    window's final invocation, which had no records (TMB-10). `event` is the payload that only S3 has (DST-10).
    """

    kind: SourceKind
    stream_arn: str
    function_arn: str
    shard_id: str
    first: str
    last: str
    count: int
    condition: str
    document: JsonObject
    event: JsonObject | None = None


def read_failure(value: object) -> FailedBatch | str:
    """A document, or the object that S3 has, as text or as JSON values; also within an envelope of SNS. Else a
    sentence about why it is none.
    """
    for _ in range(_DEEPEST):
        if isinstance(value, bytes | str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return "this is not JSON, so no failure document"
        inner = _enveloped(value)
        if inner is None:
            break
        value = inner
    if not isinstance(value, dict):
        return "this is JSON, but no failure document"
    for name, kind in BATCH_INFOS.items():
        if isinstance(info := value.get(name), dict):
            return _failed_batch(value, info, kind)
    return "this has neither KinesisBatchInfo nor DDBStreamBatchInfo, so it is no failure document of a stream"


def documents_in(text: str) -> Iterator[object]:
    """The values of a file: one JSON value after the other, on lines of their own or not; arrays, and what
    `aws sqs receive-message` and a function subscribed to a topic were given, count as what they contain.

    Raises ValueError, one sentence, at the first place that is no JSON.
    """
    reader, at = json.JSONDecoder(), 0
    while (at := _next_value(text, at)) < len(text):
        try:
            value, at = reader.raw_decode(text, at)
        except (ValueError, RecursionError):
            line = text.count("\n", 0, at) + 1
            raise ValueError(f"line {line} begins something that is not JSON") from None
        yield from _contained(value, 0)


def _enveloped(value: object) -> object | None:
    """What is in an envelope of SNS or of an SNS event; None for anything else."""
    match value:
        case {"Message": str(message), **rest} if "TopicArn" in rest or "Type" in rest:
            return message
        case {"Sns": {"Message": str(message)}}:
            return message
        case {"Body": str(body)}:
            return body
    return None


def _next_value(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _contained(value: object, depth: int) -> Iterator[object]:
    match value:
        case list() if depth < _DEEPEST:
            for one in value:
                yield from _contained(one, depth + 1)
        case {"Messages": list(messages)}:
            yield from messages
        case {"Records": list(records)}:
            yield from records
        case _:
            yield value


def _failed_batch(document: JsonObject, info: JsonObject, kind: SourceKind) -> FailedBatch | str:
    context = document.get("requestContext")
    context = context if isinstance(context, dict) else {}
    texts: list[Any] = [info.get("streamArn"), info.get("shardId")]
    if not all(isinstance(text, str) and text for text in texts):
        return "this failure document names no stream or no shard"
    first, last, count = (info.get(key) for key in ("startSequenceNumber", "endSequenceNumber", "batchSize"))
    numbered = all(_is_sequence(one) for one in (first, last))
    if first is None and last is None:
        first = last = ""
        count = 0
    elif not numbered or type(count) is not int or count < 1:
        return "this failure document does not tell its range of records"
    event: JsonObject | None = None
    if "payload" in document and (event := _event(document["payload"])) is None:
        return "the payload of this failure document is no event"
    return FailedBatch(
        kind=kind,
        stream_arn=str(info["streamArn"]),
        function_arn=str(context.get("functionArn") or ""),
        shard_id=str(info["shardId"]),
        first=str(first),
        last=str(last),
        count=count or 0,
        condition=str(context.get("condition") or ""),
        document={name: value for name, value in document.items() if name != "payload"},
        event=event,
    )


def _is_sequence(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST


def _event(payload: Any) -> JsonObject | None:
    """The event that a payload is the text of."""
    try:
        event = json.loads(payload)
    except (TypeError, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("Records"), list) else None
