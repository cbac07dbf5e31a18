"""One Kinesis stream behind ports.StreamSource, all through the wire client.

Name and ARN are told together, as KCL does: some stand-ins know the name only, another account's stream needs the
ARN.
"""

from collections.abc import Mapping
from math import floor
from typing import Any

from poller.aws.clients import AwsClients
from poller.aws.errors import unreadable
from poller.aws.shards import check_end, read_id, read_number
from poller.aws.told import amount, following
from poller.aws.wire import WireAnswer, WireClient
from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, SourceProblem
from poller.core.records import Listing, Page, Position, PositionKind, Shard, StreamFacts
from poller.errors import SourceError

# Seconds for calls that are not told their deadline; three attempts fit in.
CALL_DEADLINE = 10.0
ATTEMPTS = 3
_LONGEST = 1e12  # milliseconds: 30 years, and records are kept for one
_READABLE = frozenset({"ACTIVE", "UPDATING"})
_BAD_NUMBER = frozenset({"InvalidArgumentException", "ValidationException"})
_POSITIONS = {
    PositionKind.TRIM_HORIZON: "TRIM_HORIZON",
    PositionKind.LATEST: "LATEST",
    PositionKind.AT_TIMESTAMP: "AT_TIMESTAMP",
    PositionKind.AFTER: "AFTER_SEQUENCE_NUMBER",
    PositionKind.AT: "AT_SEQUENCE_NUMBER",
}
_NUMBERED = frozenset({PositionKind.AFTER, PositionKind.AT})


class KinesisStream:
    """A stream by its ARN, or by that of one of its consumers. A second thread makes its own from its own clients.

    Beside what each method names, all raise ConfigurationError for an unusable endpoint.
    """

    def __init__(self, clients: AwsClients, arn: SourceArn) -> None:
        self.arn = arn
        self._clients = clients
        self._stream_arn = f"arn:{arn.partition}:kinesis:{arn.region}:{arn.account}:stream/{arn.name}"
        self._stream: JsonObject = {"StreamName": arn.name, "StreamARN": self._stream_arn}

    @property
    def _wire(self) -> WireClient:
        return self._clients.wire("kinesis", self.arn.region)

    async def describe(self) -> StreamFacts:
        """DescribeStreamSummary. For a missing stream (CFG-41) and for one that may not be read (CFG-43) AWS's
        sentence comes first.
        """
        try:
            answer = await self._ask("DescribeStreamSummary", self._stream)
        except SourceError as error:
            raise self._explained(error) from error
        try:
            told = answer.data["StreamDescriptionSummary"]
            status, hours = str(told["StreamStatus"]), amount(told["RetentionPeriodHours"])
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._unreadable("DescribeStreamSummary", "no status or retention") from error
        return StreamFacts(status=status, reading=status in _READABLE, retention=hours * 3600)

    async def list_shards(self, since: str | None = None) -> Listing:
        """ListShards through all pages (STR-5): the first names the stream, the others have NextToken alone."""
        request = self._stream if since is None else self._stream | {"ExclusiveStartShardId": since}
        shards: dict[str, Shard] = {}
        told_at = None
        while True:
            answer = await self._ask("ListShards", request)
            if told_at is None:  # the first page's: by the last one's, records of the time between would be missed
                told_at = answer.told_at()
            before = len(shards)
            shards |= {shard.id: shard for shard in self._shards("ListShards", answer.data.get("Shards"))}
            token = answer.data.get("NextToken")
            if not token:
                break
            if len(shards) == before:
                raise self._unreadable("ListShards", "a page with a token and no new shard")
            request = {"NextToken": token}
        if told_at is None:
            raise self._unreadable("ListShards", "no Date header")
        return Listing(tuple(shards.values()), complete=since is None, told_at=told_at)

    async def children(self, shard_id: str) -> tuple[Shard, ...]:
        """Those of the shards listed after this one that name it as a parent: ids ascend with time."""
        listing = await self.list_shards(shard_id)
        return tuple(shard for shard in listing.shards if shard_id in shard.parents)

    async def iterator(self, shard_id: str, position: Position, deadline: float) -> str:
        """GetShardIterator, one attempt. A sequence number that Kinesis does not take, as when the stream was
        deleted and made anew, is a position whose records are gone (STR-25).
        """
        request = self._stream | {"ShardId": shard_id, "ShardIteratorType": _POSITIONS[position.kind]}
        if position.kind in _NUMBERED:
            request["StartingSequenceNumber"] = position.sequence
        elif position.kind is PositionKind.AT_TIMESTAMP:
            # Kinesis knows milliseconds: rounded up, it could skip the record that is meant
            request["Timestamp"] = floor(position.timestamp * 1000) / 1000
        try:
            answer = await self._wire.call("GetShardIterator", request, deadline=deadline)
        except SourceError as error:
            if position.kind in _NUMBERED and error.code in _BAD_NUMBER:
                raise SourceError(SourceProblem.TRIMMED, str(error), error.code) from error
            raise
        iterator = answer.data.get("ShardIterator")
        if not isinstance(iterator, str) or not iterator:
            raise self._unreadable("GetShardIterator", "no ShardIterator")
        return iterator

    async def records(self, shard_id: str, iterator: str, limit: int, deadline: float) -> Page:
        """GetRecords, one attempt; an empty page is nothing special (STR-26). A null iterator is the end, if the
        page names the children, or else if the list of shards knows of it (STR-4).
        """
        request: JsonObject = {"ShardIterator": iterator, "Limit": limit, "StreamARN": self._stream_arn}
        answer = await self._wire.call("GetRecords", request, deadline=deadline)
        data = answer.data
        records, children = data.get("Records"), data.get("ChildShards")
        if not isinstance(records, list):
            raise self._unreadable("GetRecords", "no Records")
        try:
            iterator_after = following(data.get("NextShardIterator"))
        except TypeError as error:
            raise self._unreadable("GetRecords", "NextShardIterator is no iterator") from error
        if not (iterator_after or children):
            check_end("kinesis", self._wire.host, shard_id, await self.list_shards())
        return Page(
            records=records,
            iterator=iterator_after,
            behind=_seconds(data.get("MillisBehindLatest")),
            size=answer.size,
            children=self._shards("GetRecords", children) if children else (),
        )

    # --- calls ---

    async def _ask(self, operation: str, request: JsonObject) -> WireAnswer:
        return await self._wire.call(operation, request, deadline=CALL_DEADLINE, attempts=ATTEMPTS)

    def _shards(self, operation: str, told: Any) -> tuple[Shard, ...]:
        if not isinstance(told, list):
            raise self._unreadable(operation, "no list of shards")
        try:
            return tuple(map(_shard, told))
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreadable(operation, "a shard in another form") from error

    def _unreadable(self, operation: str, why: str) -> SourceError:
        return unreadable("kinesis", operation, self._wire.host, why)

    def _explained(self, error: SourceError) -> SourceError:
        where = f"at {self._wire.host}"
        if error.problem is SourceProblem.MISSING:
            text = f"Stream not found: {self.arn.text} {where}. Check name, account and region."
            return SourceError(error.problem, text, error.code)
        if error.problem is SourceProblem.DENIED:
            text = (
                f"Cannot access stream {self.arn.text}. Please ensure the role can perform the GetRecords, "
                "GetShardIterator, DescribeStreamSummary, and ListShards Actions on your stream in IAM. "
                f"({where}: {error})"
            )
            return SourceError(error.problem, text, error.code)
        return error


def _shard(told: Mapping[str, Any]) -> Shard:
    """A shard of ListShards, or of ChildShards, which names all parents and no sequence numbers."""
    parents = told.get("ParentShards") or (told.get("ParentShardId"), told.get("AdjacentParentShardId"))
    numbers, hashes = told.get("SequenceNumberRange") or {}, told.get("HashKeyRange") or {}
    ending = numbers.get("EndingSequenceNumber")
    return Shard(
        id=read_id(told["ShardId"]),
        parents=tuple(str(parent) for parent in parents if parent),
        starting=read_number(numbers.get("StartingSequenceNumber")),
        ending=str(ending) if ending else None,
        hash_start=str(hashes.get("StartingHashKey") or ""),
        hash_end=str(hashes.get("EndingHashKey") or ""),
    )


def _seconds(milliseconds: Any) -> float | None:
    """How far behind; None where the source tells nothing that can be meant."""
    told = type(milliseconds) in {int, float} and 0 <= milliseconds < _LONGEST
    return milliseconds / 1000 if told else None
