"""The queues and streams of a run, and every record put there.

The truth about a record is kept here (`Rec`); who may change it is invariants.py.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from poller.core.mapping import EventSourceMapping
from poller.core.model import Instant, JsonObject, MappingState, SourceKind
from poller.testing.sqs_message import State
from tests.sim.aws import Aws

KEYS = 6
PADDING = "x" * 900_000  # of a large record


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
    names_by_text: dict[str, str] = field(default_factory=dict)
    """By what was put into the queue or stream of Kinesis: nobody may change a byte of it."""
    newest: dict[str, int] = field(default_factory=dict)
    by_shard: dict[str, list[Rec]] = field(default_factory=dict)
    changes: int = 0
    """How often its mapping was changed or removed: attempts are counted anew from then on."""
    made: int = 0
    """What `changes` was when the mapping that runs was made: batches that wait for a call still begin in it."""

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
                rec.past, rec.deadly = True, False  # it may come again, when nobody waits for it any more

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
            rec.deadly = False
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
        padding = PADDING if self.big and self.random.random() < 0.9 else ""
        body = f'{{"name": "{rec.name}", "keep": {json.dumps(rec.matches)}, "padding": "{padding}"}}'
        if self.kind is SourceKind.SQS:
            self.names_by_text[body] = rec.name
            request: JsonObject = {"QueueUrl": self.queue_url, "MessageBody": body}
            if self.mapping.arn.fifo:
                request |= {"MessageGroupId": rec.key, "MessageDeduplicationId": rec.name}
            self.aws.now("sqs", "SendMessage", request)
        elif self.kind is SourceKind.KINESIS:
            data = base64.b64encode(body.encode()).decode()
            self.names_by_text[data] = rec.name
            request = {"StreamName": self.mapping.arn.name, "PartitionKey": rec.key, "Data": data}
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
            return self.names_by_text[record["body"]]
        if self.kind is SourceKind.KINESIS:
            return self.names_by_text[record["kinesis"]["data"]]
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
