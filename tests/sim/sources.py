"""What a run is about, drawn from its seed: the mappings, their queues and streams, and every record put there.

The truth about a record is kept here (`Rec`); who may change it is invariants.py.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.model import Instant, JsonObject, MappingState, SourceKind
from poller.testing.sqs import redrive_policy
from poller.testing.sqs_message import State
from tests.sim.aws import Aws

KEYS = 6
ACCOUNT = "us-east-1:000000000000"
FUNCTION = f"arn:aws:lambda:{ACCOUNT}:function:f"
PATTERNS = {
    SourceKind.SQS: {"body": {"keep": [True]}},
    SourceKind.KINESIS: {"data": {"keep": [True]}},
    SourceKind.DYNAMODB: {"dynamodb": {"NewImage": {"keep": {"BOOL": [True]}}}},
}


@dataclass(eq=False)
class Rec:
    """One record or message: `number` counts within its key, or FIFO group. `owed`: nobody has resolved it yet.

    `begun` and `alone` count its invocations that may have reached the function without success, `alone` those in
    a batch of one; `received` is when the present process got it.
    """

    name: str
    key: str
    number: int
    at: Instant
    matches: bool
    poison: bool
    shard: str = ""
    sequence: int = 0
    owed: bool = True
    fate: str = ""
    begun: int = 0
    alone: int = 0
    received: float | None = None
    trimmed: bool = False
    deadly: bool = False
    """Whether it ends the process that tries it; `kills` is how many it has ended."""
    kills: int = 0
    passable: bool = False
    """Whether a mapping with other settings may have given it up, and nobody was to be told."""
    past: bool = False
    """Whether a mapping that was removed since had to do with it, and its successor, at LATEST, has not."""
    announced: int = 0
    """Attempts that a row told of and that then never began, because the process ended in between."""

    def settle(self, fate: str) -> None:
        """Nobody owes it to anybody any more."""
        if self.owed:
            self.owed, self.fate = False, fate


@dataclass(eq=False)
class Source:
    """One queue or stream, and the mapping that reads it."""

    mapping: EventSourceMapping
    aws: Aws
    random: Random
    python: bool = False
    big: bool = False
    """Whether some of its records are so large that few fit into an event."""
    redrives: bool = False
    promised: bool = False
    """Whether what is written now has to be delivered: LATEST has its meaning once the mapping is enabled."""
    state: Callable[[], MappingState] | None = None
    records: list[Rec] = field(default_factory=list)
    by_name: dict[str, Rec] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    by_shard: dict[str, list[Rec]] = field(default_factory=dict)
    changes: int = 0
    """How often its mapping was changed or removed: attempts are counted anew from then on."""

    @property
    def bounded(self) -> bool:
        """Whether somebody gives up what always fails."""
        return self.redrives or (self.mapping.stream is not None and self.mapping.stream.retries is not None)

    def removed(self) -> None:
        """Its mapping is gone, with its positions; the next one starts over (API-10)."""
        self.changes += 1
        stream = self.mapping.stream
        if stream is not None and stream.position.kind == "LATEST":
            self.promised = False
            self.state = None
            for rec in self.records:
                rec.settle("left behind")
                rec.past = True

    @property
    def kind(self) -> SourceKind:
        return self.mapping.source

    @property
    def queue_url(self) -> str:
        return f"http://127.0.0.1/000000000000/{self.mapping.arn.name}"

    @property
    def stored(self) -> Any:
        """The queue's or stream's own state."""
        if self.kind is SourceKind.SQS:
            return self.aws.sqs.sqs.queues[self.mapping.arn.name]
        if self.kind is SourceKind.KINESIS:
            return self.aws.kinesis.streams[self.mapping.arn.name]
        return self.aws.dynamodb.all_streams[self.mapping.arn.text]

    def put(self, *, poison: float = 0.0, deadly: float = 0.0, key: int | None = None) -> Rec:
        random = self.random
        # groups are worth little while they hold one message each
        keys = 2 if self.mapping.arn.fifo else KEYS
        word = f"k{random.randrange(keys) if key is None else key}"
        number = self.newest[word] = self.newest.get(word, 0) + 1
        now = self.aws.clock.now()
        matches = not self.mapping.filters or random.random() < 0.7
        rec = Rec(f"{word}:{number}", word, number, now, matches, random.random() < poison)
        rec.deadly = self.bounded and random.random() < deadly
        self._send(rec)
        if not self._promised(rec):
            rec.settle("before the start")
        elif not matches:
            rec.settle("filtered")
        self.records.append(rec)
        self.by_name[rec.name] = rec
        self.by_shard.setdefault(rec.shard, []).append(rec)
        return rec

    def _promised(self, rec: Rec) -> bool:
        stream = self.mapping.stream
        if stream is None or stream.position.kind == "TRIM_HORIZON":
            return True
        if stream.position.kind == "AT_TIMESTAMP":
            return rec.at.wall >= stream.position.timestamp + 1.0
        if self.state is not None and self.state() in {MappingState.ENABLED, MappingState.DISABLED}:
            self.promised = True
        return self.promised

    def _send(self, rec: Rec) -> None:
        padding = "x" * 900_000 if self.big and self.random.random() < 0.9 else ""
        body = json.dumps({"name": rec.name, "keep": rec.matches, "padding": padding})
        if self.kind is SourceKind.SQS:
            request: JsonObject = {"QueueUrl": self.queue_url, "MessageBody": body}
            if self.mapping.arn.fifo:
                request |= {"MessageGroupId": rec.key, "MessageDeduplicationId": rec.name}
            self.aws.now("sqs", "SendMessage", request)
        elif self.kind is SourceKind.KINESIS:
            request = {
                "StreamName": self.mapping.arn.name,
                "PartitionKey": rec.key,
                "Data": base64.b64encode(body.encode()).decode(),
            }
            told = self.aws.now("kinesis", "PutRecord", request)
            rec.shard, rec.sequence = told["ShardId"], int(told["SequenceNumber"])
        else:
            item = {"id": {"S": rec.key}, "name": {"S": rec.name}, "keep": {"BOOL": rec.matches}}
            self.aws.now("dynamodb", "PutItem", {"TableName": self.mapping.arn.name, "Item": item})
            shard = max(
                (one for one in self.stored.shards.values() if one.changes), key=lambda s: s.changes[-1].sequence
            )
            rec.shard, rec.sequence = shard.id, shard.changes[-1].sequence

    def names(self, event: JsonObject) -> list[str]:
        """The records of an invocation event."""
        return [self.name_of(record) for record in event["Records"]]

    def name_of(self, record: JsonObject) -> str:
        """That of one record, as the function sees it."""
        if self.kind is SourceKind.SQS:
            return json.loads(record["body"])["name"]
        if self.kind is SourceKind.KINESIS:
            return json.loads(base64.b64decode(record["kinesis"]["data"]))["name"]
        return record["dynamodb"]["NewImage"]["name"]["S"]

    def trim(self) -> list[Rec]:
        """The oldest records of a stream are gone; those that it takes with it."""
        now = self.aws.clock.now()
        left = [rec for shard in self.stored.shards for rec in self.by_shard.get(shard, ())]
        until = self.random.choice([rec.at.mono for rec in left]) if left else now.mono - 1.0
        for shard in self.stored.shards.values():
            shard.trim(until)
        gone = [rec for rec in left if rec.at.mono <= until]
        for rec in gone:
            rec.trimmed = True
        lost = [rec for rec in gone if rec.owed]
        for rec in lost:
            rec.settle("lost to retention")
        return lost

    def reshard(self) -> str:
        """A split, a merge or a rollover; its name."""
        random, now = self.random, self.aws.clock.now()
        if self.kind is SourceKind.DYNAMODB:
            into = random.choice([1, 1, 2]) if len(self.stored.open) < 3 else 1
            self.aws.dynamodb.roll(now, self.mapping.arn.name, into)
            return "rollover"
        opened = self.stored.open_shards
        if len(opened) > 1 and random.random() < 0.5:
            place = random.randrange(len(opened) - 1)
            self.stored.merge(now, opened[place].id, opened[place + 1].id)
            return "merge"
        shard = random.choice(opened)
        self.stored.split(now, shard.id, (shard.start + shard.end) // 2)
        return "split"

    def show_again(self) -> None:
        """SQS delivers at least once: a message in flight is there for others too."""
        flying = [one for one in self.stored.messages.values() if one.state is State.IN_FLIGHT]
        if flying and not self.mapping.arn.fifo:
            self.stored._make_visible(self.random.choice(flying))


def any_source(random: Random, aws: Aws, place: int) -> Source:
    """A mapping of any kind, and its source, made."""
    while True:
        fields = _queue(random, place) if random.random() < 0.4 else _stream(random, aws, place)
        mapping = parse_mapping(fields)
        if not isinstance(mapping, Invalid):
            break
    source = Source(mapping, aws, random, python=random.random() < 0.3, big=random.random() < 0.04)
    if mapping.source is SourceKind.SQS:
        _make_queue(source, random)
    return source


def _common(random: Random, arn: str, kind: SourceKind) -> JsonObject:
    filtered = {"Filters": [{"Pattern": json.dumps(PATTERNS[kind])}]}
    return {
        "EventSourceArn": arn,
        "FunctionName": FUNCTION,
        "FunctionResponseTypes": random.choice([[], ["ReportBatchItemFailures"]]),
        "FilterCriteria": filtered if random.random() < 0.3 else {},
        "Handler": {"TimeoutInSeconds": 5, "Concurrency": random.choice([1, 2, 8])},
    }


def _queue(random: Random, place: int) -> JsonObject:
    fifo = random.random() < 0.5
    window = 0 if fifo else random.choice([0, 0, 2, 5])
    fields = _common(random, f"arn:aws:sqs:{ACCOUNT}:q{place}{'.fifo' if fifo else ''}", SourceKind.SQS)
    sizes = [1, 1, 2, 4] if fifo else [1, 2, 4, 10]
    fields |= {"BatchSize": random.choice(sizes), "MaximumBatchingWindowInSeconds": window}
    fields["Poller"] = {"Heartbeat": random.random() < 0.3}
    if random.random() < 0.3:
        fields["Poller"]["RetryDelay"] = {"Initial": 1, "Max": 8}
    if random.random() < 0.3:
        fields["ScalingConfig"] = {"MaximumConcurrency": random.choice([2, 3])}
    return fields


def _make_queue(source: Source, random: Random) -> None:
    name, fifo = source.mapping.arn.name, source.mapping.arn.fifo
    attributes = {"VisibilityTimeout": str(random.choice([3 if source.mapping.poller.heartbeat else 5, 5, 6, 20]))}
    more = {"FifoQueue": "true"} if fifo else {}
    if random.random() < 0.5:
        source.redrives = True
        dead = f"dead-{name}"
        source.aws.now("sqs", "CreateQueue", {"QueueName": dead, "Attributes": more})
        arn = f"arn:aws:sqs:{ACCOUNT}:{dead}"
        attributes["RedrivePolicy"] = redrive_policy(arn, random.choice([3, 5]))
    source.aws.now("sqs", "CreateQueue", {"QueueName": name, "Attributes": attributes | more})


def _stream(random: Random, aws: Aws, place: int) -> JsonObject:
    name = f"s{place}-{random.getrandbits(20)}"
    if random.random() < 0.6:
        kind, arn = SourceKind.KINESIS, f"arn:aws:kinesis:{ACCOUNT}:stream/{name}"
        aws.now("kinesis", "CreateStream", {"StreamName": name, "ShardCount": random.choice([1, 2])})
    else:
        kind, arn = SourceKind.DYNAMODB, _make_table(aws, name)
    fields = _common(random, arn, kind)
    tumbling = random.random() < 0.15
    fields |= {
        "StartingPosition": random.choice(["TRIM_HORIZON", "TRIM_HORIZON", "LATEST"]),
        "BatchSize": random.choice([1, 2, 3, 5, 100]),
        "MaximumBatchingWindowInSeconds": random.choice([0, 0, 1, 5]),
        "ParallelizationFactor": 1 if tumbling else random.choice([1, 1, 2, 4]),
        "BisectBatchOnFunctionError": random.random() < 0.5,
        "MaximumRetryAttempts": random.choice([-1, 0, 0, 1, 3]),
        "MaximumRecordAgeInSeconds": random.choice([-1, 60]),
        "TumblingWindowInSeconds": random.choice([10, 30]) if tumbling else 0,
        "DestinationConfig": {"OnFailure": {"Destination": _destination(random, aws)}},
    }
    if kind is SourceKind.KINESIS and random.random() < 0.15:
        fields |= {
            "StartingPosition": "AT_TIMESTAMP",
            "StartingPositionTimestamp": aws.clock.now().wall // 1 - 7_200.0,
        }
    return fields


def _make_table(aws: Aws, name: str) -> str:
    request = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    }
    return str(aws.now("dynamodb", "CreateTable", request)["TableDescription"]["LatestStreamArn"])


def _destination(random: Random, aws: Aws) -> str:
    if random.random() < 0.5:
        aws.now("sqs", "CreateQueue", {"QueueName": "failed"})
        return f"arn:aws:sqs:{ACCOUNT}:failed"
    return random.choice(["", "", f"arn:aws:sns:{ACCOUNT}:failed", "arn:aws:s3:::failed"])


class Sources:
    """All of a run."""

    def __init__(self, random: Random, aws: Aws) -> None:
        self.all = [any_source(random, aws, place) for place in range(random.choice([1, 1, 2]))]
        self._by_queue = {one.mapping.arn.name: one for one in self.all}
        self.by_uuid = {one.mapping.uuid: one for one in self.all}

    def of_queue(self, request: JsonObject) -> Source | None:
        """The source whose queue the request names."""
        return self._by_queue.get(str(request.get("QueueUrl", "")).rpartition("/")[2])

    def appear_again(self, request: JsonObject) -> None:
        if (source := self.of_queue(request)) is not None:
            source.show_again()
