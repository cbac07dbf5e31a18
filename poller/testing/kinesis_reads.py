"""GetShardIterator and GetRecords: positions, iterators that age, limits, the end of a shard."""

import base64
import binascii
from typing import Final, NamedTuple

from poller.core.model import Instant, JsonObject
from poller.testing.calls import AwsError
from poller.testing.kinesis_errors import foreign_number, invalid, no_such_shard, number, text, throttled
from poller.testing.kinesis_shard import Shard
from poller.testing.kinesis_stream import Stream

ITERATOR_SECONDS: Final = 300.0  # STR-24
MOST_RECORDS: Final = 10_000
_TYPES: Final = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")


class Iterator(NamedTuple):
    """A place in a shard as it was told at `told` (monotonic seconds); `empty` pages are still to come there."""

    stream: str
    mark: int
    shard: str
    place: int
    empty: int
    told: float

    def text(self) -> str:
        """What the caller gets; opaque to it."""
        plain = "|".join(("v1", self.stream, str(self.mark), self.shard, str(self.place), str(self.empty),
                          repr(self.told)))  # fmt: skip
        return base64.b64encode(plain.encode()).decode()


def read_iterator(given: str) -> Iterator:
    """The iterator of a request; raises AwsError for what is none."""
    try:
        version, stream, mark, shard, place, empty, told = (
            base64.b64decode(given, validate=True).decode().split("|")
        )
        if version == "v1":
            return Iterator(stream, int(mark), shard, int(place), int(empty), float(told))
    except (binascii.Error, ValueError):
        pass
    raise invalid("Invalid ShardIterator.")


def get_shard_iterator(now: Instant, stream: Stream, request: JsonObject, limits: bool, empty: int) -> JsonObject:
    """GetShardIterator; `empty` pages come before the records (STR-26)."""
    shard = stream.shard(text(request, "ShardId"))
    kind = text(request, "ShardIteratorType")
    if kind not in _TYPES:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{kind}' at 'shardIteratorType' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(_TYPES)}]",
        )
    if limits and shard.iterators.refuses(now.mono):
        raise throttled()
    shard.trim(stream.horizon(now))
    place = _place(now, stream, shard, kind, request)
    return {"ShardIterator": Iterator(stream.name, stream.numbering.mark, shard.id, place, empty, now.mono).text()}


def _place(now: Instant, stream: Stream, shard: Shard, kind: str, request: JsonObject) -> int:
    tip = shard.closed if shard.closed is not None else stream.next_place()
    match kind:
        case "TRIM_HORIZON":
            return shard.opened
        case "LATEST":
            return tip
        case "AT_TIMESTAMP":
            wall = request.get("Timestamp")
            if wall is None:
                raise invalid("Must specify timestamp parameter for iterator of type AT_TIMESTAMP.")
            if wall > now.wall:
                raise invalid(f"The timestamp {wall} of the iterator is in the future.")
            return shard.place_at(wall, tip)
    given = request.get("StartingSequenceNumber")
    if not given:
        raise invalid(f"Must specify StartingSequenceNumber for iterator of type {kind}.")
    found = stream.numbering.place(given, shard.index)
    if found is None or not shard.opened <= found <= tip:
        raise foreign_number(given, shard.id, stream.name, stream.account)
    return found if kind == "AT_SEQUENCE_NUMBER" else found + 1


def get_records(
    now: Instant, stream: Stream, iterator: Iterator, request: JsonObject, limits: bool, empty: int
) -> JsonObject:
    """GetRecords. The page that ends a closed shard has its children and no next iterator (STR-4)."""
    limit = number(request, "Limit", 1, MOST_RECORDS, MOST_RECORDS)
    if iterator.mark != stream.numbering.mark:  # of a stream of that name that was deleted
        raise no_such_shard(iterator.shard, stream.name, stream.account)
    shard = stream.shard(iterator.shard)
    age = now.mono - iterator.told
    if age > ITERATOR_SECONDS:
        raise AwsError(
            "ExpiredIteratorException",
            f"Iterator expired. It was told {age:.0f} seconds ago, and an iterator is good for "
            f"{ITERATOR_SECONDS:.0f} seconds.",
        )
    if limits and shard.reads.refuses(now.mono):
        raise throttled()
    shard.trim(stream.horizon(now))
    found = shard.read(iterator.place, limit)
    if iterator.empty and found.records:
        following = iterator._replace(empty=iterator.empty - 1, told=now.mono)
        behind = _behind(now, found.records[0]["ApproximateArrivalTimestamp"])
        return {"Records": [], "NextShardIterator": following.text(), "MillisBehindLatest": behind}
    shard.reads.took(now.mono, found.size)
    answer: JsonObject = {"Records": found.records, "MillisBehindLatest": _behind(now, found.waiting_since)}
    if shard.closed is not None and found.waiting_since is None:
        answer["NextShardIterator"] = None
        answer["ChildShards"] = [show_child(child) for child in shard.children]
    else:
        following = iterator._replace(place=found.place, empty=empty, told=now.mono)
        answer["NextShardIterator"] = following.text()
    return answer


def _behind(now: Instant, since: float | None) -> int:
    """Never 0 while a record is left, even on a clock that stands still."""
    return 0 if since is None else max(1, round((now.wall - since) * 1000))


def show_range(shard: Shard) -> JsonObject:
    """HashKeyRange."""
    return {"StartingHashKey": str(shard.start), "EndingHashKey": str(shard.end)}


def show_child(child: Shard) -> JsonObject:
    """An element of ChildShards."""
    return {"ShardId": child.id, "ParentShards": list(child.parents), "HashKeyRange": show_range(child)}
