"""DynamoDB Streams as a pure state machine over the streams of a DynamoDb: DescribeStream, ListStreams,
GetShardIterator, GetRecords.

An iterator holds all that it means (stream, shard, place, when it was made): nothing has to be remembered of it.
"""

import base64
from collections.abc import Callable
from typing import Any, Final

import orjson

from poller.core.model import Instant, JsonObject
from poller.testing.dynamodb_errors import DynamoDbError, invalid, invalid_value, not_found
from poller.testing.dynamodb_shards import Shard, Stream
from poller.testing.dynamodb_values import check_fields, read_limit

MOST_SHARDS: Final = 100
MOST_RECORDS: Final = 1_000
MOST_BYTES: Final = 1024 * 1024
ITERATOR_LIFE: Final = 15 * 60.0


class DynamoDbStreams:
    """The streams of all tables. `child_filter` False makes it a server that does not know ShardFilter yet.

    `advance` lets time pass for all of them; it is called before each operation.
    """

    def __init__(self, streams: dict[str, Stream], advance: Callable[[Instant], None]) -> None:
        self.child_filter = True
        self._streams = streams
        self._advance = advance
        self._operations = {
            "DescribeStream": self._describe_stream,
            "GetRecords": self._get_records,
            "GetShardIterator": self._get_shard_iterator,
            "ListStreams": self._list_streams,
        }

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject:
        """Does one operation at that moment. Raises DynamoDbError for whatever DynamoDB Streams refuses."""
        if (do := self._operations.get(operation)) is None:
            text = f"The embedded DynamoDB Streams does not know {operation}."
            raise DynamoDbError("UnknownOperationException", text)
        self._advance(now)
        return do(now, request)

    def _stream(self, request: JsonObject) -> Stream:
        arn = request.get("StreamArn")
        stream = self._streams.get(arn) if isinstance(arn, str) else None
        if stream is None:
            raise not_found(f"Stream: {arn} not found")
        return stream

    # --- streams and shards ---

    def _describe_stream(self, now: Instant, request: JsonObject) -> JsonObject:
        known = {"StreamArn", "Limit", "ExclusiveStartShardId"} | ({"ShardFilter"} if self.child_filter else set())
        check_fields("DescribeStream", request, frozenset(known))
        stream = self._stream(request)
        limit = read_limit(request, MOST_SHARDS)
        after = request.get("ExclusiveStartShardId") or ""
        found = [shard for shard in stream.shards.values() if shard.id > after]
        if (chosen := request.get("ShardFilter")) is not None:
            if chosen.get("Type") != "CHILD_SHARDS" or not chosen.get("ShardId"):
                raise invalid_value("ShardFilter needs the Type CHILD_SHARDS and a ShardId")
            found = [shard for shard in found if shard.parent == chosen["ShardId"]]
        told: JsonObject = {
            "StreamArn": stream.arn,
            "StreamLabel": stream.label,
            "StreamStatus": "ENABLED" if stream.enabled else "DISABLED",
            "StreamViewType": stream.view,
            "CreationRequestDateTime": stream.created,
            "TableName": stream.table,
            "KeySchema": stream.key_schema,
            "Shards": [shard.shown() for shard in found[:limit]],
        }
        if len(found) > limit:
            told["LastEvaluatedShardId"] = found[limit - 1].id
        return {"StreamDescription": told}

    def _list_streams(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("ListStreams", request, frozenset({"TableName", "Limit", "ExclusiveStartStreamArn"}))
        limit = read_limit(request, MOST_SHARDS)
        table, after = request.get("TableName"), request.get("ExclusiveStartStreamArn") or ""
        found = sorted(
            (stream for stream in self._streams.values() if table in {None, stream.table} and stream.arn > after),
            key=lambda stream: stream.arn,
        )
        page = found[:limit]
        answer: JsonObject = {
            "Streams": [{"StreamArn": s.arn, "TableName": s.table, "StreamLabel": s.label} for s in page]
        }
        if len(found) > limit:
            answer["LastEvaluatedStreamArn"] = page[-1].arn
        return answer

    # --- records ---

    def _get_shard_iterator(self, now: Instant, request: JsonObject) -> JsonObject:
        known = frozenset({"StreamArn", "ShardId", "ShardIteratorType", "SequenceNumber"})
        check_fields("GetShardIterator", request, known)
        stream = self._stream(request)
        shard = stream.shards.get(request.get("ShardId") or "")
        if shard is None:
            raise not_found("Shard does not exist")
        kind, sequence = request.get("ShardIteratorType"), request.get("SequenceNumber")
        match kind:
            case "TRIM_HORIZON":
                place = shard.trimmed
            case "LATEST":
                place = shard.end
            case "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER":
                number = _read_sequence(sequence, stream, shard)
                place = shard.place_of(number, after=kind == "AFTER_SEQUENCE_NUMBER")
            case _:
                raise invalid("Invalid ShardIteratorType.")
        if sequence is not None and kind in {"TRIM_HORIZON", "LATEST"}:
            raise invalid_value("SequenceNumber should not be passed for this iterator type")
        return {"ShardIterator": _iterator(now, stream, shard.id, place)}

    def _get_records(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("GetRecords", request, frozenset({"ShardIterator", "Limit"}))
        limit = read_limit(request, MOST_RECORDS)
        arn, shard_id, place, made = _read_iterator(request.get("ShardIterator"))
        if now.mono - made > ITERATOR_LIFE:
            raise DynamoDbError("ExpiredIteratorException", "Iterator expired")
        stream = self._streams.get(arn)
        if stream is None:
            raise not_found(f"Stream: {arn} not found")
        shard = stream.shards.get(shard_id)
        if shard is None:
            raise not_found("Shard does not exist")
        if place < shard.trimmed:
            raise _trimmed()
        page: list[JsonObject] = []
        size = 0
        for change in shard.changes[place - shard.trimmed : place - shard.trimmed + limit]:
            size += change.size
            if size > MOST_BYTES:  # never the first: no two images of an item have as much
                break
            page.append(change.record)
        place += len(page)
        answer: JsonObject = {"Records": page}
        if shard.ending is None or place < shard.end:
            answer["NextShardIterator"] = _iterator(now, stream, shard_id, place)
        return answer


def _read_sequence(given: Any, stream: Stream, shard: Shard) -> int:
    """A sequence number that this shard has or could have; one that aged out is told apart (STR-25)."""
    if not isinstance(given, str) or not given.isascii() or not given.isdigit():
        raise invalid_value("Invalid SequenceNumber")
    number = int(given)
    last = stream.newest_sequence if shard.ending is None else shard.ending
    if not shard.starting <= number <= last:
        raise invalid_value(f"Invalid SequenceNumber: {given} is not in the range of shard {shard.id}")
    if number <= shard.trimmed_through:
        raise _trimmed()
    return number


def _trimmed() -> DynamoDbError:
    text = "The operation attempted to read past the oldest stream record in a shard"
    return DynamoDbError("TrimmedDataAccessException", text)


def _iterator(now: Instant, stream: Stream, shard_id: str, place: int) -> str:
    token = base64.b64encode(orjson.dumps([shard_id, place, now.mono])).decode()
    return f"{stream.arn}|1|{token}"


def _read_iterator(given: Any) -> tuple[str, str, int, float]:
    """Stream, shard, place, and the monotonic second at which it was made."""
    try:
        arn, _, token = given.split("|")
        shard_id, place, made = orjson.loads(base64.b64decode(token, validate=True))
        return arn, str(shard_id), int(place), float(made)
    except (AttributeError, TypeError, ValueError) as error:
        raise invalid("Invalid ShardIterator") from error
