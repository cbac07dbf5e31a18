"""The rules of invocations: batches that go to the function, and what they come to.

2  one batch a lane and FIFO group, in order within a key        3  batches keep count, bytes and window
4  bisect halves concatenate                                     5  no more invocations than allowed
"""

from typing import TYPE_CHECKING, Any

from poller.core.model import BatchTrigger, FunctionError, InvocationResult, Succeeded
from poller.core.payload import EVENT_LIMIT
from tests.sim.judge import Call, Place, names_of
from tests.sim.limits import Limits
from tests.sim.sources import Rec, Source

if TYPE_CHECKING:
    from tests.sim.process import Process

EDGE = 0.01  # seconds by which two readings of one clock may differ
SLACK = 2.0  # seconds between reading a record and what the machine does about it, in calm weather


class Batches(Limits):
    """Told by the spy between drivers and dispatchers."""

    def begins(self, process: "Process", source: Source, work: Any) -> Call:
        """2, 3, 4: a batch goes to the function."""
        name = source.mapping.name
        self.check(name not in process.paused, f"{name} invokes while it is paused")
        if source.mapping.stream is None:
            call = self._queue_begins(process, source, work)
        else:
            call = self._stream_begins(process, source, work)
        call.changes = source.made
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
        most = self._most(source)
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

    def _most(self, source: Source) -> int:
        """How many batches of it may be with the function at once."""
        return min(source.mapping.maximum_concurrency or 1_000, source.mapping.handler.concurrency)

    def _in_group_order(self, source: Source, recs: list[Rec], mine: list[Call]) -> None:
        busy = {rec.key for call in mine for rec in call.recs}
        here = {source.names_by_text[message.body] for message in source.stored.messages.values()}
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
            # a batch may have waited since its records were looked at: for a free call of Handler.Concurrency, or
            # to be alone with its last attempt, or for another batch, of any mapping, that was
            full = len(mine) + 1 >= mapping.handler.concurrency or self._full_until.get(source) == self._world.time
            waited = full or mapping.stream.retries is not None or process.solitude.left_at == self._world.time
            too_old = limit is not None and wall - rec.at.wall > limit + 1.0
            self.check(waited or not too_old, f"{rec.name} is too old to be tried")
            self._in_key_order(source, rec, recs)
        self._follows(source, place, recs)
        self._parents_are_done(source, work.shard_id)
        call = Call(source, recs, place, final)
        if batch.call is not None:
            self.window_begins(process, source, call, batch.call)
        return call

    def _in_key_order(self, source: Source, rec: Rec, recs: list[Rec]) -> None:
        for other in source.records:
            if other.key == rec.key and other.number < rec.number and not self.may_be_passed(source, other):
                self.check(other in recs, f"{rec.name} begins before {other.name}")

    def _follows(self, source: Source, place: tuple[str, int], recs: list[Rec]) -> None:
        """2, 4: a lane stays with a batch that failed until all of it is resolved, and halves are halves."""
        known = self._places.setdefault((source, place), Place())
        aged = source.mapping.stream is not None and source.mapping.stream.maximum_age is not None
        failed = known.failed
        if failed and (not recs or recs[0] not in failed):
            for rec in failed:
                self.check(
                    self.may_be_passed(source, rec), f"lane {place} leaves {rec.name} that waits to be tried"
                )
        elif failed:
            self.check(all(rec in failed for rec in recs), f"a batch of {place} has grown while it failed")
            if known.halve and not aged and all(rec.owed for rec in failed):
                half = failed[: len(recs)]
                self.check(recs == half, f"{names_of(recs)} is no first half of {names_of(failed)}")
                self.check(len(recs) < len(failed), f"{names_of(failed)} failed and is not halved")
                known.second = failed[len(recs) :]
        if known.second and recs and recs[0] is known.second[0] and not aged:
            self.check(recs == known.second, f"{names_of(recs)} is not the second half {names_of(known.second)}")
            known.second = []
        known.failed, known.halve = [], False

    def _parents_are_done(self, source: Source, shard_id: str) -> None:
        """STR-2: a child is delivered when its parents' rows are at their end. A row that a store wrote long after
        it had failed to may come behind the child's, as long as nothing of it is owed: nobody knew of it.
        """
        app = source.mapping.uuid
        rows = self._world.rows.of(app)
        for parent in rows[shard_id].parents if shard_id in rows else ():
            row = rows.get(parent)
            over = row is None or row.checkpoint == "SHARD_END"
            if not over and (app, parent) in self._late_rows:
                over = all(self.may_be_passed(source, rec) for rec in source.by_shard.get(parent, ()))
            self.check(over, f"{shard_id} begins before {parent} ended")

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
        place = self._places.setdefault((source, call.place), Place())
        # nor may it begin while as many run as may, or while another batch has to be alone
        full = self._full_until.get(source, 0.0)
        waited = now - max(first.received, place.free_since, full, self._world.process.solitude.left_at, calm)
        at_once = now - place.given_up <= SLACK  # its window may have ended behind what waited to be tried again
        late = waited > window + SLACK and not at_once
        self.check(not late, f"{first.name} waits {waited:.1f} s for a window of {window:g} s")

    def _smaller(self, call: Call) -> bool:
        """Whether it may have fewer records than it was formed with: leases have lapsed, some were too old, it was
        halved or has made progress.
        """
        stream = call.source.mapping.stream
        if stream is None or stream.maximum_age is not None or self._world.process.number > 1:
            return True  # an earlier process may have halved it
        return any(
            rec.begun or rec.announced for rec in call.recs
        )  # an attempt that a row tells of may have begun

    def sees(self, source: Source, request_id: str, names: list[str]) -> None:
        """What the function gets is what the batch has."""
        self._seen[request_id] = names

    def answers(self, request_id: str, done: list[str]) -> None:
        """The function is about to return, and these records are done if it is heard."""
        self._answers[request_id] = done

    def ends(self, process: "Process", call: Call, result: InvocationResult) -> None:
        """5: what an invocation has come to."""
        if len([one for one in self.running if one.source is call.source]) >= self._most(call.source):
            self._full_until[call.source] = self._world.time
        self.running.remove(call)
        if process.dead:
            return
        known = self._places.setdefault((call.source, call.place), Place())
        known.free_since = self._world.time
        names = names_of(call.recs)
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
                    self._announced.add((process, rec))  # its row does not know yet that it was not reached
                known.failed = list(call.recs)
                return
        self.window_ends(call, len(done))
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

    def discarded(self, source: Source, shard: str, batch: Any) -> None:
        """ERR-10, DST-30: what had failed is too old when its next attempt is due, or its document was sent until
        now; only now may its lane go on.
        """
        assert source.mapping.stream is not None
        known = self._places.setdefault((source, (shard, batch.lane)), Place())
        sequences = {int(record.sequence) for record in batch.records}
        sent = source.mapping.stream.destination is not None
        if sent or any(rec.sequence in sequences for rec in known.failed):
            known.given_up = self._world.time

    def _count(
        self, process: "Process", call: Call, names: list[str], retries: int | None, *, halved: bool
    ) -> None:
        # after a restart two batches that were halved may be formed as one again
        place = call.place and call.place[0]
        key = (call.source, call.changes, place, process.number if halved else 0, *names)
        self._errors[key] += 1
        ends = (self.kills, self.power_failures, self.cut_offs)
        before = self._ends_then.setdefault(key, ends)
        kills, powers, cut_offs = (now - then for now, then in zip(ends, before, strict=True))
        if retries is None or self.lanes_changed or not self._world.lasting:
            return  # attempts may have been forgotten
        # the first attempt whose end nobody saw is free, and each that we cut off ourselves to stop in time; a
        # power failure takes what was not written durably
        most = (1 if halved else retries + 1) + min(1, kills) + cut_offs + powers + self._world.stores_failed
        self.check(
            self._errors[key] <= most,
            f"{names} failed {self._errors[key]} times: {retries} retries, {kills} kills, {cut_offs} cut off, "
            f"{powers} power failures",
        )
