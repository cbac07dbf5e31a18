"""Answers of services that are not what they should be: each call has a result that can be used, or says in one of
our errors that it has none. The answers go through the wire client's own reading of JSON.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any, cast

import pytest

from poller.aws.clients import AwsClients
from poller.aws.dynamodb_streams import DynamoDbStream
from poller.aws.kinesis import KinesisStream
from poller.aws.sqs import SqsQueue
from poller.aws.wire import WireAnswer, WireClient
from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, QueueFacts
from poller.core.records import TRIM_HORIZON as _HORIZON
from poller.core.records import Page, StreamFacts
from poller.errors import SourceError
from tests.property.hostile import ODD, as_sent, one_odd_field

DATE = {b"Date": b"Sat, 21 Nov 2026 11:44:00 GMT"}
SHARD = {
    "ShardId": "shard-1",
    "ParentShardId": "shard-0",
    "AdjacentParentShardId": "shard-0",
    "ParentShards": ["shard-0"],
    "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"},
    "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
}
CLOSED = {
    "ShardId": "shard-1",
    "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"},
}


def arn_of(service: str) -> SourceArn:
    return SourceArn(f"arn:aws:{service}:eu-west-1:123456789012:x", "aws", "eu-west-1", "123456789012", "x")


class Told:
    """Clients whose services answer what stands here, by operation."""

    host, endpoint = "here", "http://here"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def wire(self, service: str, region: str) -> "Told":
        return self

    async def call(self, operation: str, body: object, *, deadline: float, attempts: int = 1) -> WireAnswer:
        sent = as_sent(self.answers[operation])
        return WireAnswer(WireClient._decode(cast("WireClient", _READER), operation, sent), len(sent), DATE)


_READER = WireClient.__new__(WireClient)
_READER.service, _READER.host = "service", "here"


async def outcome(call: Awaitable[Any]) -> Any:
    """What came of it; only our own error may."""
    try:
        return await call
    except SourceError as error:
        refusal = error
    assert str(refusal).isprintable()
    assert len(str(refusal)) < 1_000
    return refusal


def queue(**answers: Any) -> SqsQueue:
    told = Told(**{"GetQueueUrl": {"QueueUrl": "http://here/q"}} | answers)
    made = SqsQueue(cast("AwsClients", told), arn_of("sqs"))
    made._wire, made._url = cast("WireClient", told), "http://here/q"
    return made


def kinesis(**answers: Any) -> KinesisStream:
    return KinesisStream(cast("AwsClients", Told(**answers)), arn_of("kinesis"))


def dynamodb(**answers: Any) -> DynamoDbStream:
    return DynamoDbStream(cast("AwsClients", Told(**answers)), arn_of("dynamodb"))


def whole(fields: JsonObject, *path: str) -> Iterator[Any]:
    """Answers that are odd as a whole, or in one of these fields, within the objects that the path names."""
    for value in (*ODD, *one_odd_field(fields)):
        for name in reversed(path):
            value = {name: value}  # noqa: PLW2901 - wrapped from within
        yield value


async def test_what_a_queue_tells_of_itself_can_be_reckoned_with() -> None:
    """IAM-1, SQS-8: a visibility timeout that is NaN, negative or without end is none."""
    attributes = {
        "VisibilityTimeout": "30",
        "ApproximateNumberOfMessages": "1",
        "ApproximateNumberOfMessagesNotVisible": "1",
        "ApproximateNumberOfMessagesDelayed": "1",
        "RedrivePolicy": '{"maxReceiveCount": 3}',
    }
    for told in whole(attributes, "Attributes"):
        facts = await outcome(queue(GetQueueAttributes=told).describe())
        if isinstance(facts, QueueFacts):
            assert 0 <= facts.visibility_timeout <= 1e12
            assert all(type(n) is int and n >= 0 for n in (facts.visible, facts.in_flight, facts.delayed))
            assert facts.redrive is None or isinstance(facts.redrive, dict)
    facts = await queue(GetQueueAttributes={"Attributes": attributes}).describe()
    assert facts == QueueFacts(30.0, 1, 1, 1, {"maxReceiveCount": 3})


async def test_a_queue_is_opened_or_not() -> None:
    """CFG-40: under whatever URL the service gives it, if only that can be sent back."""
    for told in whole({"QueueUrl": "http://here/q"}):
        answers = {"GetQueueAttributes": {"Attributes": {"VisibilityTimeout": "30"}}, "ReceiveMessage": {}}
        opened = queue(GetQueueUrl=told, **answers)
        if isinstance(await outcome(opened.open()), QueueFacts):
            assert await opened.receive(10, 20, None, 30.0) == ([], 2)


async def test_a_receive_brings_a_list() -> None:
    """SQS-1: what is in it is judged message by message."""
    for told in whole({"Messages": [None]}):
        brought = await outcome(queue(ReceiveMessage=told).receive(10, 20, None, 30.0))
        assert isinstance(brought, SourceError) or isinstance(brought[0], list)


async def test_only_what_is_called_deleted_is() -> None:
    """SQS-26: no odd answer makes a message that is still there pass for deleted."""
    for told in (*whole({"Successful": [{"Id": "0"}], "Failed": []}), *whole({"Id": "1"}, "Successful")):
        refused = await outcome(queue(DeleteMessageBatch=told).delete(["a", "b"]))
        assert isinstance(refused, SourceError) or 1 in [failure.index for failure in refused]
    for entry in whole({"Id": "1", "Code": "c", "Message": "m"}):
        told = {"Successful": [{"Id": "0"}], "Failed": [entry]}
        refused = await outcome(queue(DeleteMessageBatch=told).delete(["a", "b"]))
        assert isinstance(refused, SourceError) or 1 in [failure.index for failure in refused]
    both = {"Successful": [{"Id": "0"}, {"Id": "1"}], "Failed": [{"Id": "1"}]}
    [failure] = await queue(DeleteMessageBatch=both).delete(["a", "b"])
    assert failure.index == 1
    every = {"Successful": [{"Id": "0"}, {"Id": "1"}, {"Id": "1"}, {"Id": "77"}]}
    assert await queue(DeleteMessageBatch=every).delete(["a", "b"]) == []


async def test_what_a_stream_tells_of_itself_can_be_reckoned_with() -> None:
    """STR-5, STR-12: by its retention rows are cleaned up."""
    for told in whole({"StreamStatus": "ACTIVE", "RetentionPeriodHours": 24}, "StreamDescriptionSummary"):
        facts = await outcome(kinesis(DescribeStreamSummary=told).describe())
        assert isinstance(facts, SourceError) or (isinstance(facts, StreamFacts) and 0 <= facts.retention < 1e16)
    for told in whole({"StreamStatus": "ENABLED"}, "StreamDescription"):
        await outcome(dynamodb(DescribeStream=told).describe())


def odd_shards() -> Iterator[Any]:
    yield from one_odd_field(SHARD)
    for name, fields in SHARD.items():
        if isinstance(fields, dict):
            yield from ({**SHARD, name: inner} for inner in one_odd_field(fields))
    yield from ({**SHARD, "ParentShards": [parent]} for parent in ODD)


async def test_shards_are_made_of_texts() -> None:
    """STR-2, STR-5, STR-28: or the list is not believed at all."""
    for shards in (*ODD, *([shard] for shard in odd_shards()), *([SHARD, shard] for shard in ODD)):
        for listing in (
            await outcome(kinesis(ListShards={"Shards": shards}).list_shards()),
            await outcome(dynamodb(DescribeStream={"StreamDescription": {"Shards": shards}}).list_shards()),
        ):
            if isinstance(listing, SourceError):
                continue
            for shard in listing.shards:
                assert isinstance(shard.id, str)
                assert shard.id
                assert all(isinstance(parent, str) and parent for parent in shard.parents)
                assert shard.starting == "" or int(shard.starting) >= 0
                assert shard.ending is None or isinstance(shard.ending, str)
    for token in ODD:
        await outcome(kinesis(ListShards={"Shards": [], "NextToken": token}).list_shards())
        described = {"StreamDescription": {"Shards": [], "LastEvaluatedShardId": token}}
        await outcome(dynamodb(DescribeStream=described).list_shards())


async def test_an_iterator_is_text() -> None:
    """STR-23."""
    for told in whole({"ShardIterator": "i"}):
        for stream in (kinesis(GetShardIterator=told), dynamodb(GetShardIterator=told)):
            iterator = await outcome(stream.iterator("shard-1", _HORIZON, 5.0))
            assert isinstance(iterator, SourceError | str)


@pytest.mark.parametrize("make", [kinesis, dynamodb])
async def test_only_nothing_is_the_end_of_a_shard(make: Any) -> None:
    """STR-4: a next iterator that is no text is not, also when the shard is listed as closed and may have more."""
    listed = {"ListShards": {"Shards": [CLOSED]}, "DescribeStream": {"StreamDescription": {"Shards": [CLOSED]}}}
    page = {"Records": [], "NextShardIterator": "i", "MillisBehindLatest": 0, "ChildShards": []}
    for told in whole(page):
        read = await outcome(make(GetRecords=told, **listed).records("shard-1", "i", 100, 5.0))
        if isinstance(read, SourceError):
            continue
        assert isinstance(read, Page)
        assert isinstance(read.records, list)
        assert read.behind is None or 0 <= read.behind < 1e12
        if read.iterator is None:
            assert told.get("NextShardIterator") in {None, ""}
        else:
            assert isinstance(read.iterator, str)


def test_the_odd_answers_do_arrive() -> None:
    """The clients above are not so broken that all of them refused everything."""
    [seen] = asyncio.run(kinesis(ListShards={"Shards": [SHARD]}).list_shards()).shards
    assert (seen.id, seen.parents, seen.ending) == ("shard-1", ("shard-0",), "2")
