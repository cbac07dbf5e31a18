"""From a record of a shard to the event a function gets, how many bytes that has, and which lane it goes to.

The counterpart of payload.py, and under the same rule: it runs once for each record, and what a record carries is
passed on as it is, never parsed and written again.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import Any, Final
from zlib import crc32

import orjson

from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import JsonObject, SourceKind
from poller.core.payload import EVENT_LIMIT, record_size, serialise
from poller.core.records import Record, StreamBatch, WindowCall
from poller.core.wire_text import json_text, nested_too_deeply, text_of

FIRST_SEQUENCE: Final = "0"
"""Before every sequence number that a source gives."""

UNKNOWN_ARRIVAL: Final = 250_000_000_000.0
"""After every arrival that a source gives, in epoch seconds: the year 9892. There is room for a window behind it,
and milliseconds do not pass for seconds."""

_SEQUENCE_DIGITS: Final = 129  # the longest that Kinesis has

_kinesis_fields: Final = itemgetter("SequenceNumber", "PartitionKey", "Data", "ApproximateArrivalTimestamp")
# Record(*fields) without the function in Python that a NamedTuple has for it
_record: Final[Callable[[tuple[Any, ...]], Record]] = partial(tuple.__new__, Record)


def make_records(
    wires: Sequence[JsonObject], mapping: EventSourceMapping, shard_id: str, first_offset: int
) -> list[Record]:
    """The records of one read, made ready for batches.

    `wires` are as GetRecords has them in the JSON protocol: Data is base64 text, times are epoch seconds. The
    records are numbered from `first_offset` on. Every wire becomes a record, in order, whatever is wrong with it:

    A record without a readable sequence number takes that of the record before it (the first of a read takes 0).
    It cannot be left out, because nobody would ever hear of it, and with a number of its own it could move the
    position past records that are not done. With its predecessor's, "all up to here is resolved" stays true, and
    the worst is that it is delivered again after a restart, which is legal (GEN-2).

    A record without a readable arrival time takes that of the record before it as well (the first of a read takes
    UNKNOWN_ARRIVAL): with none at all, or 0, it would be too old for every limit of age, and be discarded.
    """
    assert mapping.stream is not None
    if mapping.source is SourceKind.KINESIS:
        return _kinesis_records(wires, mapping.arn, mapping.stream.lanes, shard_id, first_offset)
    return _dynamodb_records(wires, mapping.arn, mapping.stream.lanes, first_offset)


def lane_of(key: str, lanes: int) -> int:
    """The lane, from 0, in which the records of this key are kept in order (STR-40).

    The same in every process and every version, because a restart finds the failing batches of a lane by its
    number: CRC-32 of the key in UTF-8.
    """
    return crc32(key.encode("utf-8", "surrogatepass")) % lanes


def stream_event(batch: StreamBatch, mapping: EventSourceMapping, shard_id: str) -> JsonObject:
    """What the function is called with: the records, and with a tumbling window its fields (TMB-2).

    It shares nothing with the batch that a function could change: a handler in this process may write into its
    event as it likes, and a retry as well as the failure document will still show what the source sent (BAT-6).
    """
    if mapping.source is SourceKind.KINESIS:
        records = _kinesis_events(batch.records, mapping.arn, shard_id)
    else:
        records = _copy([record.source for record in batch.records])
    event = _event(records, batch.call, mapping.arn, shard_id)
    if batch.call is not None:
        event["state"] = _copy(batch.call.state)
    return event


def kinesis_event(record: Record, arn: SourceArn, shard_id: str) -> JsonObject:
    """One record of Kinesis as a function would see it, made anew."""
    return _kinesis_events((record,), arn, shard_id)[0]


def event_overhead(call: WindowCall | None, mapping: EventSourceMapping, shard_id: str) -> int:
    """Exact bytes of the serialised event around its records, the state of a window included (BAT-2)."""
    return len(serialise(_event([], call, mapping.arn, shard_id)))


def window_times(call: WindowCall) -> JsonObject:
    """The window as events and failure documents show it (TMB-2, TMB-10)."""
    return {"start": iso_seconds(call.start), "end": iso_seconds(call.end)}


def iso_seconds(at: float) -> str:
    """Epoch seconds as UTC without a fraction, such as 2020-12-09T07:04:00Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def invoke_identity_arn(arn: SourceArn) -> str:
    """What Kinesis records have as invokeIdentityArn (KIN-3).

    On AWS it is the role of the function. Here there is none, so it is a role of a fixed name in the account of
    the stream: nothing that anybody could assume, but an ARN to those who take it apart.
    """
    return f"arn:{arn.partition}:iam::{arn.account}:role/esm-poller"


# --- Kinesis ---


def _kinesis_records(
    wires: Sequence[Any], arn: SourceArn, lanes: int, shard_id: str, first_offset: int
) -> list[Record]:
    """One function for all of a read, because here every call counts ten thousand times.

    A record keeps what came off the wire: it may wait for long among thousands, and what the function gets is made
    when it is invoked. Its size is known from its parts.
    """
    nothing = Record("", 0, 0, 0.0, 0, {"PartitionKey": "", "Data": ""})
    frame = len(serialise(_kinesis_events([nothing], arn, shard_id)[0])) - len(serialise(["", "", 0.0]))
    previous, before, lane = FIRST_SEQUENCE, UNKNOWN_ARRIVAL, 0
    records: list[Record] = []
    for offset, wire in enumerate(wires, start=first_offset):
        source = wire
        try:
            sequence, key, data, arrived_at = _kinesis_fields(wire)
            usual = (
                sequence.isascii()
                and sequence.isdigit()
                and type(arrived_at) is float
                and 0 < arrived_at < UNKNOWN_ARRIVAL
                and type(key) is type(data) is str
            )
        except (AttributeError, KeyError, TypeError):
            usual, given = False, wire if isinstance(wire, dict) else {}
            sequence, arrived_at = given.get("SequenceNumber"), given.get("ApproximateArrivalTimestamp")
            key, data = given.get("PartitionKey"), given.get("Data")
        if not usual or len(sequence) > _SEQUENCE_DIGITS:
            sequence, arrived_at = _sequence(sequence, previous), _arrival(arrived_at, before)
            key, data = text_of(key), text_of(data)
            source = {"PartitionKey": key, "Data": data}
        previous, before = sequence, arrived_at
        try:
            size = frame + len(sequence) * 2 + len(orjson.dumps((key, data, arrived_at)))
        except orjson.JSONEncodeError:
            size = frame + len(sequence) * 2 + len(serialise([key, data, arrived_at]))
        if lanes > 1:
            lane = lane_of(key, lanes)
        records.append(_record((sequence, offset, lane, arrived_at, size, source)))
    return records


def _kinesis_events(records: Iterable[Record], arn: SourceArn, shard_id: str) -> list[JsonObject]:
    """As the function sees them (KIN-1)."""
    source_arn, region, identity, prefix = arn.text, arn.region, invoke_identity_arn(arn), f"{shard_id}:"
    return [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": wire["PartitionKey"],
                "sequenceNumber": sequence,
                "data": wire["Data"],
                "approximateArrivalTimestamp": arrived_at,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": prefix + sequence,
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": identity,
            "awsRegion": region,
            "eventSourceARN": source_arn,
        }
        for sequence, _, _, arrived_at, _, wire in records
    ]


# --- DynamoDB Streams ---


def _dynamodb_records(wires: Sequence[Any], arn: SourceArn, lanes: int, first_offset: int) -> list[Record]:
    source_arn, region = arn.text, arn.region
    previous, before, lane = FIRST_SEQUENCE, UNKNOWN_ARRIVAL, 0
    records: list[Record] = []
    for offset, wire in enumerate(wires, start=first_offset):
        given = wire if isinstance(wire, dict) else {}
        change = given.get("dynamodb")
        if not isinstance(change, dict):
            change = {}
        previous = sequence = _sequence(change.get("SequenceNumber"), previous)
        before = _arrival(change.get("ApproximateCreationDateTime"), before) // 1  # whole seconds (DDB-4)
        shown = {**change, "ApproximateCreationDateTime": before, "SequenceNumber": sequence}
        if None in shown.values():  # an image that is not there is no key, however a server puts it (DDB-3)
            shown = {name: value for name, value in shown.items() if value is not None}
        record = {
            "eventID": text_of(given.get("eventID")),
            "eventName": text_of(given.get("eventName")),
            "eventVersion": text_of(given.get("eventVersion")) or "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": region,
            "dynamodb": shown,
            "eventSourceARN": source_arn,
        }
        identity = given.get("userIdentity")
        if isinstance(identity, dict):
            record["userIdentity"] = {
                "type": text_of(identity.get("Type", identity.get("type"))),
                "principalId": text_of(identity.get("PrincipalId", identity.get("principalId"))),
            }
        try:
            size = len(orjson.dumps(record))
        except orjson.JSONEncodeError:
            if nested_too_deeply(shown):
                # No item of DynamoDB is. It could never be written, so it is given up as too large (ERR-8).
                record["dynamodb"] = {
                    name: shown[name] for name in ("ApproximateCreationDateTime", "SequenceNumber")
                }
                size = EVENT_LIMIT
            else:
                size = record_size(record)
        if lanes > 1:
            lane = lane_of(json_text(change.get("Keys")), lanes)
        records.append(_record((sequence, offset, lane, before, size, record)))
    return records


# --- both ---


def _sequence(given: object, previous: str) -> str:
    """A sequence number, or where there is no such thing that of the record before."""
    usable = isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= _SEQUENCE_DIGITS
    return str(given) if usable else previous


def _arrival(given: object, before: float) -> float:
    """Epoch seconds, also from text or a whole number; `before` for what is no time of this world."""
    try:
        at = float(given)  # type: ignore[arg-type]  # whatever it is, the except clause has the answer
    except (OverflowError, TypeError, ValueError):
        return before
    return at if 0 < at < UNKNOWN_ARRIVAL else before


def _event(records: list[JsonObject], call: WindowCall | None, arn: SourceArn, shard_id: str) -> JsonObject:
    if call is None:
        return {"Records": records}
    return {
        "Records": records,
        "window": window_times(call),
        "state": call.state,
        "shardId": shard_id,
        "eventSourceARN": arn.text,
        "isFinalInvokeForWindow": call.final,
        "isWindowTerminatedEarly": call.early,
    }


def _copy(value: Any) -> Any:
    """A copy all the way down; through JSON, which is the quickest way."""
    try:
        return orjson.loads(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return json.loads(serialise(value))
