"""The way of a stream's batches: formed in their lanes, invoked, judged; tried again, halved, given up, resolved.

What becomes of a batch, and when it is too old, is stream_settle.py's decision and carried out here; how it is
formed is stream_forming.py's. What is read, what is written and when all of it ends is the machine's business, in
stream_consumer.py; which attempts are written down before they begin is stream_guards.py's.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final, assert_never

from poller.core.mapping import EventSourceMapping
from poller.core.model import BatchTrigger, FunctionError, Instant, InvocationResult
from poller.core.payload import EVENT_LIMIT
from poller.core.records import Discard, DiscardReason, StreamBatch
from poller.core.stream_forming import Forming, waits
from poller.core.stream_guards import Guards
from poller.core.stream_held import HeldRecords
from poller.core.stream_lane import Lane
from poller.core.stream_messages import Discarded, Invoke, Invoked, SendDocument, Settled, StreamCommand
from poller.core.stream_reading import Reading
from poller.core.stream_saving import Saving
from poller.core.stream_settle import (
    Ack,
    Bisect,
    GiveUp,
    Rest,
    Retry,
    StreamDisposition,
    age_limit,
    expired_runs,
    final_too_old,
    last_chance,
    recovered,
    settle_stream,
    shrunk,
    too_old,
)
from poller.core.stream_windows import Windows

MOMENT: Final = 0.001  # seconds; an age is over just after it


class Batches:
    """The work in the lanes of one shard, which are the machine's own, too."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        shard_id: str,
        random: Random,
        retention: float | None,
        lanes: Sequence[Lane],
        windows: Windows | None,
        reading: Reading,
        saving: Saving,
        guards: Guards,
        held: HeldRecords,
        commands: list[StreamCommand],
    ) -> None:
        """`retention` is how many seconds the stream keeps records, None where it is not known. `commands` is
        where the machine gathers its orders.
        """
        settings = mapping.stream
        assert settings is not None, "a shard belongs to a stream"
        self._mapping = mapping
        self._settings = settings
        self._random = random
        self._retention = retention
        self._lanes = lanes
        self._windows = windows
        self._forming = Forming(mapping, shard_id, windows)
        self._reading = reading
        self._saving = saving
        self._guards = guards
        self._held = held
        self._commands = commands
        self._next_discard = 1

    def due(self, lane: Lane, wall_ahead: float) -> float | None:
        """When a lane that is not busy is to be advanced (monotonic seconds); None when only facts can change it.

        `wall_ahead` is how many seconds the wall clock is ahead of the monotonic one.
        """
        if lane.queue:
            return lane.due
        due = None if waits(lane) else lane.buffer.due(lane.free_since)
        if due is None or self._settings.maximum_age is None:
            return due
        oldest = lane.buffer.oldest_arrival()
        assert oldest is not None, "what has a window has records"
        # a record is too old from the moment on that comes after its age (ERR-10)
        return min(due, oldest + self._settings.maximum_age - wall_ahead + MOMENT)

    def invoked(self, event: Invoked, now: Instant) -> None:
        """An invocation ended."""
        lane = self._lanes[event.batch.lane]
        if lane.running is None or lane.running.number != event.batch.number:
            return  # abandoned before it ended
        lane.running = None
        lane.free_since = now.mono
        if self._guards.needed and last_chance(event.batch, self._settings):
            self._saving.hurry()  # it was alone, and others wait until it is known what came of it
        self._judge(lane, event.batch, event.result, event.request_id, now)

    def document_sent(self, discard: Discard, problem: str) -> None:
        """ERR-33, DST-30: accepted or finally refused; only now may the position pass."""
        lane = self._lanes[discard.batch.lane]
        if not lane.sending or lane.sending[0].number != discard.number:
            return  # abandoned before it was handed over
        lane.sending.popleft()
        self._pass(lane, discard, dropped=bool(problem), problem=problem)
        if lane.sending:
            self._commands.append(SendDocument(lane.sending[0]))

    def saved(self, number: int, now: Instant) -> None:
        """What waited for this Save begins."""
        for lane in self._guards.saved(number):
            batch = lane.queue.popleft()
            if not self._aged(lane, batch, now):  # the store may have taken its time
                self._invoke(lane, batch, now)

    def advance(self, lane: Lane, now: Instant, *, draining: bool) -> None:
        """The next batch of a lane, as soon as it may run. `draining`: it does not wait for records to come."""
        while not lane.busy:
            if lane.queue:
                if lane.due > now.mono:
                    return
                self._attempt(lane, lane.queue.popleft(), now)
            elif self._windows is not None and self._windows.unfinished:
                self._windows.unfinished = False
                self._inherit(lane, self._forming.closing(lane, now, early=True), now)
            elif lane.buffer:
                if not (self._expire(lane, now) or self._form(lane, now, draining=draining)):
                    return
            elif self._windows is not None and self._windows.over(
                ended=self._reading.ended, tip_at=self._reading.tip_at
            ):
                self._inherit(lane, self._forming.closing(lane, now), now)
            else:
                return

    def _form(self, lane: Lane, now: Instant, *, draining: bool) -> bool:
        """Puts the next batch into the lane's queue; False if none is due."""
        complete = self._reading.ended or self._reading.tips > 0
        flush = self._reading.ended or (complete and draining)
        batch = self._forming.next(lane, now, flush=flush, complete=complete)
        if batch is None:
            return False
        self._inherit(lane, batch, now)
        return True

    def _inherit(self, lane: Lane, batch: StreamBatch, now: Instant) -> None:
        """A batch is formed; what it was left with by an earlier process may decide on it at once."""
        lane.due = 0.0
        fate = recovered(batch, self._mapping)
        if fate is None:
            lane.queue.append(batch)
        else:
            oversize = len(batch.records) == 1 and self._forming.ready(batch).size > EVENT_LIMIT
            self._dispose(lane, batch, (fate,), "", now, oversize=oversize)

    def _expire(self, lane: Lane, now: Instant) -> bool:
        """ERR-14: what is buffered may be too old already, however long its window is; whether something was."""
        limit = self._settings.maximum_age
        if limit is None or (oldest := lane.buffer.oldest_arrival()) is None:
            return False
        since = now.wall - limit
        if oldest >= since:
            return False
        runs = expired_runs(tuple(lane.buffer), since)
        lane.buffer.drop(lambda record: record.arrived_at < since)
        for run in runs:
            for batch in self._forming.expired(lane, run, now):
                self._give_up(lane, GiveUp(batch, DiscardReason.AGE, None), "", now)
        return True

    def _attempt(self, lane: Lane, batch: StreamBatch, now: Instant) -> None:
        """One attempt: first what is too old goes (ERR-10), then what is too large is seen to (ERR-8, BAT-1c)."""
        if self._aged(lane, batch, now):
            return
        batch = self._forming.ready(batch)
        if batch.size > EVENT_LIMIT and len(batch.records) > 1:
            half = len(batch.records) // 2
            for part in (batch.records[half:], batch.records[:half]):
                lane.queue.appendleft(self._forming.batch(lane, part, BatchTrigger.BYTES, batch.opened_at))
        elif batch.size > EVENT_LIMIT and batch.records:
            text = f"the event has {batch.size} bytes, more than the {EVENT_LIMIT} that an invocation may have"
            self._judge(lane, batch, FunctionError("RequestTooLarge", text), "", now, oversize=True)
        elif self._guards.needed:
            lane.queue.appendleft(batch)
            lane.guard = 0
        else:
            self._invoke(lane, batch, now)

    def _aged(self, lane: Lane, batch: StreamBatch, now: Instant) -> bool:
        """ERR-12, TMB-9: records that are too old leave the batch, the others stay in it; whether any were."""
        limit = age_limit(batch, self._settings, self._retention)
        if final_too_old(batch, limit, now.wall):
            self._give_up(lane, GiveUp(batch, DiscardReason.AGE, None), "", now)
            return True
        runs, alive = too_old(batch, limit, now.wall)
        if runs and alive:
            rest = replace(batch, records=alive)
            lane.queue.appendleft(shrunk(rest, len(batch.records), self._settings))
        for run in runs:
            self._give_up(lane, GiveUp(replace(batch, records=run), DiscardReason.AGE, None), "", now)
        return bool(runs)

    def _invoke(self, lane: Lane, batch: StreamBatch, now: Instant) -> None:
        lane.running, lane.running_since = batch, now.mono
        if batch.records:
            self._held.worked_to(batch.records[-1], now.wall)
        self._commands.append(Invoke(batch))

    def _judge(
        self,
        lane: Lane,
        batch: StreamBatch,
        result: InvocationResult,
        request_id: str,
        now: Instant,
        *,
        oversize: bool = False,
    ) -> None:
        """Tells and carries out what stream_settle.py decided."""
        verdict = settle_stream(batch, result, self._mapping, now.wall, self._random, oversize=oversize)
        told = Settled(batch, verdict.outcome, 0, len(batch.records), verdict.detail)
        for disposition in verdict.dispositions:
            match disposition:
                case Ack(records):
                    told = replace(told, succeeded=len(records), failed=told.failed - len(records))
                case Retry(_, wait):
                    told = replace(told, retry_in=wait)
                case Rest():
                    told = replace(told, retry_in=0.0)
                case Bisect():
                    told = replace(told, retry_in=0.0, bisected=True)
                case GiveUp():
                    pass  # told as Discarded, when it is
                case _:
                    assert_never(disposition)
        self._commands.append(told)
        self._dispose(lane, batch, verdict.dispositions, request_id, now, oversize=oversize)

    def _dispose(
        self,
        lane: Lane,
        batch: StreamBatch,
        dispositions: Sequence[StreamDisposition],
        request_id: str,
        now: Instant,
        *,
        oversize: bool = False,
    ) -> None:
        early = False
        lane.due = 0.0
        for disposition in dispositions:
            match disposition:
                case Ack(records, state):
                    lane.blocked_since = None
                    self._held.resolve(records)
                    if self._windows is not None and batch.call is not None:
                        early = self._windows.succeeded(batch.call, records, state)
                        self._saving.changed()
                case Retry(again, wait):
                    lane.blocked(now.mono)
                    lane.queue.appendleft(again)
                    lane.due = now.mono + wait
                    self._remember_attempts()
                    if not batch.records and batch.failed_at is None:
                        self._saving.changed()  # the age of a window's last call has begun (TMB-9)
                case Rest(records):
                    lane.queue.appendleft(self._forming.batch(lane, records, batch.trigger, batch.opened_at))
                case Bisect(first, rest):
                    lane.blocked(now.mono)
                    for half in (rest, first):
                        lane.queue.appendleft(self._forming.batch(lane, half, batch.trigger, batch.opened_at))
                    self._remember_attempts()
                case GiveUp():
                    self._give_up(lane, disposition, request_id, now, oversize=oversize)
                case _:
                    assert_never(disposition)
        if early:
            lane.queue.appendleft(self._forming.closing(lane, now, early=True))

    def _give_up(self, lane: Lane, why: GiveUp, request_id: str, now: Instant, *, oversize: bool = False) -> None:
        """ERR-30, ERR-33: to the destination first; without one the position may pass at once."""
        batch = why.batch
        invocations = batch.attempts + batch.interrupted
        number, self._next_discard = self._next_discard, self._next_discard + 1
        discard = Discard(number, batch, why.reason, now.wall, invocations, why.result, request_id, oversize)
        if self._settings.destination is None:
            self._pass(lane, discard, dropped=True, problem="")
            return
        self._remember_attempts()
        lane.sending.append(discard)
        if len(lane.sending) == 1:
            self._commands.append(SendDocument(discard))

    def _pass(self, lane: Lane, discard: Discard, *, dropped: bool, problem: str) -> None:
        batch = discard.batch
        lane.blocked_since = None
        self._commands.append(Discarded(discard, dropped, problem))
        self._held.resolve(batch.records)
        if self._windows is not None and batch.call is not None and batch.call.final:
            self._windows.closed(batch.call)
            self._saving.changed()

    def _remember_attempts(self) -> None:
        if self._guards.needed:
            self._saving.changed()
