"""What the tests of the core for streams build on: mappings, records, and a rig that holds a shard's machine.

The queue's counterpart is machine.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from poller.core.budget import ByteBudget
from poller.core.mapping import DestinationArn, DestinationKind, EventSourceMapping, SourceArn, StreamSettings
from poller.core.messages import Request, Requested, Tick
from poller.core.model import (
    BatchTrigger,
    FunctionError,
    Instant,
    InvocationResult,
    JsonObject,
    SourceKind,
    SourceProblem,
    Succeeded,
    Throttled,
)
from poller.core.records import (
    TRIM_HORIZON,
    Discard,
    Page,
    PositionKind,
    Progress,
    Record,
    Shard,
    StreamBatch,
    sequence_value,
)
from poller.core.stream_consumer import StreamConsumer
from poller.core.stream_messages import (
    Discarded,
    DocumentSent,
    Fetch,
    Fetched,
    FetchFailed,
    Finished,
    Gap,
    Invoke,
    Invoked,
    LeaseLost,
    Save,
    Saved,
    SaveFailed,
    SendDocument,
    Settled,
    StreamCommand,
    StreamEvent,
)
from poller.core.stream_payload import lane_of, stream_event
from tests.unit.core.machine import Middle

BEGINNING = 1_000_000.0  # epoch seconds at the monotonic second 0
SHARD = Shard("shardId-000000000000")
CHILD = Shard("shardId-000000000001", (SHARD.id,))
OK = Succeeded(b"null")
BOOM = FunctionError("Boom", "no")
BUSY = Throttled("busy")
QUEUE = DestinationArn(
    "arn:aws:sqs:eu-west-1:123456789012:failed", DestinationKind.SQS, "eu-west-1", "123456789012", "failed"
)
ARNS = {
    SourceKind.KINESIS: "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
    SourceKind.DYNAMODB: "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000",
}
STREAM_FIELDS = ("position", "lanes", "bisect", "retries", "maximum_age", "tumbling_window", "destination")
C = TypeVar("C", bound=StreamCommand)


def stream_mapping(
    *, source: SourceKind = SourceKind.KINESIS, partial: bool = False, **fields: Any
) -> EventSourceMapping:
    """A mapping of a stream; the fields of StreamSettings and those of the mapping side by side."""
    own = {name: fields.pop(name) for name in STREAM_FIELDS if name in fields}
    settings = replace(StreamSettings(TRIM_HORIZON), **own)
    arn = SourceArn(ARNS[source], "aws", "eu-west-1", "123456789012", "s")
    plain = EventSourceMapping(
        uuid="u",
        name="s",
        source=source,
        arn=arn,
        function_name="python:a:b",
        function_arn="arn:aws:lambda:eu-west-1:123456789012:function:b",
        batch_size=100,
        report_batch_item_failures=partial,
        stream=settings,
    )
    return replace(plain, **fields)


def wall(second: float) -> float:
    """The epoch second at this second of a test."""
    return BEGINNING + second


def wire(number: int | str, *, key: str = "k", at: float = 0.0, size: int = 4) -> JsonObject:
    """A record of Kinesis as GetRecords brings it; it came into the stream at this second of the test."""
    return {
        "SequenceNumber": str(number),
        "PartitionKey": key,
        "Data": "A" * size,
        "ApproximateArrivalTimestamp": wall(at),
    }


def wires(*numbers: int, key: str = "k", at: float = 0.0) -> list[JsonObject]:
    return [wire(number, key=key, at=at) for number in numbers]


def change(number: int, *, key: str = "k", at: float = 0.0) -> JsonObject:
    """A record of DynamoDB Streams."""
    return {
        "eventID": f"e{number}",
        "eventName": "INSERT",
        "dynamodb": {
            "Keys": {"id": {"S": key}},
            "SequenceNumber": str(number),
            "ApproximateCreationDateTime": int(wall(at)),
        },
    }


def key_in(lane: int, lanes: int) -> str:
    """A partition key that belongs to this lane."""
    return next(key for key in map(str, range(1000)) if lane_of(key, lanes) == lane)


def record(number: int | str, *, offset: int = 0, lane: int = 0, at: float = 0.0, size: int = 100) -> Record:
    return Record(str(number), offset, lane, wall(at), size, {"n": number})


def some_records(*numbers: int, at: float = 0.0) -> tuple[Record, ...]:
    return tuple([record(number, offset=place, at=at) for place, number in enumerate(numbers)])


def stream_batch(*records: Record, number: int = 1, **fields: Any) -> StreamBatch:
    return replace(StreamBatch(number, 0, records, BatchTrigger.IMMEDIATE, 0.0, 0), **fields)


def numbers(of: StreamBatch | Discard | tuple[Record, ...]) -> list[int]:
    """The sequence numbers of a batch."""
    records = of.records if isinstance(of, StreamBatch) else of.batch.records if isinstance(of, Discard) else of
    return [sequence_value(one.sequence) for one in records]


def listing(*identifiers: int) -> Succeeded:
    """The response that names these records as failed."""
    failures = [{"itemIdentifier": str(one)} for one in identifiers]
    return Succeeded(orjson.dumps({"batchItemFailures": failures}))


def state(value: object, *failed: int) -> Succeeded:
    """The response of a tumbling window's function."""
    failures = [{"itemIdentifier": str(one)} for one in failed]
    return Succeeded(orjson.dumps({"state": value, "batchItemFailures": failures}))


class Rig:
    """A shard's machine, the moment it is at, and the commands that nobody has answered yet.

    `told` is what the last fact led to; `reads`, `runs` (Invoke), `documents` and `saves` are open calls, oldest
    first; `row` is the progress that was written last. With `saving` the store answers every Save at once.

    Every step asserts what must never be otherwise: no deadline lies in the past (that would be a busy loop), at
    most one read and one write are under way and one invocation on a lane, and no position that is written
    passes a record that is neither settled nor discarded.
    """

    def __init__(
        self,
        *,
        progress: Progress | None = None,
        fresh: bool = False,
        guarded: bool = False,
        retention: float | None = None,
        budget: ByteBudget | None = None,
        saving: bool = True,
        now: float = 0.0,
        **fields: Any,
    ) -> None:
        self.now = now
        self.saving = saving
        self.budget = budget or ByteBudget()
        self.fields = {"guarded": guarded, "retention": retention, **fields}
        self.row = progress or Progress(TRIM_HORIZON)
        self.mapping = stream_mapping(**fields)
        self.machine = StreamConsumer(
            self.mapping,
            SHARD,
            self.row,
            fresh=fresh,
            guarded=guarded,
            random=Middle(),
            budget=self.budget,
            retention=retention,
        )
        self.told: list[StreamCommand] = []
        self.reads: list[Fetch] = []
        self.runs: list[Invoke] = []
        self.documents: list[SendDocument] = []
        self.saves: list[Save] = []
        self.gone: list[Discarded] = []
        self.finished: Finished | None = None
        self.open: set[int] = set()
        self.feed(Tick())

    # --- time and facts ---

    def at(self, now: float) -> "Rig":
        assert now >= self.now
        self.now = now
        return self

    def feed(self, event: StreamEvent) -> list[StreamCommand]:
        self.told = self._step(event)
        while self.saving and self.saves:
            self.told += self._step(Saved(self._written().number))
        due = self.machine.deadline()
        assert due is None or due > self.now, "a Tick would come at once, and find nothing to do"
        return self.told

    def _step(self, event: StreamEvent) -> list[StreamCommand]:
        commands = self.machine.handle(event, Instant(wall(self.now), self.now))
        for command in commands:
            self._note(command)
        assert len(self.reads) <= 1
        assert len(self.saves) <= 1
        lanes = [run.batch.lane for run in self.runs]
        assert len(lanes) == len(set(lanes)), "two batches of a lane at once"
        return commands

    def _note(self, command: StreamCommand) -> None:
        match command:
            case Fetch():
                self.reads.append(command)
            case Invoke(batch):
                self.runs.append(command)
                assert batch.size == len(orjson.dumps(stream_event(batch, self.mapping, SHARD.id)))
            case SendDocument():
                self.documents.append(command)
            case Save(_, progress):
                self.saves.append(command)
                self._passes_nothing(progress)
            case Settled(batch):
                self.open.difference_update(numbers(batch)[: command.succeeded])
            case Discarded(discard):
                self.gone.append(command)
                self.open.difference_update(numbers(discard))
            case Finished():
                assert self.finished is None, "it ends once"
                self.finished = command
                self._passes_nothing(command.progress)
                if not command.lost:
                    self.row = command.progress
            case Gap():
                pass

    def _passes_nothing(self, progress: Progress) -> None:
        if progress.position.kind is PositionKind.AFTER and self.open:
            assert sequence_value(progress.position.sequence) < min(self.open), "a record is passed"

    def bring(
        self,
        *records: JsonObject,
        behind: float | None = 0.0,
        iterator: str | None = "next",
        children: tuple[Shard, ...] = (),
        passed: int = 0,
        filtered: Sequence[int] = (),
    ) -> list[StreamCommand]:
        """The read under way comes back with these, by default from the tip; `passed` of them, at the front, are
        not to be invoked, and neither are those that the filter is to remove.
        """
        self.reads.pop(0)
        told = [one.get("dynamodb", one)["SequenceNumber"] for one in records[passed:]]
        self.open.update({sequence_value(one) for one in told}.difference(filtered))
        return self.feed(Fetched(Page(list(records), iterator, behind, 100 * len(records), children)))

    def fail(
        self, problem: SourceProblem = SourceProblem.UNREACHABLE, iterator: str | None = None
    ) -> list[StreamCommand]:
        """The read under way fails; `iterator` is one that was got for it."""
        used = self.reads.pop(0).iterator
        return self.feed(FetchFailed(problem, "away", iterator or used))

    def end(self, result: InvocationResult = OK, *, run: int = 0) -> list[StreamCommand]:
        """The oldest invocation ends."""
        return self.feed(Invoked(self.runs.pop(run).batch, result, "request"))

    def sent(self, problem: str = "") -> list[StreamCommand]:
        """The oldest document is accepted, or refused for this reason."""
        return self.feed(DocumentSent(self.documents.pop(0).discard, problem))

    def saved(self) -> list[StreamCommand]:
        return self.feed(Saved(self._written().number))

    def unsaved(self) -> list[StreamCommand]:
        """The write under way fails."""
        return self.feed(SaveFailed(self.saves.pop(0).number, "disk full"))

    def lose(self) -> list[StreamCommand]:
        return self.feed(LeaseLost())

    def ask(self, request: Request) -> list[StreamCommand]:
        return self.feed(Requested(request))

    def tick(self) -> list[StreamCommand]:
        """Time passes until the machine's own deadline; what it does then must move the deadline."""
        due = self.machine.deadline()
        assert due is not None, "nothing will happen by itself"
        self.now = due
        return self.feed(Tick())

    def until(self, kind: type[StreamCommand], most: int = 100) -> None:
        """Time passes, with reads that find nothing new, until a command of this kind comes."""
        for _ in range(most):
            self.bring() if self.reads else self.tick()
            if self.all(kind):
                return
        raise AssertionError(f"no {kind.__name__} comes")

    def until_read(self) -> "Rig":
        """Time passes until the next read is under way."""
        while not self.reads:
            self.tick()
        return self

    def rest(self, most: int = 100) -> "Rig":
        """Time passes, with reads that find nothing new, until all that is known is written down."""
        for _ in range(most):
            if self.machine.at_rest:
                return self
            self.bring() if self.reads else self.tick()
        raise AssertionError("it does not come to rest")

    def again(self, **changes: Any) -> "Rig":
        """The process was killed; another one goes on with what is written."""
        self.machine.release()
        return Rig(**{"progress": self.row, "now": self.now, "saving": self.saving, **self.fields, **changes})

    def _written(self) -> Save:
        save = self.saves.pop(0)
        self.row = save.progress
        return save

    # --- what came of it ---

    def all(self, kind: type[C]) -> list[C]:
        return [command for command in self.told if isinstance(command, kind)]

    def one(self, kind: type[C]) -> C:
        (command,) = self.all(kind)
        return command

    @property
    def running(self) -> list[list[int]]:
        """The sequence numbers of each batch that runs."""
        return [numbers(run.batch) for run in self.runs]

    @property
    def discarded(self) -> list[list[int]]:
        """The sequence numbers of each discard so far."""
        return [numbers(told.discard) for told in self.gone]

    @property
    def place(self) -> int | None:
        """The sequence number that is written as the position."""
        position = self.row.position
        return sequence_value(position.sequence) if position.kind is PositionKind.AFTER else None
