"""What a failure document asks to be done again: which mapping, which records, and what is left of it afterwards.

The counterpart of failure_document.py, for operators. Who reads documents and records is poller/operate's
business; what an invocation came to is judged where it always is, in stream_settle.py.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from poller.core.mapping import EventSourceMapping
from poller.core.model import BatchTrigger, JsonObject, SourceKind
from poller.core.payload import EVENT_LIMIT, RECORD_SEPARATOR, serialise
from poller.core.records import Record, StreamBatch, WindowCall, sequence_value
from poller.core.stream_payload import event_overhead, iso_seconds, stream_event

_INFOS: Final = {"KinesisBatchInfo": SourceKind.KINESIS, "DDBStreamBatchInfo": SourceKind.DYNAMODB}
_SEQUENCE_KEYS: Final = {SourceKind.KINESIS: ("kinesis", "sequenceNumber"),
                         SourceKind.DYNAMODB: ("dynamodb", "SequenceNumber")}  # fmt: skip
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


@dataclass(frozen=True, slots=True)
class Found:
    """The records of a document that are still there. `problem` says in which way they are not those that it tells
    of; empty when they are.
    """

    records: tuple[Record, ...]
    problem: str = ""


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
    for name, kind in _INFOS.items():
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


def choose_mapping(
    mappings: Sequence[EventSourceMapping], failed: FailedBatch, name: str | None
) -> EventSourceMapping | str:
    """Whose document it is, or why that cannot be told: the mapping of its stream, of several that of its
    function.

    `name` is the mapping that the user asks for. It gets documents of another function too, because a function may
    have had another name on AWS, but not those that are known to be of another mapping.
    """
    readers = [mapping for mapping in mappings if mapping.arn.text == failed.stream_arn]
    callers = [mapping for mapping in readers if mapping.function_arn == failed.function_arn]
    asked = [mapping for mapping in callers or readers if name in {None, mapping.name}]
    if len(asked) == 1:
        return asked[0]
    if not readers:
        return f"no mapping reads its stream, {failed.stream_arn}"
    names = ", ".join(mapping.name for mapping in callers or readers)
    if name is not None:
        return f"it is of the mapping {names}"
    return f"several mappings read its stream, so say which is meant with --mapping: {names}"


def find_records(
    read: Sequence[Record],
    failed: FailedBatch,
    mapping: EventSourceMapping,
    passes: Callable[[Record], bool],
    *,
    whole: bool,
) -> Found:
    """Those of the records read from the document's range that were its batch.

    A document has the two ends of a batch and its number of records, and between the ends there may be others:
    of other lanes (STR-40), and those that the filter took out (DST-14). So it is the lane of the ends that
    counts, and the number must come out right. With `whole` all that pass the filter are taken, whatever their
    lane and number; what these cannot be all of is a problem too.
    """
    assert mapping.stream is not None, "documents are of streams"
    first, last = sequence_value(failed.first), sequence_value(failed.last)
    within = tuple(record for record in read if first <= sequence_value(record.sequence) <= last)
    fitting = tuple(record for record in within if passes(record))
    there = {record.sequence: record for record in within}
    gone = [end for end in (failed.first, failed.last) if end not in there]
    ends = {failed.first, failed.last}
    if whole:
        if gone:
            return Found(fitting, _trimmed(len(within), failed))
        missing = len(fitting) < failed.count or not ends <= {record.sequence for record in fitting}
        return Found(fitting, _filtered(len(fitting), failed) if missing else "")
    if gone:
        return Found((), _trimmed(len(within), failed))
    lane = there[failed.last].lane
    batch = tuple(record for record in fitting if record.lane == lane)
    if len(batch) == failed.count and ends <= {record.sequence for record in batch}:
        return Found(batch)
    return Found(
        (),
        f"the document tells of {failed.count} records, and with the mapping's filter and ParallelizationFactor"
        f" {mapping.stream.lanes} the same range has {len(batch)}: replay with the mapping as it was, or"
        " all of the"
        f" range with --whole-range ({len(fitting)} records)",
    )


def payload_records(failed: FailedBatch) -> tuple[Record, ...] | str:
    """The records of a payload, each as the function had it; or why it cannot be replayed."""
    assert failed.event is not None, "only what S3 has"
    if "window" in failed.event and not _is_final(failed.event):
        return (
            "it is of the middle of a tumbling window, and nobody would take the state that the function returns:"
            " give the payload to `poller invoke --event`, which shows it"
        )
    if failed.count and len(failed.event["Records"]) != failed.count:
        return f"its payload has {len(failed.event['Records'])} records, and it tells of {failed.count}"
    outer, inner = _SEQUENCE_KEYS[failed.kind]
    records: list[Record] = []
    for offset, shown in enumerate(failed.event["Records"]):
        try:
            sequence = str(shown[outer][inner])
        except (KeyError, TypeError):
            return f"record {offset + 1} of the payload has no sequence number"
        records.append(Record(sequence, offset, 0, 0.0, 0, shown))
    return tuple(records)


def plain_batch(records: tuple[Record, ...], call: WindowCall | None = None) -> StreamBatch:
    """Records that somebody brings together by hand, for a first attempt."""
    return StreamBatch(0, 0, records, BatchTrigger.IMMEDIATE, 0.0, 0, call=call)


def batch_of(failed: FailedBatch, records: tuple[Record, ...]) -> StreamBatch:
    """What the ladder of stream_settle.py judges."""
    call = None
    if failed.event is not None and "window" in failed.event:
        call = WindowCall(0, 0, {}, final=_is_final(failed.event))
    return plain_batch(records, call)


def event_of(failed: FailedBatch, mapping: EventSourceMapping, records: tuple[Record, ...]) -> JsonObject:
    """What the function is called with: a payload as it was, with the records that are left, or the event that a
    mapping of the stream makes. It shares nothing with the records that a function could change (BAT-6).
    """
    if failed.event is None:
        return stream_event(batch_of(failed, records), mapping, failed.shard_id)
    copy: JsonObject = json.loads(serialise({**failed.event, "Records": [record.source for record in records]}))
    return copy


def in_batches(
    records: Sequence[Record], mapping: EventSourceMapping, shard_id: str
) -> Iterator[tuple[Record, ...]]:
    """In order, in batches that the mapping could have (BAT-2): those of a document already are one."""
    overhead = event_overhead(None, mapping, shard_id)
    batch: list[Record] = []
    size = overhead
    for record in records:
        more = record.size + RECORD_SEPARATOR * bool(batch)
        if batch and (len(batch) == mapping.batch_size or size + more > EVENT_LIMIT):
            yield tuple(batch)
            batch, size, more = [], overhead, record.size
        batch.append(record)
        size += more
    if batch:
        yield tuple(batch)


def shortened(failed: FailedBatch, left: Sequence[Record]) -> JsonObject:
    """The document of what is left of it, as DST-2 has it; with the payload of just that, where it had one."""
    name = next(name for name, kind in _INFOS.items() if kind is failed.kind)
    info: JsonObject = {**failed.document[name]}
    info["startSequenceNumber"], info["endSequenceNumber"] = left[0].sequence, left[-1].sequence
    info["batchSize"] = len(left)
    if left[0].arrived_at and failed.event is None:
        seconds = iso_seconds(left[0].arrived_at)
        fraction = f".{int(left[0].arrived_at * 1000) % 1000:03}Z"
        shown = seconds if failed.kind is SourceKind.DYNAMODB else seconds.removesuffix("Z") + fraction
        info["approximateArrivalOfFirstRecord"] = shown
    document = {**failed.document, name: info}
    if failed.event is not None:
        event = {**failed.event, "Records": [record.source for record in left]}
        document["payload"] = serialise(event).decode()
    return document


def once(mapping: EventSourceMapping) -> EventSourceMapping:
    """The mapping for an attempt that somebody watches: whoever replays decides what is tried again, so a failure
    is neither halved nor given up.
    """
    assert mapping.stream is not None, "documents are of streams"
    return replace(mapping, stream=replace(mapping.stream, bisect=False, retries=None))


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


def _is_final(event: JsonObject) -> bool:
    return event.get("isFinalInvokeForWindow") is True


def _event(payload: Any) -> JsonObject | None:
    """The event that a payload is the text of."""
    try:
        event = json.loads(payload)
    except (TypeError, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("Records"), list) else None


def _filtered(passing: int, failed: FailedBatch) -> str:
    return (
        f"the mapping's filter lets {passing} records of the range through, and not all of the {failed.count} that"
        " the document tells of"
    )


def _trimmed(there: int, failed: FailedBatch) -> str:
    return (
        f"the stream no longer has all of them: {there} of the range are still there, the document tells of"
        f" {failed.count}"
    )
