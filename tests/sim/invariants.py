"""What must hold at every step, and the truth about every record: who resolved it, and how.

The world tells what happens (a call to AWS, a batch that begins or ends, a row that is written); each method names
what it checks. What is broken is collected in `broken`; the world looks there after every step. The rules of
invocations are in batches.py, the end of a run is judged by verdict.py.

1  no saved position passes an unresolved record        6  only its owner writes a row
7  nothing is fetched after a stop, drain or pause      and: nothing is deleted without success
"""

import json
from typing import TYPE_CHECKING

from poller.core.leases import Lease, may_follow, position_of
from poller.core.model import JsonObject, SourceKind
from poller.core.payload import serialise
from poller.core.records import PositionKind
from poller.metrics_stats import MappingStats
from poller.ports import FailureDocument
from poller.testing.dynamodb_streams import _read_iterator
from poller.testing.kinesis_reads import read_iterator
from tests.sim.batches import Batches
from tests.sim.judge import names_of
from tests.sim.sources import Rec, Source

if TYPE_CHECKING:
    from tests.sim.process import Process


HALVINGS = 7  # of a batch of a hundred


class Rules(Batches):
    """The judge of one run."""

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
            self.check(half or not self._late(process, name), f"{operation} after the end was asked for")
            self.check(half or name not in process.paused, f"{operation} while {name} is paused")
            if not half:
                self.within_budget(process, source, shard)
        elif operation == "ReceiveMessage":
            self.check(not self._late(process, name), f"{operation} after the end was asked for")
            self.check(name not in process.paused, f"{operation} while {name} is paused")
            self.permitted(process, source, request)
            self.within_budget(process, source, None)

    def _late(self, process: "Process", name: str) -> bool:
        """Whether it was told to stop; what was ordered in this very moment is on its way."""
        since = process.ending.get(name, process.stopping_since)
        return since is not None and since < self._world.time

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
                rec = source.by_name[source.names_by_text[message["Body"]]]
                self._receipts[message["ReceiptHandle"]] = (rec, now + lease)
                rec.received = now
        elif operation == "ChangeMessageVisibilityBatch":
            changed = {entry["Id"] for entry in answer.get("Successful", ())}
            for entry in request["Entries"]:
                if entry["Id"] in changed:
                    rec, _ = self._receipts[entry["ReceiptHandle"]]
                    self._receipts[entry["ReceiptHandle"]] = (rec, now + entry["VisibilityTimeout"])
        elif operation == "SendMessage":
            self.accepted(request["MessageBody"])

    def read(self, service: str, request: JsonObject, answer: JsonObject) -> None:
        """A page has come; one whose answer was lost has brought nothing to wait with."""
        source = self._source(service, request)
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
        for source in self._world.sources.all:
            if told.startswith(source.mapping.arn.text):
                return source
        return None

    def heard(self, request: JsonObject, answer: JsonObject, began: float) -> None:
        """Messages have come. Nobody can know for how long they were under way, so their leases begin now; but SQS
        has handed them over when the wait was over, and whoever asked knows when that was. A receive without a
        wait is given a second to arrive.
        """
        source = self._world.sources.of_queue(request)
        assert source is not None
        handed_over = began + max(1.0, request["WaitTimeSeconds"])
        lease = min(self._world.time, handed_over) + self._lease(source, request)
        for message in answer.get("Messages", ()):
            self._receipts[message["ReceiptHandle"]] = (self._receipts[message["ReceiptHandle"]][0], lease)

    def _lease(self, source: Source, request: JsonObject) -> float:
        return float(request.get("VisibilityTimeout", source.stored.settings.visibility))

    # --- what is given up ---

    def gives_up(self, process: "Process", source: Source, document: FailureDocument) -> list[Rec]:
        """ERR-5, ERR-10, ERR-20: a failure document says what is so."""
        recs = [source.by_name[name] for name in source.names(document.event)]
        mapping, told = source.mapping, document.document
        assert mapping.stream is not None
        condition = told["requestContext"]["condition"]
        self._world.reached[f"document: {condition}"] += 1
        self._world.trace("document", condition, names_of(recs))
        for rec in recs:
            if condition == "RecordAgeExceeded":
                self.check(self.too_old(mapping, rec), f"{rec.name} is called too old")
            else:
                self.check(self.exhausted(mapping, rec), f"{rec.name} is given up with retries left")
        if condition == "RetryAttemptsExhausted" and mapping.stream.bisect:
            self.check(len(recs) <= 1, f"{names_of(recs)} are given up together: nobody halved them")
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

    def created(self, app: str, lease: Lease, *, late: bool) -> None:
        """A row is born; from the first on LATEST has its meaning (STR-11). `late`: long after its store had said
        that it was not.
        """
        self._row_is_true(app, lease)
        if late:
            self._late_rows.add((app, lease.key))

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
        running = {rec for call in self.running for rec in call.recs}
        heads = json.loads(lease.progress)["heads"] if lease.progress else ()
        told = [(int(head["first"]), int(head["last"])) for head in heads if head["running"] and head["first"]]
        for rec in source.by_shard.get(lease.key, ()):
            self._announced.discard((process, rec))
            if rec not in running and any(first <= rec.sequence <= last for first, last in told):
                self._announced.add((process, rec))

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
                self.may_be_passed(source, rec),
                f"the position {lease.checkpoint} of {lease.key} has passed {rec.name}",
            )

    def forgets(self, app: str) -> None:
        """API-10: rows are forgotten with their mapping only, and with them what its windows carried on."""
        source = self._world.sources.by_uuid[app]
        self.check(app in self.removing, f"the rows of {source.mapping.name} are forgotten")
        self._late_rows = {row for row in self._late_rows if row[0] != app}
        self._sums = {key: sums for key, sums in self._sums.items() if key[0] is not source}

    # --- processes ---

    def left(self, process: "Process", source: Source) -> None:
        """A mapping has ended in a process that may go on."""
        if self._world.stores_failed:
            rows = self._world.rows.of(source.mapping.uuid).values()
            self.unreleased += [row for row in rows if row.owner == process.worker]
        self.running = [call for call in self.running if call.source is not source]
        self._places = {key: place for key, place in self._places.items() if key[0] is not source}
        for rec in source.records:
            rec.received = None
            rec.passable = source.mapping.stream is not None and self.may_be_passed(source, rec)
            if (process, rec) in self._announced:
                self._announced.discard((process, rec))
                rec.announced += 1

    def kills_itself(self, source: Source, names: list[str]) -> None:
        """ERR-5: a record that ends the process each time does not do so for ever."""
        stream = source.mapping.stream
        for name in names:
            rec = source.by_name[name]
            rec.kills += rec.deadly
            self._world.trace("deadly", name, rec.kills)
            if stream is None or stream.retries is None or source.changes or self.lanes_changed:
                continue  # a queue counts receives, and what is forgotten is not counted
            # the first end of a process is free, with bisect each end halves the batch, and what is written of
            # attempts does not outlast a power failure
            most = (stream.retries + 2 + (HALVINGS if stream.bisect else 0)) * (1 + self.power_failures)
            most += self.cut_offs + self._world.stores_failed
            self.check(rec.kills <= most, f"{name} has ended {rec.kills} processes, with {stream.retries} retries")

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
