"""A shard, a function, a destination and a store that misbehave by seed, and what must hold at every step.

The machine under test is the real one; the world executes its commands late, out of order, or not at all.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson

from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.messages import Request, Requested, Tick
from poller.core.model import (
    FunctionError,
    Instant,
    InvocationResult,
    JsonObject,
    NotInvoked,
    SourceProblem,
    Succeeded,
    Throttled,
)
from poller.core.records import (
    TRIM_HORIZON,
    DiscardReason,
    Page,
    Position,
    PositionKind,
    Progress,
    Shard,
    StreamBatch,
    sequence_value,
)
from poller.core.stream_consumer import Mode, StreamConsumer
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
    Save,
    Saved,
    SaveFailed,
    SendDocument,
    Settled,
    StreamCommand,
    StreamEvent,
)
from poller.core.stream_payload import stream_event

BEGINNING = 1_000_000.0  # the epoch second at which the world's clocks start
SHARD = Shard("shardId-000000000000")


@dataclass(slots=True)
class Faults:
    """Chances of each kind of trouble."""

    fetch: float = 0.0
    expired: float = 0.0
    error: float = 0.0
    throttle: float = 0.0
    partial: float = 0.0
    nonsense: float = 0.0
    document: float = 0.0
    save: float = 0.0
    save_lost: float = 0.0
    slow: float = 0.0


@dataclass(slots=True)
class Source:
    """The records of the shard: (sequence, key, arrival); those before `trimmed` are gone."""

    records: list[tuple[int, str, float]] = field(default_factory=list)
    trimmed: int = 0
    ended: bool = False
    poison: set[int] = field(default_factory=set)
    killers: set[int] = field(default_factory=set)
    """The function ends the whole process when it meets one of these."""


def any_mapping(random: Random, **more: Any) -> EventSourceMapping:
    fields: dict[str, Any] = {
        "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
        "FunctionName": "python:shop:handler",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": random.choice([1, 2, 3, 5, 10, 100]),
        "MaximumBatchingWindowInSeconds": random.choice([0, 0, 0, 1, 20]),
        "ParallelizationFactor": random.choice([1, 1, 2, 4, 10]),
        "BisectBatchOnFunctionError": random.random() < 0.5,
        "MaximumRetryAttempts": random.choice([-1, 0, 0, 1, 3]),
        "MaximumRecordAgeInSeconds": random.choice([-1, -1, 60, 600]),
        "FunctionResponseTypes": random.choice([[], ["ReportBatchItemFailures"]]),
        "DestinationConfig": random.choice(
            [{}, {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:failed"}}]
        ),
        **more,
    }
    mapping = parse_mapping(fields)
    assert not isinstance(mapping, Invalid), mapping
    return mapping


class World:
    """One shard and whoever reads it, through crashes and restarts."""

    def __init__(self, random: Random, mapping: EventSourceMapping, faults: Faults) -> None:
        self.random, self.mapping, self.faults = random, mapping, faults
        self.source = Source()
        self.mono = 0.0
        self.row = Progress(TRIM_HORIZON)
        self.lasting_row = self.row
        self.resolved: set[int] = set()
        self.succeeded: Counter[int] = Counter()
        self.discarded: Counter[int] = Counter()
        self.finals: dict[int, int] = {}
        self.marks: Counter[str] = Counter()
        self.kills: Counter[int] = Counter()
        self.killing: set[int] = set()
        self.not_before: dict[int, float] = {}
        self.pending: list[tuple[float, StreamEvent | None]] = []
        self.finished: Finished | None = None
        self.budget = ByteBudget()
        self.stopping = False
        self.running: dict[int, StreamBatch] = {}
        self.attempts: Counter[tuple[int, int]] = Counter()
        self.machine: StreamConsumer
        self.start()

    # --- the worker's lives ---

    def start(self) -> None:
        self.pending.clear()
        self.running.clear()
        self.attempts.clear()
        self.not_before.clear()
        self.finished, self.stopping = None, False
        self.machine = StreamConsumer(
            self.mapping, SHARD, self.row, fresh=False, guarded=True, random=self.random, budget=self.budget
        )
        self.feed(Tick())

    def crash(self, *, power: bool) -> None:
        """The process ends; a power failure takes the writes that were not durable too."""
        self.machine.release()
        if power:
            self.row = self.lasting_row
        self.marks["power failure" if power else "crash"] += 1
        self.start()

    @property
    def now(self) -> Instant:
        return Instant(BEGINNING + self.mono, self.mono)

    def put(self, key: str, *, poison: bool = False) -> None:
        last = self.source.records[-1][0] if self.source.records else 90
        sequence = last + self.random.choice([1, 1, 7, 400])
        late = self.random.choice([0.0, 0.0, 0.0, 30.0])
        self.source.records.append((sequence, key, self.now.wall - late))
        if poison:
            self.source.poison.add(sequence)

    def trim(self, count: int) -> None:
        """The oldest records leave the stream; those that nobody has resolved are lost, and not our fault."""
        for sequence, _, _ in self.source.records[self.source.trimmed : self.source.trimmed + count]:
            self.resolved.add(sequence)
            self.source.trimmed += 1
        self.marks["trim"] += 1

    # --- steps ---

    def step(self) -> None:
        """The next thing that happens: an answer, or the machine's own deadline."""
        due = self.machine.deadline()
        if self.pending and (due is None or self.random.random() < 0.7 or self.pending[0][0] <= due):
            at, event = self.pending.pop(self.random.randrange(len(self.pending)) if self.faults.slow else 0)
            self.mono = max(self.mono, at if self.random.random() < 0.5 else self.mono)
            if event is None:
                if not self.stopping:  # after a stop the attempt was given up, and nobody counts it
                    self.kills.update(self.killing)
                self.crash(power=False)
            else:
                self.feed(event)
        elif due is not None:
            self.mono = max(self.mono, due)
            self.feed(Tick())

    def request(self, request: Request) -> None:
        self.stopping = self.stopping or request in {Request.STOP, Request.ABANDON}
        self.feed(Requested(request))

    def feed(self, event: StreamEvent) -> None:
        if isinstance(event, Invoked):
            self.running.pop(event.batch.lane, None)
        for command in self.machine.handle(event, self.now):
            self.execute(command)
        assert self.budget.used >= 0
        unresolved = [s for s, _, _ in self.source.records if s not in self.resolved]
        position = self.row.position
        if position.kind is PositionKind.AFTER and unresolved:
            assert sequence_value(position.sequence) < unresolved[0], (
                "a saved position passed an unresolved record"
            )

    def answer(self, event: StreamEvent | None, most: float = 0.5) -> None:
        self.pending.append((self.mono + self.random.uniform(0, most), event))
        self.pending.sort(key=lambda one: one[0])

    def execute(self, command: StreamCommand) -> None:
        match command:
            case Fetch():
                assert not self.stopping, "nothing is read after a stop"
                self.answer(self.read(command))
            case Invoke(batch):
                assert not self.stopping, "nothing is begun after a stop"
                self.invoke(batch)
            case SendDocument(discard):
                refused = self.random.random() < self.faults.document
                self.answer(DocumentSent(discard, "AccessDenied" if refused else ""), 5.0)
            case Discarded(discard):
                self.judge_discard(command)
                for record in discard.batch.records:
                    self.discarded[int(record.sequence)] += 1
                    self.resolved.add(int(record.sequence))
                self.marks[discard.reason.value] += 1
            case Save():
                self.save(command)
            case Settled():
                self.settled(command)
            case Gap():
                self.marks["gap"] += 1
            case Finished():
                self.finished = command
                self.row = self.lasting_row = self.never_back(command.progress)

    # --- what it does ---

    def read(self, order: Fetch) -> StreamEvent:
        random, source = self.random, self.source
        if random.random() < self.faults.fetch:
            self.marks["fetch failed"] += 1
            return FetchFailed(random.choice([SourceProblem.THROTTLED, SourceProblem.UNREACHABLE]), "no")
        if order.iterator is not None and random.random() < self.faults.expired:
            self.marks["expired"] += 1
            return FetchFailed(SourceProblem.EXPIRED, "too old")
        place = source.trimmed
        if order.iterator is not None:
            place = int(order.iterator)
        elif order.position.kind is PositionKind.AFTER:
            value = int(order.position.sequence)
            place = next((n for n, one in enumerate(source.records) if one[0] > value), len(source.records))
        if place < source.trimmed:
            self.marks["trimmed"] += 1
            return FetchFailed(SourceProblem.TRIMMED, "gone")
        most = random.choice([0, 1, 5, 50])
        wires = [
            {
                "SequenceNumber": str(sequence),
                "PartitionKey": key,
                "Data": "YQ==",
                "ApproximateArrivalTimestamp": arrived,
            }
            for sequence, key, arrived in source.records[place : place + most]
        ]
        place += len(wires)
        left = len(source.records) - place
        iterator = None if source.ended and not left else str(place)
        children = (Shard("child", (SHARD.id,)),) if iterator is None else ()
        return Fetched(Page(wires, iterator, float(left), len(wires) * 100, children))

    def invoke(self, batch: StreamBatch) -> None:
        assert batch.lane not in self.running, "one batch of a lane at a time"
        self.running[batch.lane] = batch
        assert len(batch.records) <= self.mapping.batch_size
        assert batch.size == len(orjson.dumps(stream_event(batch, self.mapping, SHARD.id)))
        within: set[int] = set()
        ours = {int(record.sequence): record for record in batch.records}
        keys = {sequence: key for sequence, key, _ in self.source.records}
        earlier: dict[str, list[int]] = {}
        for sequence, key, _ in self.source.records:
            if sequence in ours:
                waiting = [one for one in earlier.get(key, []) if one not in self.resolved | within]
                assert not waiting, f"{sequence} begins while {waiting} of its key are unresolved"
                within.add(sequence)
            earlier.setdefault(key, []).append(sequence)
        assert len(within) == len(ours) <= len(keys), "unknown records"
        assert self.mono >= self.not_before.get(batch.lane, 0.0), "tried again before its back-off was over"
        if batch.call is not None:
            assert all(record.arrived_at < batch.call.end for record in batch.records), "two windows in a batch"
        if killers := self.source.killers.intersection(ours):
            self.killing = killers
            self.answer(None)
            return
        settings = self.mapping.stream
        assert settings is not None
        if settings.maximum_age is not None:
            assert all(self.now.wall - one.arrived_at <= settings.maximum_age + 1.0 for one in batch.records)
        self.answer(Invoked(batch, self.result(batch), "request"), self.random.choice([0.1, 10.0]))

    def result(self, batch: StreamBatch) -> InvocationResult:
        random, faults = self.random, self.faults
        chance = random.random()
        bad = [place for place, one in enumerate(batch.records) if int(one.sequence) in self.source.poison]
        if chance < faults.throttle:
            return random.choice([Throttled("busy"), Throttled("busy", 2.0), NotInvoked("away")])
        partial = self.mapping.report_batch_item_failures
        if bad and not (partial and random.random() < 0.7):
            return FunctionError("Poison", "")
        failed = bad
        if random.random() < faults.error:
            return FunctionError("Bad", "", timed_out=random.random() < 0.3)
        if partial and batch.records and random.random() < faults.partial:
            failed = sorted({*bad, random.randrange(len(batch.records))})
        if random.random() < faults.nonsense:
            return Succeeded(b'{"batchItemFailures": 7}') if partial else FunctionError("Nonsense", "")
        answer: JsonObject = {}
        if failed:
            answer["batchItemFailures"] = [{"itemIdentifier": batch.records[one].sequence} for one in failed]
        if batch.call is not None:
            done = failed[0] if failed else len(batch.records)
            answer["state"] = {"count": batch.call.state.get("count", 0) + done}
        return Succeeded(orjson.dumps(answer))

    def settled(self, told: Settled) -> None:
        self.marks["bisect" if told.bisected else told.outcome.value] += 1
        for record in told.batch.records[: told.succeeded]:
            self.succeeded[int(record.sequence)] += 1
            self.resolved.add(int(record.sequence))
        self.not_before[told.batch.lane] = self.mono + (told.retry_in or 0.0)
        call = told.batch.call
        if call is not None and call.final and told.outcome.value == "success":
            self.finals[call.start] = call.state.get("count", 0)
        if told.failed and told.outcome.value != "throttled":
            span = told.batch.records[0].offset, told.batch.records[-1].offset
            self.attempts[span] += 1
            settings = self.mapping.stream
            assert settings is not None
            if settings.retries is not None and told.outcome.value != "partial":
                assert self.attempts[span] <= settings.retries + 1, "more attempts than allowed"

    def judge_discard(self, told: Discarded) -> None:
        settings, discard = self.mapping.stream, told.discard
        assert settings is not None
        assert told.dropped == (settings.destination is None or bool(told.problem))
        if discard.reason is DiscardReason.AGE:
            assert settings.maximum_age is not None
            ages = [self.now.wall - one.arrived_at for one in discard.batch.records]
            assert all(age >= settings.maximum_age - 1.0 for age in ages)
        else:
            assert settings.retries is not None
            assert discard.batch.attempts + discard.batch.interrupted > settings.retries
            assert not settings.bisect or len(discard.batch.records) <= 1, "halved before it is given up"

    def save(self, order: Save) -> None:
        random = self.random
        lost = random.random() < self.faults.save
        if not lost or random.random() < self.faults.save_lost:
            self.row = self.never_back(order.progress)
            if order.durable:
                self.lasting_row = self.row
        self.answer(SaveFailed(order.number, "disk full") if lost else Saved(order.number))

    def never_back(self, progress: Progress) -> Progress:
        old, new = self.row.position, progress.position
        if old.kind is PositionKind.AFTER:
            assert new.kind is PositionKind.AFTER, "a position goes back to the horizon"
            assert sequence_value(new.sequence) >= sequence_value(old.sequence), "a position goes back"
        return progress

    # --- the end ---

    def heal(self) -> None:
        """No more trouble; what is poison stays so where somebody gives it up in the end."""
        self.faults = Faults()
        if self.mapping.stream is not None and self.mapping.stream.retries is None:
            self.source.poison.clear()
            self.source.killers.clear()
        if self.finished is not None or self.machine.mode in {Mode.STOPPING, Mode.FINISHED}:
            self.marks["started again"] += 1
            while self.finished is None:
                self.step()
            self.machine.release()
            self.start()
        if self.machine.mode is Mode.PAUSED:
            self.request(Request.RESUME)

    def ends(self) -> Position:
        """Works until the shard is done; the position that it leaves."""
        self.source.ended = True
        for _ in range(20_000):
            if self.finished is not None:
                break
            self.step()
        assert self.finished is not None, "it never ends"
        assert self.finished.ended
        assert self.finished.children
        self.machine.release()
        assert self.budget.used == 0
        settings = self.mapping.stream
        assert settings is not None
        if settings.retries is not None and not (self.marks["power failure"] or self.marks["trim"]):
            # the first kill of a batch is free, each half of a batch is a new one, as is the rest that a partial
            # response leaves
            new = (7 if settings.bisect else 0) + (60 if self.mapping.report_batch_item_failures else 0)
            most = (settings.retries + 2) * (1 + new)
            assert all(count <= most for count in self.kills.values()), "a record ends the process for ever"
        missing = [one for one, _, _ in self.source.records if one not in self.resolved]
        assert not missing, f"lost: {missing}"
        return self.finished.progress.position


def faults_of(random: Random) -> Faults:
    def some(most: float) -> float:
        return random.choice([0.0, 0.0, most / 4, most])

    return replace(
        Faults(),
        fetch=some(0.4),
        expired=some(0.3),
        error=some(0.4),
        throttle=some(0.4),
        partial=some(0.5),
        nonsense=some(0.2),
        document=some(0.5),
        save=some(0.4),
        save_lost=0.5,
        slow=some(1.0),
    )
