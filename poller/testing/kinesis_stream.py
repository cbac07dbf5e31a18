"""A stream: its shards and their lineage, and which of them takes a record."""

import base64
import binascii
import hashlib
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Final

from poller.core.model import Instant, JsonObject
from poller.testing.calls import AwsError
from poller.testing.kinesis_errors import check_types, invalid, missing, no_such_shard
from poller.testing.kinesis_shard import Numbering, Shard

HASH_KEYS: Final = 1 << 128
LARGEST_RECORD: Final = 1_048_576  # bytes of data and key
DAY: Final = 86_400.0


class Stream:
    """`retention` is seconds, on the monotonic clock of the instants that come in; it may be set at any time."""

    def __init__(self, name: str, arn: str, now: Instant, mark: int, shards: int, mode: str) -> None:
        self.name = name
        self.arn = arn
        self.account = arn.split(":")[4]
        self.created = now
        self.mode = mode
        self.retention = DAY
        self.numbering = Numbering(mark)
        self.shards: dict[str, Shard] = {}
        self._next_place = 0
        self._next_shard = 0
        self._closed: deque[Shard] = deque()  # in the order of their ends
        self._open: list[Shard] = []
        self._starts: list[int] = []
        width = HASH_KEYS // shards
        for number in range(shards):
            last = HASH_KEYS if number == shards - 1 else (number + 1) * width
            self._add_shard(now, number * width, last - 1, ())
        self._sort()

    def next_place(self) -> int:
        """The place of the next event: a record, a shard's birth or its end."""
        return self._next_place

    def _take_place(self) -> int:
        self._next_place += 1
        return self._next_place - 1

    # --- shards ---

    @property
    def open_shards(self) -> list[Shard]:
        """Those that take records, by hash key."""
        return self._open

    def horizon(self, now: Instant) -> float:
        """The monotonic second before which everything is trimmed."""
        return now.mono - self.retention

    def expire(self, now: Instant) -> None:
        """Closed shards vanish with their last record, a retention after their end."""
        horizon = self.horizon(now)
        while self._closed and self._closed[0].ended_before(horizon):
            del self.shards[self._closed.popleft().id]

    def shard(self, shard_id: str) -> Shard:
        """A shard that is still listed; raises AwsError."""
        shard = self.shards.get(shard_id)
        if shard is None:
            raise no_such_shard(shard_id, self.name, self.account)
        return shard

    def _open_shard(self, shard_id: str) -> Shard:
        shard = self.shard(shard_id)
        if shard.closed is not None:
            raise invalid(
                f"Shard {shard_id} in stream {self.name} under account {self.account} has already been merged or "
                "split, and thus is not eligible for merging or splitting."
            )
        return shard

    def split(self, now: Instant, shard_id: str, at: int) -> tuple[Shard, Shard]:
        """SplitShard: the upper child begins at hash key `at`."""
        parent = self._open_shard(shard_id)
        if not parent.start + 1 < at < parent.end:
            raise invalid(
                f"NewStartingHashKey {at} used in SplitShard() on shard {shard_id} in stream {self.name} under "
                f"account {self.account} is not both greater than one plus the shard's StartingHashKey "
                f"{parent.start} and less than the shard's EndingHashKey {parent.end}."
            )
        self._close(now, parent)
        lower = self._add_shard(now, parent.start, at - 1, (parent,))
        upper = self._add_shard(now, at, parent.end, (parent,))
        self._sort()
        return lower, upper

    def merge(self, now: Instant, shard_id: str, adjacent_id: str) -> Shard:
        """MergeShards of two neighbours."""
        first, second = self._open_shard(shard_id), self._open_shard(adjacent_id)
        if first.end + 1 != second.start and second.end + 1 != first.start:
            raise invalid(
                f"Shards {shard_id} and {adjacent_id} in stream {self.name} under account {self.account} are not "
                "an adjacent pair of shards eligible for merging"
            )
        for parent in (first, second):
            self._close(now, parent)
        start, end = min(first.start, second.start), max(first.end, second.end)
        child = self._add_shard(now, start, end, (first, second))
        self._sort()
        return child

    def scale(self, now: Instant, target: int) -> None:
        """UpdateShardCount: splits at every new boundary, then merges the old ones away."""
        present = len(self._open)
        if not (present + 1) // 2 <= target <= present * 2:
            raise invalid(
                f"UpdateShardCount cannot go from {present} to {target} open shards: at most twice as many, at "
                "least half."
            )
        width = HASH_KEYS // target
        wanted = [number * width for number in range(target)]
        for boundary in wanted:
            shard = self._owner(boundary)
            if shard.start != boundary:
                self.split(now, shard.id, boundary)
        for boundary in sorted({shard.start for shard in self._open} - set(wanted)):
            upper, lower = self._owner(boundary), self._owner(boundary - 1)
            self.merge(now, lower.id, upper.id)

    def _add_shard(self, now: Instant, start: int, end: int, parents: tuple[Shard, ...]) -> Shard:
        shard = Shard(self._next_shard, start, end, self._take_place(), now, parents)
        self._next_shard += 1
        self.shards[shard.id] = shard
        return shard

    def _close(self, now: Instant, shard: Shard) -> None:
        shard.close(now, self._take_place())
        self._closed.append(shard)

    def _sort(self) -> None:
        self._open = sorted((s for s in self.shards.values() if s.closed is None), key=lambda shard: shard.start)
        self._starts = [shard.start for shard in self._open]

    def _owner(self, hash_key: int) -> Shard:
        return self._open[bisect_right(self._starts, hash_key) - 1]

    # --- records ---

    def put(self, now: Instant, entry: JsonObject) -> JsonObject:
        """PutRecord, or one entry of PutRecords: `ShardId` and `SequenceNumber`."""
        data, key, size = check_record(entry)
        explicit = entry.get("ExplicitHashKey")
        shard = self._owner(hash_key(explicit) if explicit else key_hash(key))
        shard.trim(self.horizon(now))
        place = self._take_place()
        number = self.numbering.text(place, shard.index)
        record = {
            "SequenceNumber": number,
            "ApproximateArrivalTimestamp": math.floor(now.wall * 1000) / 1000,
            "Data": data,
            "PartitionKey": key,
        }
        shard.add(now, place, record, size)
        return {"ShardId": shard.id, "SequenceNumber": number}


def key_hash(partition_key: str) -> int:
    """Where a partition key belongs."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest())


def hash_key(text: str) -> int:
    """A hash key as a request writes it."""
    if not (text.isascii() and text.isdigit()) or int(text) >= HASH_KEYS:
        raise invalid(f"Invalid hash key. {text} must be a decimal number between 0 and {HASH_KEYS - 1}.")
    return int(text)


def check_record(entry: JsonObject) -> tuple[str, str, int]:
    """Data as base64 text, the partition key, and the bytes that count."""
    if not isinstance(entry, dict):
        raise AwsError("SerializationException", "Start of structure expected")
    check_types(entry)
    data, key = entry.get("Data"), entry.get("PartitionKey")
    if data is None:
        raise missing("Data")
    if not key:
        raise missing("PartitionKey")
    try:
        size = len(base64.b64decode(data, validate=True))
    except (binascii.Error, TypeError, ValueError):
        raise AwsError("SerializationException", "Data is not base64.") from None
    if len(key) > 256:
        raise AwsError("ValidationException", "PartitionKey may be 256 characters long.")
    size += len(key.encode())
    if size > LARGEST_RECORD:
        raise invalid(f"A record may be {LARGEST_RECORD} bytes long, with its partition key; this one is {size}.")
    return data, key, size


def total_size(entries: Iterable[JsonObject]) -> int:
    """The bytes of all records of a PutRecords."""
    return sum(check_record(entry)[2] for entry in entries)
