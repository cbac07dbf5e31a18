"""Kinesis Data Streams as a pure state machine: `apply(now, operation, request)`; no sockets, no clock.

Held to servers that others wrote by tests/contract. What AWS does and this does not: the seconds that a stream or
a reshard takes (all is there at once), limits of writers, consumers with a throughput of their own, encryption.
"""

import re
from typing import Final

from poller.core.model import Instant, JsonObject
from poller.testing.calls import AwsError
from poller.testing.kinesis_errors import check_types, invalid, missing, no_such_stream, number, text
from poller.testing.kinesis_lists import (
    Token,
    check_token,
    describe,
    describe_stream,
    describe_summary,
    list_shards,
)
from poller.testing.kinesis_reads import get_records, get_shard_iterator, read_iterator
from poller.testing.kinesis_stream import Stream, hash_key, total_size

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_MOST_ENTRIES: Final = 500
_LARGEST_PUT: Final = 10 * 1024 * 1024
_LONGEST_RETENTION: Final = 8_760  # hours
_ON_DEMAND_SHARDS: Final = 4


class Kinesis:
    """Every stream of one account in one region.

    With `limits` a shard gives five iterators, five pages and 2 MiB a second, to all who read it together.
    `empty_pages` is how many empty pages, with MillisBehindLatest above 0, come before each page with records
    (STR-26). Both may be set at any time. A stream is found by its name or the one in its ARN: account and region
    of a request play no part.
    """

    def __init__(self, *, region: str = "us-east-1", account: str = "000000000000", limits: bool = True) -> None:
        self.region = region
        self.account = account
        self.limits = limits
        self.empty_pages = 0
        self.streams: dict[str, Stream] = {}
        self._last_mark = 0
        self._operations = {
            "CreateStream": self._create_stream,
            "DecreaseStreamRetentionPeriod": self._decrease_retention,
            "DeleteStream": self._delete_stream,
            "DescribeStream": self._describe_stream,
            "DescribeStreamSummary": self._describe_summary,
            "GetRecords": self._get_records,
            "GetShardIterator": self._get_shard_iterator,
            "IncreaseStreamRetentionPeriod": self._increase_retention,
            "ListShards": self._list_shards,
            "ListStreams": self._list_streams,
            "MergeShards": self._merge_shards,
            "PutRecord": self._put_record,
            "PutRecords": self._put_records,
            "SplitShard": self._split_shard,
            "UpdateShardCount": self._update_shard_count,
        }

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject:
        """Does one operation at that moment and answers in the shapes of AWS JSON 1.1.

        Raises AwsError for whatever Kinesis refuses. The answer of GetRecords has the stored records themselves:
        its caller changes nothing in them.
        """
        if (do := self._operations.get(operation)) is None:
            raise AwsError("UnknownOperationException", f"The embedded Kinesis does not know {operation}.")
        check_types(request)
        return do(now, request)

    def _named(self, name: str, now: Instant) -> Stream:
        stream = self.streams.get(name)
        if stream is None:
            raise no_such_stream(name, self.account)
        stream.expire(now)
        return stream

    def stream(self, now: Instant, request: JsonObject) -> Stream:
        """The stream that the request names; raises AwsError when there is none."""
        name, arn = request.get("StreamName"), request.get("StreamARN")
        in_arn = None if arn is None else arn.partition(":stream/")[2].partition("/")[0]
        if name and in_arn and name != in_arn:
            raise invalid(f"StreamName {name} and StreamARN {arn} name two streams.")
        if not (name or in_arn):
            raise missing("StreamName") if arn is None else invalid(f"{arn} is not the ARN of a stream.")
        return self._named(name or in_arn or "", now)

    # --- streams ---

    def _create_stream(self, now: Instant, request: JsonObject) -> JsonObject:
        name = text(request, "StreamName")
        if not _NAME.fullmatch(name):
            raise invalid("StreamName may have letters, digits, and . _ - in it, 128 at most.")
        mode = (request.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED")
        shards = number(request, "ShardCount", 1, 100_000, _ON_DEMAND_SHARDS if mode == "ON_DEMAND" else None)
        if name in self.streams:
            raise AwsError("ResourceInUseException", f"Stream {name} under account {self.account} already exists.")
        self._last_mark = max(self._last_mark + 1, int(now.wall))
        arn = f"arn:aws:kinesis:{self.region}:{self.account}:stream/{name}"
        self.streams[name] = Stream(name, arn, now, self._last_mark, shards, mode)
        return {}

    def _delete_stream(self, now: Instant, request: JsonObject) -> JsonObject:
        del self.streams[self.stream(now, request).name]
        return {}

    def _describe_stream(self, now: Instant, request: JsonObject) -> JsonObject:
        return describe_stream(self.stream(now, request), request)

    def _describe_summary(self, now: Instant, request: JsonObject) -> JsonObject:
        return describe_summary(self.stream(now, request))

    def _list_streams(self, now: Instant, request: JsonObject) -> JsonObject:
        after = request.get("NextToken") or request.get("ExclusiveStartStreamName") or ""
        names = sorted(name for name in self.streams if name > after)
        page = names[: number(request, "Limit", 1, 10_000, 100)]
        answer: JsonObject = {
            "StreamNames": page,
            "StreamSummaries": [describe(self.streams[name]) for name in page],
            "HasMoreStreams": len(page) < len(names),
        }
        if len(page) < len(names):
            answer["NextToken"] = page[-1]
        return answer

    def _increase_retention(self, now: Instant, request: JsonObject) -> JsonObject:
        return self._set_retention(now, request, 1)

    def _decrease_retention(self, now: Instant, request: JsonObject) -> JsonObject:
        return self._set_retention(now, request, -1)

    def _set_retention(self, now: Instant, request: JsonObject, direction: int) -> JsonObject:
        stream = self.stream(now, request)
        hours = number(request, "RetentionPeriodHours", 24, _LONGEST_RETENTION)
        if (hours * 3600 - stream.retention) * direction < 0:
            raise invalid(
                f"Requested retention period ({hours} hours) for stream {stream.name} is on the wrong side of the "
                f"present one ({stream.retention / 3600:g} hours)."
            )
        stream.retention = hours * 3600.0
        return {}

    # --- shards ---

    def _split_shard(self, now: Instant, request: JsonObject) -> JsonObject:
        stream, at = self.stream(now, request), hash_key(text(request, "NewStartingHashKey"))
        stream.split(now, text(request, "ShardToSplit"), at)
        return {}

    def _merge_shards(self, now: Instant, request: JsonObject) -> JsonObject:
        stream = self.stream(now, request)
        stream.merge(now, text(request, "ShardToMerge"), text(request, "AdjacentShardToMerge"))
        return {}

    def _update_shard_count(self, now: Instant, request: JsonObject) -> JsonObject:
        stream, target = self.stream(now, request), number(request, "TargetShardCount", 1, 100_000)
        before = len(stream.open_shards)
        stream.scale(now, target)
        return {"StreamName": stream.name, "StreamARN": stream.arn, "CurrentShardCount": before,
                "TargetShardCount": target}  # fmt: skip

    def _list_shards(self, now: Instant, request: JsonObject) -> JsonObject:
        token: Token | None = None
        if request.get("NextToken"):
            token = check_token(request)
            return list_shards(now, self._named(token.stream, now), request, token)
        return list_shards(now, self.stream(now, request), request, None)

    # --- records ---

    def _put_record(self, now: Instant, request: JsonObject) -> JsonObject:
        return self.stream(now, request).put(now, request)

    def _put_records(self, now: Instant, request: JsonObject) -> JsonObject:
        stream, entries = self.stream(now, request), request.get("Records")
        if not entries or len(entries) > _MOST_ENTRIES:
            raise invalid(f"PutRecords takes 1 to {_MOST_ENTRIES} records, not {len(entries or ())}.")
        size = total_size(entries)
        if size > _LARGEST_PUT:
            raise invalid(f"PutRecords takes {_LARGEST_PUT} bytes at once, not {size}.")
        return {"FailedRecordCount": 0, "Records": [stream.put(now, entry) for entry in entries]}

    def _get_shard_iterator(self, now: Instant, request: JsonObject) -> JsonObject:
        stream = self.stream(now, request)
        return get_shard_iterator(now, stream, request, self.limits, self.empty_pages)

    def _get_records(self, now: Instant, request: JsonObject) -> JsonObject:
        iterator = read_iterator(text(request, "ShardIterator"))
        stream = self._named(iterator.stream, now)
        return get_records(now, stream, iterator, request, self.limits, self.empty_pages)
