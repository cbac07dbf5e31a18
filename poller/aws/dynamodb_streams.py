"""One DynamoDB stream behind ports.StreamSource, all through the wire client.

Ids, ARNs and sequence numbers are the service's and are not taken apart: stand-ins have other forms.
"""

from typing import Any

from poller.aws.clients import AwsClients
from poller.aws.errors import unreadable
from poller.aws.shards import check_end, read_id, read_number
from poller.aws.told import following
from poller.aws.wire import WireAnswer, WireClient
from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, SourceProblem
from poller.core.records import Listing, Page, Position, PositionKind, Shard, StreamFacts
from poller.errors import SourceError

# Seconds for calls that only look; three attempts fit in.
CALL_DEADLINE = 10.0
ATTEMPTS = 3
_NOT_LISTED = frozenset({SourceProblem.REFUSED, SourceProblem.MISSING})
# Fixed by the service (DDB-7), seconds.
RETENTION = 86_400.0
# The most that GetRecords gives (STR-21).
MOST_RECORDS = 1_000
# DynamoDB can start only here: a time is TRIM_HORIZON, and the reader drops what is older (STR-11).
_ITERATORS = {
    PositionKind.TRIM_HORIZON: "TRIM_HORIZON",
    PositionKind.AT_TIMESTAMP: "TRIM_HORIZON",
    PositionKind.LATEST: "LATEST",
    PositionKind.AFTER: "AFTER_SEQUENCE_NUMBER",
    PositionKind.AT: "AT_SEQUENCE_NUMBER",
}
_NUMBERED = frozenset({PositionKind.AFTER, PositionKind.AT})


class DynamoDbStream:
    """A stream by its ARN. A second thread makes its own from its own clients.

    Beside what each method names, all raise ConfigurationError for an unusable endpoint.
    """

    def __init__(self, clients: AwsClients, arn: SourceArn) -> None:
        self.arn = arn
        self._clients = clients

    @property
    def _wire(self) -> WireClient:
        return self._clients.wire("dynamodbstreams", self.arn.region)

    async def describe(self) -> StreamFacts:
        """DescribeStream (IAM-4). For a missing stream (CFG-41) and for one that may not be read (CFG-43) AWS's
        sentence comes first. A disabled stream, or that of a deleted table, can be read for a day (DDB-9).
        """
        told, _ = await self._describe(Limit=1)
        status = str(told.get("StreamStatus") or "ENABLED")
        return StreamFacts(status=status, reading=status != "ENABLING", retention=RETENTION)

    async def list_shards(self, since: str | None = None) -> Listing:
        """All shards (STR-5), or those listed after `since`; all of them too when that shard is listed no more.

        `told_at` is the moment of the first page: whatever is written later is in no doubt.
        """
        if since is not None:
            try:
                return await self._list(ExclusiveStartShardId=since)
            except SourceError as error:
                if error.problem not in _NOT_LISTED:
                    raise
        return await self._list()

    async def children(self, shard_id: str) -> tuple[Shard, ...]:
        """DescribeStream with the filter CHILD_SHARDS (STR-4).

        Servers that do not know the filter refuse it or list everything, so the answer is sifted here in any case.
        """
        try:
            listing = await self._list(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard_id})
        except SourceError as error:
            if error.problem not in _NOT_LISTED:
                raise
            listing = await self.list_shards(since=shard_id)
        return tuple(shard for shard in listing.shards if shard_id in shard.parents)

    async def iterator(self, shard_id: str, position: Position, deadline: float) -> str:
        """GetShardIterator. A time becomes TRIM_HORIZON: the reader drops what is older (STR-11). A sequence
        number that is refused is a position whose records are gone (STR-25).
        """
        body = {
            "StreamArn": self.arn.text,
            "ShardId": shard_id,
            "ShardIteratorType": _ITERATORS[position.kind],
        }
        if position.kind in _NUMBERED:
            body["SequenceNumber"] = position.sequence
        try:
            answer = await self._wire.call("GetShardIterator", body, deadline=deadline)
        except SourceError as error:
            if position.kind in _NUMBERED and error.code == "ValidationException":
                raise SourceError(SourceProblem.TRIMMED, str(error), error.code) from error
            raise
        iterator = answer.data.get("ShardIterator")
        if not isinstance(iterator, str) or not iterator:
            raise self._unreadable("GetShardIterator", "no ShardIterator")
        return iterator

    async def records(self, shard_id: str, iterator: str, limit: int, deadline: float) -> Page:
        """GetRecords (STR-21), one attempt. DynamoDB tells neither how far it is behind nor the children, so an
        end is looked up in what it lists (STR-4).
        """
        body = {"ShardIterator": iterator, "Limit": min(limit, MOST_RECORDS)}
        answer = await self._wire.call("GetRecords", body, deadline=deadline)
        records = answer.data.get("Records")
        if not isinstance(records, list):  # not there either: an empty object must not pass for the end of a shard
            raise self._unreadable("GetRecords", "Records is not a list")
        try:
            iterator_after = following(answer.data.get("NextShardIterator"))
        except TypeError as error:
            raise self._unreadable("GetRecords", "NextShardIterator is no iterator") from error
        if iterator_after is None:
            await self._check_end(shard_id)
        return Page(
            records=records,
            iterator=iterator_after,
            behind=None,
            size=answer.size,
        )

    async def _check_end(self, shard_id: str) -> None:
        """STR-4. The list of a large table is long: it is the last that is asked for. The last shards of a
        disabled stream have no children (DDB-9).
        """
        if await self.children(shard_id) or (await self.describe()).status == "DISABLED":
            return
        check_end("dynamodbstreams", self._wire.host, shard_id, await self.list_shards())

    async def _list(self, **fields: Any) -> Listing:
        complete = not fields
        shards: list[Shard] = []
        starts: set[str] = set()
        told_at: float | None = None
        while True:
            told, answer = await self._describe(**fields)
            if told_at is None:
                told_at = answer.told_at()
            if not isinstance(told.get("Shards"), list):
                raise self._unreadable("DescribeStream", "no list of shards")
            try:
                shards += [_shard(shard) for shard in told["Shards"]]
            except (KeyError, TypeError, AttributeError) as error:
                raise self._unreadable("DescribeStream", "a shard in another form") from error
            last = told.get("LastEvaluatedShardId")
            if not last:
                break
            if not isinstance(last, str) or last in starts:
                raise self._unreadable("DescribeStream", "the same page again and again")
            starts.add(last)
            fields["ExclusiveStartShardId"] = last
        if told_at is None:
            raise self._unreadable("DescribeStream", "no Date header")
        return Listing(shards=tuple(shards), complete=complete, told_at=told_at)

    async def _describe(self, **fields: Any) -> tuple[JsonObject, WireAnswer]:
        body = {"StreamArn": self.arn.text, **fields}
        try:
            answer = await self._wire.call("DescribeStream", body, deadline=CALL_DEADLINE, attempts=ATTEMPTS)
        except SourceError as error:
            raise self._explained(error) from error
        told = answer.data.get("StreamDescription")
        if not isinstance(told, dict):
            raise self._unreadable("DescribeStream", "no StreamDescription")
        return told, answer

    def _unreadable(self, operation: str, why: str) -> SourceError:
        return unreadable("dynamodbstreams", operation, self._wire.host, why)

    def _explained(self, error: SourceError) -> SourceError:
        where = f"Asked was {self._wire.host}"
        match error.problem:
            case SourceProblem.MISSING:
                text = (
                    f"Stream not found: {self.arn.text}. {where}: check table, account and region, and the label "
                    "at the end: a stream that was switched off and on again has a new one."
                )
            case SourceProblem.DENIED:
                text = (
                    f"Cannot access stream {self.arn.text}. Please ensure the role can perform the GetRecords, "
                    "GetShardIterator, DescribeStream, and ListStreams Actions on your stream in IAM. "
                    f"{where}: allow dynamodb:DescribeStream, dynamodb:GetShardIterator and dynamodb:GetRecords. "
                    f"({error})"
                )
            case _:
                return error
        return SourceError(error.problem, text, error.code)


def _shard(told: JsonObject) -> Shard:
    numbers = told.get("SequenceNumberRange") or {}
    parent, ending = told.get("ParentShardId"), numbers.get("EndingSequenceNumber")
    return Shard(
        id=read_id(told["ShardId"]),
        parents=(str(parent),) if parent else (),
        starting=read_number(numbers.get("StartingSequenceNumber")),
        ending=str(ending) if ending else None,
    )
