"""What must hold at every step, and the truth about every record: who resolved it, and how.

The world tells what happens (a call to AWS, a batch that begins or ends, a row that is written); each method names
the invariants that it checks. What is broken is collected in `broken`, because the runtime mends what is raised in
it; the world looks there after every step. The end of a run is judged by verdict.py.

1  no saved position passes an unresolved record        2  one batch a lane and FIFO group, in order within a key
3  batches keep count, bytes and window                 4  bisect halves concatenate
5  no more invocations than allowed                     6  only its owner writes a row
7  nothing is fetched after a stop, drain or pause      and: nothing is deleted without success
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poller.core.leases import Lease, may_follow, position_of
from poller.core.mapping import EventSourceMapping
from poller.core.model import BatchTrigger, FunctionError, InvocationResult, JsonObject, SourceKind, Succeeded
from poller.core.payload import EVENT_LIMIT, serialise
from poller.core.records import PositionKind
from poller.metrics_stats import MappingStats
from poller.ports import FailureDocument
from poller.testing.dynamodb_streams import _read_iterator
from poller.testing.kinesis_reads import read_iterator
from tests.sim.sources import Rec, Source

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.world import World

FETCHES = {"ReceiveMessage", "GetRecords"}
EDGE = 0.01  # seconds by which two readings of one clock may differ
SLACK = 2.0  # seconds between reading a record and what the machine does about it, in calm weather


@dataclass(eq=False)
class Call:
    """A batch that is with the function. `place` is what may have one batch at a time: shard and lane."""

    source: Source
    recs: list[Rec]
    place: tuple[str, int] | None
    final: bool
    request_id: str = ""


@dataclass(eq=False)
class Place:
    """What is known of one lane of a shard in the present process: the batch that failed last, and a second half
    that has to come after the first.
    """

    failed: list[Rec] = field(default_factory=list)
    halve: bool = False
    second: list[Rec] = field(default_factory=list)
    free_since: float = 0.0


class Rules:
    """The judge of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.broken: list[str] = []
        self.running: list[Call] = []
        self.kills = self.power_failures = 0
        self.lanes_changed = False
        self._answers: dict[str, list[str]] = {}
        self._seen: dict[str, list[str]] = {}
        self._places: dict[tuple[Source, tuple[str, int] | None], Place] = {}
        self._receipts: dict[str, tuple[Rec, float]] = {}
        self._errors: Counter[tuple[Any, ...]] = Counter()
        self._ends_then: dict[tuple[Any, ...], tuple[int, int]] = {}
        self._documents: dict[str, list[Rec]] = {}
        self._announced: set[tuple[Process, Rec]] = set()
        self._half_begun: set[tuple[Process, str, str]] = set()

    def check(self, condition: object, what: str) -> None:
        if not condition:
            self.broken.append(f"{self._world.time:.3f}: {what}")

    # --- calls to AWS ---

    def asks(self, process: "Process", service: str, operation: str, request: JsonObject) -> None:
        """7: who is to stop, or rests, fetches nothing."""
        source = self._source(service, request)
        if source is None:
            return
        name = source.mapping.name
        if operation == "GetShardIterator":
            self._half_begun.add((process, name, request["ShardId"]))
        elif operation == "GetRecords":
            shard = self._shard_of(source, request["ShardIterator"])
            half = (process, name, shard) in self._half_begun
            self._half_begun.discard((process, name, shard))
            self.check(half or process.stopping_since is None, f"{operation} after the end was asked for")
            self.check(half or name not in process.paused, f"{operation} while {name} is paused")
        elif operation == "ReceiveMessage":
            # what was ordered in this very moment is on its way
            late = process.stopping_since is not None and process.stopping_since < self._world.time
            self.check(not late, f"{operation} after the end was asked for")
            self.check(name not in process.paused, f"{operation} while {name} is paused")

    def does(self, process: "Process", service: str, operation: str, request: JsonObject) -> None:
        """Nothing is deleted that neither succeeded nor was filtered (SQS-20)."""
        if operation == "DeleteMessageBatch":
            for entry in request["Entries"]:
                rec, _ = self._receipts[entry["ReceiptHandle"]]
                self.check(not rec.owed, f"{rec.name} is deleted before it succeeded")

    def done(
        self, process: "Process", service: str, operation: str, request: JsonObject, answer: JsonObject
    ) -> None:
        """What AWS has done, whether or not anybody hears of it."""
        now = self._world.time
        source = self._source(service, request)
        if operation == "ReceiveMessage" and source is not None:
            lease = self._lease(source, request)
            for message in answer.get("Messages", ()):
                rec = source.by_name[json.loads(message["Body"])["name"]]
                self._receipts[message["ReceiptHandle"]] = (rec, now + lease)
                rec.received = now
        elif operation == "ChangeMessageVisibilityBatch":
            changed = {entry["Id"] for entry in answer.get("Successful", ())}
            for entry in request["Entries"]:
                if entry["Id"] in changed:
                    rec, _ = self._receipts[entry["ReceiptHandle"]]
                    self._receipts[entry["ReceiptHandle"]] = (rec, now + entry["VisibilityTimeout"])
        elif operation == "GetRecords":
            self._read(source, service, answer)
        elif operation == "SendMessage":
            self.accepted(request["MessageBody"])

    def _read(self, source: Source | None, service: str, answer: JsonObject) -> None:
        assert source is not None
        for record in answer["Records"]:
            wire = {"kinesis": {"data": record["Data"]}} if service == "kinesis" else record
            rec = source.by_name[source.name_of(wire)]
            if rec.received is None:
                rec.received = self._world.time

    def _shard_of(self, source: Source, iterator: str) -> str:
        if source.kind is SourceKind.KINESIS:
            return read_iterator(iterator).shard
        return _read_iterator(iterator)[1]

    def _source(self, service: str, request: JsonObject) -> Source | None:
        if service == "sqs":
            return self._world.sources.of_queue(request)
        told = request.get("StreamARN") or request.get("StreamArn") or request.get("ShardIterator", "")
        return next((one for one in self._world.sources.all if told.startswith(one.mapping.arn.text)), None)

    def heard(self, request: JsonObject, answer: JsonObject) -> None:
        """Messages have come; nobody can know for how long they were under way, so their leases begin now."""
        source = self._world.sources.of_queue(request)
        assert source is not None
        lease = self._world.time + self._lease(source, request)
        for message in answer.get("Messages", ()):
            self._receipts[message["ReceiptHandle"]] = (self._receipts[message["ReceiptHandle"]][0], lease)

    def _lease(self, source: Source, request: JsonObject) -> float:
        return float(request.get("VisibilityTimeout", source.stored.settings.visibility))

    # --- invocations ---

    def begins(self, process: "Process", source: Source, work: Any) -> Call:
        """2, 3, 4: a batch goes to the function."""
        name = source.mapping.name
        self.check(name not in process.paused, f"{name} invokes while it is paused")
        if source.mapping.stream is None:
            call = self._queue_begins(process, source, work)
        else:
            call = self._stream_begins(process, source, work)
        self._window_is_kept(source, call, getattr(work, "batch", work))
        for rec in call.recs:
            self._announced.discard((process, rec))
            rec.begun += 1
            rec.alone += len(call.recs) == 1
        self.running.append(call)
        self._world.trace("invoke", name, call.place, [rec.name for rec in call.recs])
        return call

    def _queue_begins(self, process: "Process", source: Source, batch: Any) -> Call:
        mapping, now = source.mapping, self._world.time
        recs = [source.by_name[source.name_of(message.record)] for message in batch.messages]
        mine = [call for call in self.running if call.source is source]
        most = min(mapping.maximum_concurrency or 1_000, mapping.handler.concurrency)
        self.check(len(mine) < most, f"more than {most} batches of {mapping.name} at once")
        self.check(len(recs) <= mapping.batch_size, f"{len(recs)} messages in a batch of {mapping.batch_size}")
        self.check(batch.size <= EVENT_LIMIT, "a batch of too many bytes")
        for rec, message in zip(recs, batch.messages, strict=True):
            _, lease = self._receipts[message.receipt]
            self.check(
                now <= lease + EDGE, f"{rec.name} is invoked with a stale receipt, {now - lease:.3f} s late"
            )
            self.check(rec.matches, f"{rec.name} does not pass the filter")
            self.check(all(rec not in call.recs for call in mine), f"{rec.name} is with the function twice")
        if mapping.arn.fifo:
            self._in_group_order(source, recs, mine)
        return Call(source, recs, None, final=False)

    def _in_group_order(self, source: Source, recs: list[Rec], mine: list[Call]) -> None:
        busy = {rec.key for call in mine for rec in call.recs}
        here = {json.loads(message.body)["name"] for message in source.stored.messages.values()}
        for place, rec in enumerate(recs):
            self.check(rec.key not in busy, f"group {rec.key} is with the function twice")
            before = recs[:place]
            for other in source.records:
                if other.key == rec.key and other.number < rec.number and other.owed and other.name in here:
                    self.check(other in before, f"{rec.name} begins before {other.name} of its group")

    def _stream_begins(self, process: "Process", source: Source, work: Any) -> Call:
        batch, mapping = work.batch, source.mapping
        assert mapping.stream is not None
        final = batch.call is not None and batch.call.final
        sequences = {int(record.sequence) for record in batch.records}
        recs = [rec for rec in source.by_shard.get(work.shard_id, ()) if rec.sequence in sequences]
        place = (work.shard_id, batch.lane)
        self._world.reached["final invocation of a window"] += final
        self.check(len(recs) == len(batch.records), f"a batch of {work.shard_id} has records that are not there")
        self.check(recs or final, "an empty batch")
        self.check(len(recs) <= mapping.batch_size, f"{len(recs)} records in a batch of {mapping.batch_size}")
        self.check(batch.size <= EVENT_LIMIT, "a batch of too many bytes")
        mine = [call for call in self.running if call.source is source]
        self.check(all(call.place != place for call in mine), f"two batches of lane {place} at once")
        self.check(len(mine) < mapping.handler.concurrency, f"more than {mapping.handler.concurrency} at once")
        limit = mapping.stream.maximum_age
        wall = self._world.clock.now().wall
        for rec in recs:
            self.check(rec.matches, f"{rec.name} does not pass the filter")
            # a batch may have waited for a free call of Handler.Concurrency since its records were looked at
            waited = len(mine) + 1 >= mapping.handler.concurrency
            too_old = limit is not None and wall - rec.at.wall > limit + 1.0
            self.check(waited or not too_old, f"{rec.name} is too old to be tried")
            self._in_key_order(source, rec, recs)
        self._follows(source, place, recs)
        self._parents_are_done(source, work.shard_id)
        return Call(source, recs, place, final)

    def _in_key_order(self, source: Source, rec: Rec, recs: list[Rec]) -> None:
        for other in source.records:
            if other.key == rec.key and other.number < rec.number and not self._may_be_passed(source, other):
                self.check(other in recs, f"{rec.name} begins before {other.name}")

    def _follows(self, source: Source, place: tuple[str, int], recs: list[Rec]) -> None:
        """2, 4: a lane stays with a batch that failed until all of it is resolved, and halves are halves."""
        known = self._places.setdefault((source, place), Place())
        aged = source.mapping.stream is not None and source.mapping.stream.maximum_age is not None
        failed = known.failed
        if failed and (not recs or recs[0] not in failed):
            for rec in failed:
                self.check(
                    self._may_be_passed(source, rec), f"lane {place} leaves {rec.name} that waits to be tried"
                )
        elif failed:
            self.check(all(rec in failed for rec in recs), f"a batch of {place} has grown while it failed")
            if known.halve and not aged and all(rec.owed for rec in failed):
                half = failed[: len(recs)]
                self.check(recs == half, f"{_names(recs)} is no first half of {_names(failed)}")
                self.check(len(recs) < len(failed), f"{_names(failed)} failed and is not halved")
                known.second = failed[len(recs) :]
        if known.second and recs and recs[0] is known.second[0] and not aged:
            self.check(recs == known.second, f"{_names(recs)} is not the second half {_names(known.second)}")
            known.second = []
        known.failed, known.halve = [], False

    def _parents_are_done(self, source: Source, shard_id: str) -> None:
        """STR-2: a child is delivered when its parents' rows are at their end."""
        rows = self._world.rows.of(source.mapping.uuid)
        for parent in rows[shard_id].parents if shard_id in rows else ():
            row = rows.get(parent)
            self.check(row is None or row.checkpoint == "SHARD_END", f"{shard_id} begins before {parent} ended")

    def _window_is_kept(self, source: Source, call: Call, batch: Any) -> None:
        """3: not before its time without a reason (BAT-1), and in calm weather not after it (BAT-4)."""
        window, now = source.mapping.window, self._world.time
        if batch.trigger is BatchTrigger.WINDOW and call.recs:
            self.check(now >= batch.opened_at + window - EDGE, "a window ends before its time")
        if batch.trigger is BatchTrigger.SIZE and not self._smaller(call):
            self.check(len(call.recs) == source.mapping.batch_size, "a batch is called full and is not")
        calm = self._world.calm_since
        first = call.recs[0] if call.recs else None
        if calm is None or first is None or first.begun or first.received is None:
            return
        free = self._places.setdefault((source, call.place), Place()).free_since
        waited = now - max(first.received, free, calm)
        self.check(waited <= window + SLACK, f"{first.name} waits {waited:.1f} s for a window of {window:g} s")

    def _smaller(self, call: Call) -> bool:
        """Whether it may have fewer records than it was formed with: leases have lapsed, some were too old, it was
        halved or has made progress.
        """
        stream = call.source.mapping.stream
        if stream is None or stream.maximum_age is not None or self._world.process.number > 1:
            return True  # an earlier process may have halved it
        return any(rec.begun for rec in call.recs)

    def sees(self, source: Source, request_id: str, names: list[str]) -> None:
        """What the function gets is what the batch has."""
        self._seen[request_id] = names

    def answers(self, request_id: str, done: list[str]) -> None:
        """The function is about to return, and these records are done if it is heard."""
        self._answers[request_id] = done

    def ends(self, process: "Process", call: Call, result: InvocationResult) -> None:
        """5: what an invocation has come to."""
        self.running.remove(call)
        if process.dead:
            return
        known = self._places.setdefault((call.source, call.place), Place())
        known.free_since = self._world.time
        names = _names(call.recs)
        self._world.trace("ended", names, type(result).__name__)
        seen = self._seen.pop(call.request_id, names)
        self.check(sorted(seen) == sorted(names), f"the function saw {seen} of the batch {names}")
        done: list[str] = []
        match result:
            case Succeeded():
                done = self._answers.pop(call.request_id)
            case FunctionError():
                pass
            case _:
                for rec in call.recs:
                    rec.begun -= 1
                    rec.alone -= len(call.recs) == 1
                known.failed = list(call.recs)
                return
        for rec in call.recs:
            if rec.name in done:
                rec.settle("delivered")
        left = [rec for rec in call.recs if rec.name not in done]
        stream = call.source.mapping.stream
        if not left or stream is None:
            return
        known.failed, known.second = left, [] if known.second and call.recs[0] is known.second[0] else known.second
        if done:
            return  # progress: the rest is a batch of its own (PBR-22)
        known.halve = stream.bisect and len(left) > 1
        self._count(process, call, names, stream.retries, halved=known.halve)

    def _count(
        self, process: "Process", call: Call, names: list[str], retries: int | None, *, halved: bool
    ) -> None:
        # after a restart two batches that were halved may be formed as one again
        key = (call.source, call.place and call.place[0], process.number if halved else 0, *names)
        self._errors[key] += 1
        kills, powers = self._ends_then.setdefault(key, (self.kills, self.power_failures))
        kills, powers = self.kills - kills, self.power_failures - powers
        if retries is None or self.lanes_changed or not self._world.lasting:
            return  # attempts may have been forgotten
        # the first attempt whose end nobody saw is free; a power failure takes what was not written durably
        most = (1 if halved else retries + 1) + min(1, kills) + powers + self._world.stores_failed
        self.check(
            self._errors[key] <= most,
            f"{names} failed {self._errors[key]} times: {retries} retries, {kills} kills, {powers} power failures",
        )

    # --- what is given up ---

    def _may_be_passed(self, source: Source, rec: Rec) -> bool:
        """Resolved, or given up where nobody is told: without a destination nobody can see it from outside."""
        if not rec.owed:
            return True
        stream = source.mapping.stream
        return stream is not None and stream.destination is None and self._exhausted(source.mapping, rec)

    def _exhausted(self, mapping: EventSourceMapping, rec: Rec) -> bool:
        stream = mapping.stream
        assert stream is not None
        if self._too_old(mapping, rec):
            return True
        tries = (rec.alone if stream.bisect else rec.begun) + rec.announced
        busy = any(rec in call.recs for call in self.running)
        return stream.retries is not None and tries - busy > stream.retries

    def _too_old(self, mapping: EventSourceMapping, rec: Rec) -> bool:
        assert mapping.stream is not None
        limit = mapping.stream.maximum_age
        wall = self._world.aws.clock.now().wall + self._world.clock.furthest
        return limit is not None and wall - rec.at.wall >= limit - 1.0

    def gives_up(self, process: "Process", source: Source, document: FailureDocument) -> list[Rec]:
        """ERR-5, ERR-10, ERR-20: a failure document says what is so."""
        recs = [source.by_name[name] for name in source.names(document.event)]
        mapping, told = source.mapping, document.document
        assert mapping.stream is not None
        condition = told["requestContext"]["condition"]
        self._world.reached[f"document: {condition}"] += 1
        self._world.trace("document", condition, _names(recs))
        for rec in recs:
            if condition == "RecordAgeExceeded":
                self.check(self._too_old(mapping, rec), f"{rec.name} is called too old")
            else:
                self.check(self._exhausted(mapping, rec), f"{rec.name} is given up with retries left")
        if condition == "RetryAttemptsExhausted" and mapping.stream.bisect:
            self.check(len(recs) <= 1, f"{_names(recs)} are given up together: nobody halved them")
        self._documents[serialise(told).decode()] = recs
        self._documents[serialise({**told, "payload": serialise(document.event).decode()}).decode()] = recs
        return recs

    def accepted(self, document: str) -> None:
        """DST-30: the destination has it."""
        for rec in self._documents.get(document, ()):
            rec.settle("documented")

    def refused(self, process: "Process", recs: list[Rec]) -> None:
        """DST-30: all tries have failed, and the records may be passed."""
        if process.dead:
            return
        for rec in recs:
            if rec.owed:
                self._world.reached["document refused"] += 1
                rec.settle("dropped")

    # --- rows ---

    def created(self, app: str, lease: Lease) -> None:
        """A row is born; from the first on LATEST has its meaning (STR-11)."""
        self._row_is_true(app, lease)

    def written(self, process: "Process", app: str, found: Lease, lease: Lease) -> None:
        """1, 6: what a row says is so, it never goes back, and its owner wrote it."""
        if (found.checkpoint, found.progress) != (lease.checkpoint, lease.progress):
            self.check(found.owner == process.worker, f"{process.worker} writes the row of {found.owner}")
        old, new = position_of(found), position_of(lease)
        self.check(may_follow(old, new), f"{lease.key} goes back from {found.checkpoint} to {lease.checkpoint}")
        if found.start is not None and lease.checkpoint == found.checkpoint:
            self.check(lease.start == found.start, f"{lease.key}: {lease.checkpoint} is resolved a second time")
        self._row_is_true(app, lease)
        source = self._world.sources.by_uuid[app]
        for head in json.loads(lease.progress)["heads"] if lease.progress else ():
            if head["running"] and head["first"]:
                first, last = int(head["first"]), int(head["last"])
                recs = [rec for rec in source.by_shard.get(lease.key, ()) if first <= rec.sequence <= last]
                running = {rec for call in self.running for rec in call.recs}
                self._announced.update((process, rec) for rec in recs if rec not in running)

    def _row_is_true(self, app: str, lease: Lease) -> None:
        source = self._world.sources.by_uuid[app]
        position = position_of(lease)
        recs = source.by_shard.get(lease.key, [])
        if position.kind is PositionKind.SHARD_END:
            if lease.start is not None and not recs:
                return
            rows = self._world.rows.of(app)
            for child in lease.children:
                self.check(child in rows, f"the end of {lease.key} is written before the row of {child}")
        elif position.kind is PositionKind.AFTER:
            recs = [rec for rec in recs if rec.sequence <= int(position.sequence)]
        else:
            return
        for rec in recs:
            self.check(
                self._may_be_passed(source, rec),
                f"the position {lease.checkpoint} of {lease.key} has passed {rec.name}",
            )

    # --- processes ---

    def died(self, process: "Process") -> None:
        """Its memory is gone."""
        self.running.clear()
        self._places.clear()
        for announcer, rec in self._announced:
            rec.announced += announcer is process
        self._announced = {one for one in self._announced if one[0] is not process}
        for source in self._world.sources.all:
            for rec in source.records:
                rec.received = None

    def counts(self, stats: MappingStats) -> None:
        """Adds up what mappings tell of themselves; a machine that broke is a bug whatever became of it."""
        reached = self._world.reached
        self.check(
            stats.crashed is None and not any(stats.worker_restarts.values()),
            f"crashed: {stats.crashed} {stats.worker_restarts}",
        )
        for name, told in (
            ("outcome", stats.invocations), ("retry", stats.retries), ("released", stats.released_events),
            ("trigger", stats.batches), ("heartbeat", stats.visibility_extensions),
        ):  # fmt: skip
            for word, count in told.items():
                reached[f"{name}: {word}"] += count
        reached["filtered"] += stats.filtered_events
        reached["deleted"] += stats.deleted_events
        reached["delete failed"] += stats.delete_failures
        reached["visibility lapsed"] += stats.visibility_lost_events
        if (stream := stats.stream) is not None:
            reached["bisect"] += stream.bisections
            reached["dropped"] += stream.dropped_events
            for reason, count in stream.discarded_events.items():
                reached[f"discard: {reason}"] += count
            for gap, count in stream.gaps.items():
                reached[f"gap: {gap}"] += count


def _names(recs: list[Rec]) -> list[str]:
    return [rec.name for rec in recs]
