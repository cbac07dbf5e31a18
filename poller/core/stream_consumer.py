"""The machine for one shard of Kinesis or DynamoDB Streams: what to read, invoke, give up and remember, and when.

Facts go in through `handle`, orders come out; `deadline` says when to call with a Tick. What is here is the order
of things; the rules live elsewhere:

    -> Fetch                    stream_reading.py (from where), pace.py (when)
    -> Fetched                  stream_payload.py makes records of what came, and tells their lanes
    -> a record                 filter.py: does it pass, or is it resolved at once
    -> a batch                  stream_forming.py, batcher.py; stream_windows.py with a tumbling window
    -> too old?                 stream_settle.py, before every attempt
    -> Save                     only where attempts have to outlast the process
    -> Invoke, Invoked          stream_settle.py: resolved | again | halved | given up
    -> SendDocument             what is given up, before the position passes it (ERR-33)
    -> Save, Saved              checkpoint.py (how far), stream_saving.py (when)

A record is in one place: buffered, in a batch that waits or runs, being given up, or resolved. checkpoint.py
counts them all, and the position is what it says.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final, assert_never

from poller.core.budget import ByteBudget
from poller.core.checkpoint import CheckpointTracker
from poller.core.filter import RecordFilter, make_filter
from poller.core.mapping import EventSourceMapping
from poller.core.messages import Request, Requested, Tick
from poller.core.mode import ACTIVE, DRAINING, FINISHED, PAUSED, RUNNING, STOPPING, Mode
from poller.core.model import BatchTrigger, FunctionError, Instant, InvocationResult
from poller.core.payload import EVENT_LIMIT
from poller.core.records import (
    Discard,
    DiscardReason,
    Page,
    Position,
    PositionKind,
    Progress,
    Record,
    Shard,
    ShardGauges,
    StreamBatch,
    after,
    sequence_value,
)
from poller.core.stream_forming import Forming, waits
from poller.core.stream_lane import Lane
from poller.core.stream_messages import (
    Discarded,
    DocumentSent,
    Fetched,
    FetchFailed,
    Filtered,
    Finished,
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
from poller.core.stream_payload import make_records
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
    too_old,
)
from poller.core.stream_windows import Windows

BUFFER_RECORDS: Final = 10_000  # read, and not in a batch yet; two batches a lane where that is more (STR-27)
BUFFER_BYTES: Final = 16 * 1024 * 1024
CAREFUL_LIMIT: Final = 100  # records of one read while the process holds too much
MOMENT: Final = 0.001  # seconds
BUDGET_EVERY: Final = 1.0  # seconds between two looks at a full budget: nobody tells when others give back
_TIMES: Final = frozenset(
    {PositionKind.LATEST, PositionKind.AT_TIMESTAMP}
)  # these bring older records, too (STR-11)
TIPS_TO_DRAIN: Final = 2  # reads of the tip in a row, with nothing left to do, before a drain believes it


class StreamConsumer:
    """One shard, one mapping. Call `handle` from one task only, with times that never go back."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        shard: Shard,
        progress: Progress,
        *,
        fresh: bool,
        guarded: bool,
        random: Random,
        budget: ByteBudget,
        retention: float | None = None,
    ) -> None:
        """`progress` is what the shard's row says. `fresh`: its LATEST was pinned by this process just now.
        `guarded`: attempts are written down before they begin (where MaximumRetryAttempts bounds them).
        `retention` is how many seconds the stream keeps records, None where it is not known.
        """
        settings = mapping.stream
        assert settings is not None, "a shard belongs to a stream"
        self._mapping = mapping
        self._settings = settings
        self._shard = shard.id
        self._random = random
        self._budget = budget
        self._retention = retention
        self._guarded = guarded and settings.retries is not None
        self._mode: Mode = RUNNING if mapping.enabled else PAUSED
        self._commands: list[StreamCommand] = []

        # with another number of lanes the same keys are in other lanes: their heads mean nothing then (STR-43)
        known = progress if progress.lanes == settings.lanes else Progress(progress.position)
        heads = {head.lane: head for head in known.heads}
        starts: dict[int, int] = {n: sequence_value(start) for n, start in enumerate(known.starts)}
        self._lanes = tuple(
            [
                Lane(n, mapping.batch_size, mapping.window, heads.get(n), starts.get(n))
                for n in range(settings.lanes)
            ]
        )
        self._windows = Windows(settings.tumbling_window, progress.window) if settings.tumbling_window else None
        self._filter = make_filter(mapping.filters, mapping.source) if mapping.filters else None
        self._forming = Forming(mapping, shard.id, self._windows)
        self._reading = Reading(progress.position, mapping.source, random, fresh=fresh)
        self._saving = Saving(random)
        self._start = progress.position
        self._tracker = CheckpointTracker()
        self._pages: deque[tuple[int, float]] = deque()
        self._next_offset = 0
        self._next_discard = 1
        self._held_bytes = 0
        self._most_buffered = max(BUFFER_RECORDS, 2 * mapping.batch_size * settings.lanes)
        self._budget_at: float | None = None
        self._iterator_age = 0.0
        self._abandoned = 0
        self._wall_ahead = 0.0

    # --- what the driver asks ---

    @property
    def mode(self) -> Mode:
        """What the machine is at."""
        return self._mode

    @property
    def abandoned(self) -> int:
        """Records that a handler still had when the machine was told to end."""
        return self._abandoned

    @property
    def positioned(self) -> bool:
        """Whether a read has succeeded: from then on it is certain what comes first (STR-11)."""
        return self._reading.positioned

    @property
    def at_rest(self) -> bool:
        """Whether nothing but a read is under way, and all that it knows is written down."""
        return not (self._under_way() or self._saving.under_way is not None or self._saving.dirty)

    @property
    def receiving(self) -> bool:
        """Whether it is to read: neither paused nor on its way out."""
        return self._mode in ACTIVE

    @property
    def held(self) -> int:
        """Records in its hands."""
        return self._tracker.unresolved

    def release(self) -> None:
        """The machine will not be used any more, whatever it held: its bytes go back to the process's budget."""
        self._budget.give_back(self._held_bytes)
        self._held_bytes = 0

    def deadline(self) -> float | None:
        """The monotonic second at which a Tick is due; None when only facts can change anything."""
        if self._mode is FINISHED:
            return None
        times = [self._saving.due(wanted=self._guards_wanted())]
        if self._mode in ACTIVE:
            if (read := self._reading.due) is not None:
                times.append(self._fetch_due(read))
            times += [self._lane_due(lane) for lane in self._lanes if not lane.busy]
        return min([due for due in times if due is not None], default=None)

    def gauges(self) -> ShardGauges:
        """How it stands; cheap, and safe to call from another thread but for a RuntimeError now and then."""
        running = [batch for lane in self._lanes if (batch := lane.running) is not None]
        blocked = [since for lane in self._lanes if (since := lane.blocked_since) is not None]
        in_flight = sum([len(batch.records) for batch in running])
        return ShardGauges(
            buffered=self._tracker.unresolved - in_flight,
            buffered_bytes=self._held_bytes,
            in_flight_batches=len(running),
            in_flight_records=in_flight,
            behind=self._reading.behind,
            iterator_age=self._iterator_age,
            blocked_since=min(blocked, default=None),
            oldest_pending_since=self._pages[0][1] if self._pages else None,
            invoking_since=min(
                [lane.running_since for lane in self._lanes if lane.running is not None], default=None
            ),
            polling=self._mode in ACTIVE and (self._reading.under_way or self._wants_more()),
        )

    def handle(self, event: StreamEvent, now: Instant) -> list[StreamCommand]:
        """Takes one fact; returns what is to be done, in order."""
        if self._mode is FINISHED:
            return []
        self._wall_ahead = now.wall - now.mono
        match event:
            case Fetched(page):
                self._on_fetched(page, now)
            case FetchFailed(problem, _, iterator):
                self._reading.failed(problem, iterator, now.mono)
            case Invoked():
                self._on_invoked(event, now)
            case DocumentSent(discard, problem):
                self._on_document_sent(discard, problem)
            case Saved(number):
                self._on_saved(number, now)
            case SaveFailed(number, _):
                self._on_save_failed(number, now.mono)
            case LeaseLost():
                self._abandon()
                self._finish(lost=True)
            case Tick():
                pass
            case Requested(request):
                self._on_requested(request)
            case _:
                assert_never(event)
        self._pump(now)
        commands, self._commands = self._commands, []
        return commands

    # --- facts ---

    def _on_fetched(self, page: Page, now: Instant) -> None:
        reading = self._reading
        passing_over = reading.passing_over
        records = make_records(page.records, self._mapping, self._shard, self._next_offset)
        reading.fetched(page, len(records), now)
        gap = reading.gap(records)
        if gap is not None:
            self._commands.append(gap)
        if records:
            self._take(*reading.new(records), now.mono)
            if not self._tracker.unresolved:  # nothing is left to hand over, so the work is as far as the reading
                self._iterator_age = max(0.0, now.wall - records[-1].arrived_at)
        elif reading.tips and not self._tracker.unresolved:
            self._iterator_age = 0.0
        if passing_over and not reading.passing_over:
            self._saving.changed()

    def _take(self, records: list[Record], older: int, now: float) -> None:
        """Into their lanes (STR-40); those `older` than the start need no function."""
        if not records:
            return
        unresolved = self._tracker.unresolved
        self._next_offset += len(records)
        self._tracker.track(len(records))
        read_to = sequence_value(records[-1].sequence)
        size = sum([record.size for record in records])
        self._budget.take(size)
        self._held_bytes += size
        if older:
            self._resolve(records[:older])
            records = records[older:]
        if self._filter is not None:
            records = self._passing(records, self._filter)
        for lane in self._lanes:
            lane.read_to = read_to
            own = records if len(self._lanes) == 1 else [one for one in records if one.lane == lane.index]
            if own and lane.start is not None:
                own = self._not_done(lane, own)
            if own:
                lane.buffer.add(own, now)
        if self._tracker.unresolved > unresolved:
            self._pages.append((self._next_offset, now))

    def _passing(self, records: list[Record], criteria: RecordFilter) -> list[Record]:
        """BAT-5, FLT-41: the others are done with. No age limit and no failure document hears of them (DST-14)."""
        arn, shard = self._mapping.arn, self._shard
        passing = [record for record in records if criteria.passes_record(record, arn, shard)]
        if len(passing) < len(records):
            kept = {record.offset for record in passing}
            self._resolve([record for record in records if record.offset not in kept])
            self._commands.append(Filtered(len(records) - len(passing)))
        return passing

    def _not_done(self, lane: Lane, records: list[Record]) -> list[Record]:
        """STR-42: what an earlier process had resolved in this lane needs nothing, though others were behind."""
        start = lane.start
        assert start is not None, "only a lane that was there before has a start"
        fresh = next((n for n, one in enumerate(records) if sequence_value(one.sequence) >= start), len(records))
        self._resolve(records[:fresh])
        if fresh < len(records):
            lane.start = None
        return records[fresh:]

    def _on_invoked(self, event: Invoked, now: Instant) -> None:
        lane = self._lanes[event.batch.lane]
        if lane.running is None or lane.running.number != event.batch.number:
            return  # abandoned before it ended
        lane.running = None
        lane.free_since = now.mono
        if self._guarded and last_chance(event.batch, self._settings):
            self._saving.hurry()  # it was alone, and others wait until it is known what came of it
        self._judge(lane, event.batch, event.result, event.request_id, now)

    def _on_document_sent(self, discard: Discard, problem: str) -> None:
        """ERR-33, DST-30: accepted or finally refused; only now may the position pass."""
        lane = self._lanes[discard.batch.lane]
        if not lane.sending or lane.sending[0].number != discard.number:
            return  # abandoned before it was handed over
        lane.sending.popleft()
        self._pass(lane, discard, dropped=bool(problem), problem=problem)
        if lane.sending:
            self._commands.append(SendDocument(lane.sending[0]))

    def _on_saved(self, number: int, now: Instant) -> None:
        if not self._saving.saved(number):
            return
        for lane in self._lanes:
            if lane.guard == number:
                lane.guard = None
                batch = lane.queue.popleft()
                if not self._aged(lane, batch, now):  # the store may have taken its time
                    self._invoke(lane, batch, now)

    def _on_save_failed(self, number: int, now: float) -> None:
        """The position is written later; an attempt that had to be written down first waits."""
        if self._saving.failed(number, now):
            for lane in self._lanes:
                if lane.guard == number:
                    lane.guard = 0

    def _on_requested(self, request: Request) -> None:
        match request:
            case Request.PAUSE:
                if self._mode in ACTIVE:
                    self._mode = PAUSED
                    if self._guarded and any(lane.guard is not None for lane in self._lanes):
                        self._saving.changed()  # it may say that an attempt has begun
                    self._withdraw_guards()
                    self._saving.hurry()
            case Request.RESUME:
                if self._mode is PAUSED:
                    self._mode = RUNNING
            case Request.DRAIN:
                if self._mode is RUNNING:
                    self._mode = DRAINING
                    self._reading.tips = 0
            case Request.STOP:
                self._mode = STOPPING
                self._withdraw_guards()
            case Request.ABANDON:
                self._mode = STOPPING
                self._withdraw_guards()
                self._abandon()
            case _:
                assert_never(request)

    # --- what follows from them ---

    def _pump(self, now: Instant) -> None:
        """Starts whatever may start now; the only place that does."""
        if self._mode is FINISHED:
            return
        if self._mode in ACTIVE:
            for lane in self._lanes:
                self._advance(lane, now)
            drained = self._mode is DRAINING and self._reading.tips >= TIPS_TO_DRAIN
            if (drained or self._reading.ended) and self._nothing_left():
                self._mode = STOPPING
        if self._mode is not STOPPING or self._under_way():
            self._save(now.mono)
        if self._mode in ACTIVE:
            self._fetch(now.mono)
        elif self._mode is STOPPING and not self._under_way() and self._saving.under_way is None:
            self._finish(lost=False)

    def _advance(self, lane: Lane, now: Instant) -> None:
        """The next batch of a lane, as soon as it may run."""
        while not lane.busy:
            if lane.queue:
                if lane.due > now.mono:
                    return
                self._attempt(lane, lane.queue.popleft(), now)
            elif self._windows is not None and self._windows.unfinished:
                self._windows.unfinished = False
                self._inherit(lane, self._forming.closing(lane, now, early=True), now)
            elif lane.buffer:
                if not (self._expire(lane, now) or self._form(lane, now)):
                    return
            elif self._windows is not None and self._windows.over(
                ended=self._reading.ended, tip_at=self._reading.tip_at
            ):
                self._inherit(lane, self._forming.closing(lane, now), now)
            else:
                return

    def _form(self, lane: Lane, now: Instant) -> bool:
        """Puts the next batch into the lane's queue; False if none is due."""
        complete = self._reading.ended or self._reading.tips > 0
        flush = self._reading.ended or (complete and self._mode is DRAINING)
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
            batch = self._forming.batch(lane, run, BatchTrigger.IMMEDIATE, now.mono)
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
        elif self._guarded:
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
            lane.queue.appendleft(replace(batch, records=alive))
        for run in runs:
            self._give_up(lane, GiveUp(replace(batch, records=run), DiscardReason.AGE, None), "", now)
        return bool(runs)

    def _invoke(self, lane: Lane, batch: StreamBatch, now: Instant) -> None:
        lane.running, lane.running_since = batch, now.mono
        if batch.records:
            self._iterator_age = max(0.0, now.wall - batch.records[-1].arrived_at)
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
                    self._resolve(records)
                    if self._windows is not None and batch.call is not None:
                        early = self._windows.succeeded(batch.call, records, state)
                        self._saving.changed()
                case Retry(again, wait):
                    lane.blocked(now.mono)
                    lane.queue.appendleft(again)
                    lane.due = now.mono + wait
                    self._remember_attempts()
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
        self._resolve(batch.records)
        if self._windows is not None and batch.call is not None and batch.call.final:
            self._windows.closed(batch.call)
            self._saving.changed()

    def _resolve(self, records: Sequence[Record]) -> None:
        if not records:
            return
        size = sum([record.size for record in records])
        self._budget.give_back(size)
        self._held_bytes -= size
        moved = self._tracker.resolve(records)
        while self._pages and self._pages[0][0] <= self._tracker.low:
            self._pages.popleft()
        if moved or len(self._lanes) > 1:  # what a lane has done ahead of the mark is remembered too (STR-42)
            self._saving.changed()

    # --- the store ---

    def _save(self, now: float) -> None:
        begun = self._saving.begin(now, wanted=self._guards_wanted())
        if begun is None:
            return
        number, durable = begun
        starting = self._starting() if self._guarded else []
        alone = any(last_chance(lane.queue[0], self._settings) for lane in starting)
        for lane in starting:
            lane.guard = number
        self._commands.append(Save(number, self._progress(), durable, alone=alone))

    def _progress(self) -> Progress:
        sequence = None if self._reading.passing_over else self._tracker.sequence
        position = self._start if sequence is None else after(sequence)
        bounded = self._settings.retries is not None  # else nobody asks how many attempts there were
        heads = [head for lane in self._lanes if bounded and (head := lane.remembered()) is not None]
        window = None if self._windows is None else self._windows.state
        return Progress(position, tuple(heads), window, len(self._lanes), self._starts(position))

    def _starts(self, position: Position) -> tuple[str, ...]:
        if len(self._lanes) == 1 and position.kind not in _TIMES:
            return ()  # the position says it
        beyond = self._reading.next_sequence
        starts = [str(lane.start) if lane.start is not None else lane.oldest() or beyond for lane in self._lanes]
        return tuple(starts)

    def _guards_wanted(self) -> bool:
        """Whether a batch waits for its attempt to be written down."""
        return self._guarded and bool(self._starting())

    def _starting(self) -> list[Lane]:
        """ERR-5: the lanes whose attempts are written next: all that wait, or one at its last chance, alone.
        It waits for the others of this shard: they would be written down as running, and end before it begins.
        """
        starting = [lane for lane in self._lanes if lane.guard == 0]
        last = [lane for lane in starting if last_chance(lane.queue[0], self._settings)]
        if not last:
            return starting
        return [] if any(lane.running is not None for lane in self._lanes) else last[:1]

    def _withdraw_guards(self) -> None:
        """What was about to start does not."""
        for lane in self._lanes:
            lane.guard = None

    def _remember_attempts(self) -> None:
        if self._guarded:
            self._saving.changed()

    # --- reading ---

    def _fetch(self, now: float) -> None:
        due = self._reading.due
        if due is None or now < due:
            return
        self._budget_at = None
        if self._room():
            limit = self._reading.limit if self._budget.has_room else CAREFUL_LIMIT
            self._commands.append(self._reading.begin(now, limit))
        elif not self._budget.has_room:
            self._budget_at = now + BUDGET_EVERY

    def _fetch_due(self, read: float) -> float | None:
        """When the next read may go out, by its pace at `read`; None while only our own records are in its way."""
        if self._room():
            return read
        return None if self._budget.has_room else max(read, self._budget_at or read)

    def _room(self) -> bool:
        """STR-27: whether what another read brings may be kept. Who holds nothing may always read a little, so
        that no shard waits for ever for others to give back; nor does a batch for the rest of its records.
        """
        if not self._held_bytes or any(waits(lane) for lane in self._lanes):
            return True
        count = sum([len(lane.buffer) for lane in self._lanes])
        size = sum([lane.buffer.size for lane in self._lanes])
        return count < self._most_buffered and size < BUFFER_BYTES and self._budget.has_room

    def _wants_more(self) -> bool:
        return not self._reading.ended and self._room()

    # --- ends ---

    def _under_way(self) -> bool:
        return any(lane.running is not None or lane.sending for lane in self._lanes)

    def _nothing_left(self) -> bool:
        return not self._tracker.unresolved and all(lane.empty for lane in self._lanes)

    def _abandon(self) -> None:
        """What runs and what is being handed over is given up; a later process does it again."""
        for lane in self._lanes:
            while lane.sending:
                lane.queue.appendleft(lane.sending.pop().batch)
            if lane.running is not None:
                self._abandoned += len(lane.running.records)
                lane.queue.appendleft(lane.running)
                lane.running = None

    def _finish(self, *, lost: bool) -> None:
        window_open = self._windows is not None and self._windows.state is not None
        ended = self._reading.ended and self._nothing_left() and not (window_open or lost)
        self._mode = FINISHED
        self._commands.append(Finished(ended, self._progress(), self._reading.children, lost, self._abandoned))

    def _lane_due(self, lane: Lane) -> float | None:
        """When something in this lane, which is not busy, becomes due."""
        if lane.queue:
            return lane.due
        due = None if waits(lane) else lane.buffer.due(lane.free_since)
        if due is None or self._settings.maximum_age is None:
            return due
        oldest = lane.buffer.oldest_arrival()
        assert oldest is not None, "what has a window has records"
        # a record is too old from the moment on that comes after its age (ERR-10)
        return min(due, oldest + self._settings.maximum_age - self._wall_ahead + MOMENT)
