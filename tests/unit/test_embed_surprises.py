"""What surprises users of streams, through the library on the embedded AWS (SUR), and what is decided where AWS
leaves it open (OPEN).
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import poller
from poller.aws import destinations
from poller.core import pace, stream_saving, stream_settle
from poller.core.model import SourceKind
from poller.testing import EmbeddedAws, FakeQueue
from tests.unit.runtime.rig import until

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
DEAD = "arn:aws:sqs:us-east-1:000000000000:dead"
BUCKET = "arn:aws:s3:::failed"
LOW, HIGH = "0", str(2**127)  # hash keys of the two shards
Event = dict[str, Any]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits longer than it must."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        monkeypatch.setitem(pace._IDLE, kind, 0.01)
        monkeypatch.setitem(pace._BEHIND, kind, 0.01)
    monkeypatch.setattr(pace, "FAILURE_FIRST", 0.01)
    monkeypatch.setattr(stream_settle, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(stream_saving, "SAVE_EVERY", 0.01)
    monkeypatch.setattr(destinations, "FIRST_PAUSE", 0.01)


@pytest.fixture
async def aws():
    async with EmbeddedAws() as aws:
        aws.kinesis.limits = False
        ask(aws, aws.kinesis, "CreateStream", StreamName="clicks", ShardCount=2)
        ask(aws, aws.s3, "CreateBucket", Bucket="failed")
        yield aws


@pytest.fixture
def dead(aws: EmbeddedAws) -> FakeQueue:
    return FakeQueue("dead", service=aws.service)


@pytest.fixture
async def p(aws: EmbeddedAws):
    async with poller.Poller(region="us-east-1", endpoint_url=aws.url, shutdown_timeout=5) as p:
        yield p


def ask(aws: EmbeddedAws, machine: Any, operation: str, **request: Any) -> Any:
    return machine.apply(aws.service.clock.now(), operation, request)


def put(aws: EmbeddedAws, *keys: str, hash_key: str = LOW) -> None:
    """Records whose keys and data are the same words."""
    for key in keys:
        data = base64.b64encode(key.encode()).decode()
        record = {"StreamName": "clicks", "PartitionKey": key, "Data": data, "ExplicitHashKey": hash_key}
        ask(aws, aws.kinesis, "PutRecord", **record)


def add(p: poller.Poller, handler: Any, destination: str = "", **fields: Any) -> Any:
    to = {"DestinationConfig": {"OnFailure": {"Destination": destination}}} if destination else {}
    return p.add(STREAM, handler, **{"StartingPosition": "TRIM_HORIZON"} | to | fields)


class Handler:
    """Fails every batch that has a record whose key begins with `bad`. `seen` has the keys of each call."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.succeeded: list[str] = []

    async def __call__(self, event: Event, context: Any) -> None:
        keys = [record["kinesis"]["partitionKey"] for record in event["Records"]]
        self.seen.append(keys)
        if any(key.startswith("bad") for key in keys):
            raise RuntimeError("on purpose")
        self.succeeded += keys

    async def has(self, *keys: str) -> None:
        await until(lambda: sorted(self.succeeded) == sorted(keys), f"{keys}")


def metric(p: poller.Poller, name: str) -> float:
    """The highest sample of that name."""
    found = [sample.value for family in p.registry.collect() for sample in family.samples if sample.name == name]
    return max(found, default=0.0)


async def test_sur_3_one_poison_record_stalls_its_shard_under_the_defaults(
    aws: EmbeddedAws, p: poller.Poller
) -> None:
    """SUR-3, ERR-4, GEN-9: nothing behind it is delivered, the other shard goes on."""
    put(aws, "bad", "behind")
    put(aws, "other", hash_key=HIGH)
    handler = Handler()
    add(p, handler)
    await until(lambda: handler.seen.count(["bad", "behind"]) >= 5, "the fifth attempt")
    put(aws, "another", hash_key=HIGH)
    await handler.has("other", "another")
    assert set(map(tuple, handler.seen)) == {("bad", "behind"), ("other",), ("another",)}


async def test_sur_3_attempts_bisecting_and_a_destination_are_the_remedy(
    aws: EmbeddedAws, p: poller.Poller, dead: FakeQueue
) -> None:
    """SUR-3, ERR-24, OPEN-3, OPEN-4, OPEN-5: with no retry at all, all but the one record succeed."""
    names = [f"k{n}" for n in range(4)]
    put(aws, *names[:2], "bad", *names[2:])
    handler = Handler()
    add(p, handler, DEAD, MaximumRetryAttempts=0, BisectBatchOnFunctionError=True)
    await handler.has(*names)
    assert [" ".join(keys) for keys in handler.seen] == [
        "k0 k1 bad k2 k3",
        "k0 k1",
        "bad k2 k3",
        "bad",
        "k2 k3",
    ]
    (document,) = map(json.loads, dead.bodies())
    assert document["KinesisBatchInfo"]["batchSize"] == 1


async def test_sur_11_only_a_bucket_keeps_the_data(aws: EmbeddedAws, p: poller.Poller, dead: FakeQueue) -> None:
    """SUR-11, DST-9, DST-10: what a queue gets says where the record was, and nothing of what it was."""
    put(aws, "bad-secret")
    told = {"MaximumRetryAttempts": 0}
    add(p, Handler(), DEAD, Name="queue", **told)
    add(p, Handler().__call__, BUCKET, Name="bucket", **told)
    objects = aws.s3.buckets["failed"].objects
    await until(lambda: dead.bodies() and objects, "both documents")
    data = base64.b64encode(b"bad-secret").decode()
    (message,), (stored,) = dead.bodies(), objects.values()
    assert "bad-secret" not in message
    assert data not in message
    (record,) = json.loads(json.loads(stored.body)["payload"])["Records"]
    assert record["kinesis"]["data"] == data
    assert record["eventID"].endswith(json.loads(message)["KinesisBatchInfo"]["startSequenceNumber"])


async def test_sur_12_a_record_was_seen_more_often_than_its_document_says(
    aws: EmbeddedAws, p: poller.Poller, dead: FakeQueue
) -> None:
    """SUR-12, DST-8, ERR-22: the halves it came from are not counted."""
    put(aws, "k0", "k1", "k2", "bad")
    handler = Handler()
    add(p, handler, DEAD, MaximumRetryAttempts=1, BisectBatchOnFunctionError=True)
    await handler.has("k0", "k1", "k2")
    (body,) = await until(dead.bodies, "the document")
    assert Counter(key for keys in handler.seen for key in keys)["bad"] == 4
    assert json.loads(body)["requestContext"]["approximateInvokeCount"] == 2


async def test_sur_22_the_iterator_age_rises_while_a_batch_is_tried_again(
    aws: EmbeddedAws, p: poller.Poller
) -> None:
    """SUR-22, MET-9: although nothing new comes, and in both shards nothing is unread."""
    put(aws, "bad")
    handler = Handler()
    add(p, handler)
    ages: list[float] = []
    for attempts in (1, 4, 7):
        await until(lambda attempts=attempts: len(handler.seen) >= attempts, f"attempt {attempts}")
        ages.append(metric(p, "esm_iterator_age_seconds"))
    assert 0 < ages[0] < ages[1] < ages[2]
    assert metric(p, "esm_behind_latest_seconds") == 0


async def test_open_15_three_tries_and_then_the_document_is_dropped(
    aws: EmbeddedAws, p: poller.Poller, dead: FakeQueue
) -> None:
    """OPEN-15, DST-30, ERR-33: what comes behind waits for the third try, and nothing is sent when all is well
    again.
    """
    aws.faults.fail("SendMessage", None, status=403, code="AccessDenied")
    handler = Handler()
    add(p, handler, DEAD, MaximumRetryAttempts=0, BatchSize=1)
    put(aws, "bad", "behind")
    await handler.has("behind")
    assert aws.service.calls["SendMessage"] == 3
    aws.faults.clear()
    put(aws, "later", "bad-too")
    await until(dead.bodies, "the next document")
    assert aws.service.calls["SendMessage"] == 4
    assert len(dead.bodies()) == 1


async def test_open_17_what_the_stream_drops_while_it_fails_is_reported_as_too_old(
    aws: EmbeddedAws, p: poller.Poller, dead: FakeQueue
) -> None:
    """OPEN-17, ERR-15, KIN-7: without any limit of the mapping's own; the shard goes on."""
    do = aws.kinesis.apply

    def apply(now: Any, operation: str, request: Event) -> Event:
        answer = do(now, operation, request)
        if operation == "DescribeStreamSummary":  # less than a stream can have: a fifth of a second
            answer["StreamDescriptionSummary"]["RetentionPeriodHours"] = 0.2 / 3600
        return answer

    aws.kinesis.apply = apply  # type: ignore[method-assign] - changes nothing but this answer
    put(aws, "bad")
    handler = Handler()
    add(p, handler, DEAD)
    (body,) = await until(dead.bodies, "the document")
    document = json.loads(body)
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == len(handler.seen)
    assert "responseContext" not in document
    put(aws, "next")
    await handler.has("next")


async def test_a_third_reader_of_a_table_slows_everybody_down_and_costs_nothing(
    aws: EmbeddedAws, p: poller.Poller
) -> None:
    """STR-22, SUR-15, STR-23: a mapping is one reader of a shard; when others take its place it waits."""
    key = [{"AttributeName": "id", "AttributeType": "S"}], [{"AttributeName": "id", "KeyType": "HASH"}]
    made = ask(
        aws,
        aws.dynamodb,
        "CreateTable",
        TableName="orders",
        AttributeDefinitions=key[0],
        KeySchema=key[1],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    reading: Counter[str] = Counter()
    most = 0
    do = aws.dynamodb_streams_service.call

    def call(operation: str, request: Event, reply: Callable[[Any], None]) -> Any:
        nonlocal most
        if operation != "GetRecords":
            return do(operation, request, reply)
        shard = request["ShardIterator"].rpartition("|")[2]
        shard = json.loads(base64.b64decode(shard))[0]
        reading[shard] += 1
        most = max(most, reading[shard])

        def answer() -> None:
            reading[shard] -= 1
            do(operation, request, reply)

        asyncio.get_running_loop().call_later(0.002, answer)
        return None

    aws.dynamodb_streams_service.call = call  # type: ignore[method-assign] - looks on, and takes its time
    seen: list[str] = []

    async def handler(event: Event, context: Any) -> None:
        seen.extend(record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"])

    arn = made["TableDescription"]["LatestStreamArn"]
    p.add(arn, handler, StartingPosition="TRIM_HORIZON", ParallelizationFactor=4)
    for number in range(40):
        if number % 10 == 0:
            aws.faults.throttle("dynamodbstreams:GetRecords", times=3)
        ask(aws, aws.dynamodb, "PutItem", TableName="orders", Item={"id": {"S": str(number)}})
        await asyncio.sleep(0)
    await until(lambda: len(seen) >= 40, "all changes")
    assert sorted(seen, key=int) == [str(number) for number in range(40)]
    assert most == 1
