"""The machine for one shard of Kinesis or DynamoDB Streams: what to read, invoke, give up and remember, and when.

Facts go in through `handle`, orders come out; `deadline` says when to call with a Tick. What is here is the order
of things; the rules live elsewhere:

    -> Fetch                    stream_reading.py (from where), pace.py (when)
    -> Fetched                  stream_payload.py makes records of what came, and tells their lanes
    -> a record                 stream_intake.py: into its lane, or is it resolved at once (filter.py)
    -> a batch                  stream_batches.py takes it through all of the following:
                                stream_forming.py, batcher.py; stream_windows.py with a tumbling window
    -> too old?                 stream_settle.py, before every attempt
    -> Save                     stream_guards.py: only where attempts have to outlast the process
    -> Invoke, Invoked          stream_settle.py: resolved | again | halved | given up
    -> SendDocument             what is given up, before the position passes it (ERR-33)
    -> Save, Saved              checkpoint.py (how far), stream_saving.py (when)

A record is in one place: buffered, in a batch that waits or runs, being given up, or resolved. stream_held.py
counts them all, and the position is what its checkpoint.py says.
"""

from random import Random
from typing import Final, assert_never

from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping
from poller.core.messages import Request, Requested, Tick
from poller.core.mode import ACTIVE, DRAINING, FINISHED, PAUSED, RUNNING, STOPPING, Mode
from poller.core.model import Instant
from poller.core.records import (
    Page,
    Position,
    PositionKind,
    Progress,
    Shard,
    ShardGauges,
    after,
    sequence_value,
)
from poller.core.stream_batches import Batches
from poller.core.stream_forming import waits
from poller.core.stream_guards import Guards
from poller.core.stream_held import HeldRecords
from poller.core.stream_intake import Intake
from poller.core.stream_lane import Lane
from poller.core.stream_messages import (
    DocumentSent,
    Fetched,
    FetchFailed,
    Finished,
    Invoked,
    LeaseLost,
    Save,
    Saved,
    SaveFailed,
    StreamCommand,
    StreamEvent,
)
from poller.core.stream_payload import make_records
from poller.core.stream_reading import Reading
from poller.core.stream_saving import Saving
from poller.core.stream_windows import Windows

BUFFER_RECORDS: Final = 10_000  # read, and not in a batch yet; two batches a lane where that is more (STR-27)
BUFFER_BYTES: Final = 16 * 1024 * 1024
CAREFUL_LIMIT: Final = 100  # records of one read while the process holds too much
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
        self._budget = budget
        self._mode: Mode = RUNNING if mapping.enabled else PAUSED
        self._commands: list[StreamCommand] = []  # one list for all parts, so that orders keep their order

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
        self._reading = Reading(progress.position, mapping.source, random, fresh=fresh)
        self._saving = Saving(random)
        self._guards = Guards(settings, self._lanes, needed=guarded and settings.retries is not None)
        self._held = HeldRecords(budget, self._saving, lanes=settings.lanes)
        self._intake = Intake(mapping, shard.id, self._lanes, self._held, self._commands)
        self._batches = Batches(
            mapping,
            shard.id,
            random,
            retention,
            self._lanes,
            self._windows,
            self._reading,
            self._saving,
            self._guards,
            self._held,
            self._commands,
        )
        self._start = progress.position
        self._most_buffered = max(BUFFER_RECORDS, 2 * mapping.batch_size * settings.lanes)
        self._budget_at: float | None = None
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
        return self._held.unresolved

    def release(self) -> None:
        """The machine will not be used any more, whatever it held: its bytes go back to the process's budget."""
        self._held.release()

    def deadline(self) -> float | None:
        """The monotonic second at which a Tick is due; None when only facts can change anything."""
        if self._mode is FINISHED:
            return None
        times = [self._saving.due(wanted=self._guards.wanted)]
        if self._mode in ACTIVE:
            if (read := self._reading.due) is not None:
                times.append(self._fetch_due(read))
            times += [self._batches.due(lane, self._wall_ahead) for lane in self._lanes if not lane.busy]
        return min([due for due in times if due is not None], default=None)

    def gauges(self) -> ShardGauges:
        """How it stands; cheap, and safe to call from another thread but for a RuntimeError now and then."""
        running = [batch for lane in self._lanes if (batch := lane.running) is not None]
        blocked = [since for lane in self._lanes if (since := lane.blocked_since) is not None]
        in_flight = sum([len(batch.records) for batch in running])
        return ShardGauges(
            buffered=self._held.unresolved - in_flight,
            buffered_bytes=self._held.size,
            in_flight_batches=len(running),
            in_flight_records=in_flight,
            behind=self._reading.behind,
            iterator_age=self._held.iterator_age,
            blocked_since=min(blocked, default=None),
            oldest_pending_since=self._held.oldest_since,
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
                self._batches.invoked(event, now)
            case DocumentSent(discard, problem):
                self._batches.document_sent(discard, problem)
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
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    # --- facts ---

    def _on_fetched(self, page: Page, now: Instant) -> None:
        reading, held = self._reading, self._held
        records = make_records(page.records, self._mapping, self._shard, held.next_offset)
        reading.fetched(page, len(records))
        gap = reading.gap(records)
        if gap is not None:
            self._commands.append(gap)
        if records:
            self._intake.take(*reading.new(records), now.mono)
            if not held.unresolved:  # nothing is left to hand over, so the work is as far as the reading
                held.worked_to(records[-1], now.wall)
        elif reading.tips and not held.unresolved:
            held.iterator_age = 0.0

    def _on_saved(self, number: int, now: Instant) -> None:
        if self._saving.saved(number):
            self._batches.saved(number, now)

    def _on_save_failed(self, number: int, now: float) -> None:
        """The position is written later; an attempt that had to be written down first waits."""
        if self._saving.failed(number, now):
            self._guards.failed(number)

    def _on_requested(self, request: Request) -> None:
        match request:
            case Request.PAUSE:
                if self._mode in ACTIVE:
                    self._mode = PAUSED
                    if self._guards.withdraw():
                        self._saving.changed()  # it may say that an attempt has begun
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
                self._guards.withdraw()
            case Request.ABANDON:
                self._mode = STOPPING
                self._guards.withdraw()
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
                self._batches.advance(lane, now, draining=self._mode is DRAINING)
            drained = self._mode is DRAINING and self._reading.tips >= TIPS_TO_DRAIN
            if (drained or self._reading.ended) and self._nothing_left():
                self._mode = STOPPING
        if self._mode is not STOPPING or self._under_way():
            self._save(now.mono)
        if self._mode in ACTIVE:
            self._fetch(now)
        elif self._mode is STOPPING and not self._under_way() and self._saving.under_way is None:
            self._finish(lost=False)

    # --- the store ---

    def _save(self, now: float) -> None:
        begun = self._saving.begin(now, wanted=self._guards.wanted)
        if begun is None:
            return
        number, durable = begun
        alone = self._guards.begin(number)
        self._commands.append(Save(number, self._progress(), durable, alone=alone))

    def _progress(self) -> Progress:
        sequence = None if self._reading.passing_over else self._held.sequence
        position = self._start if sequence is None else after(sequence)
        bounded = self._settings.retries is not None  # else nobody asks how many attempts there were
        heads = [head for lane in self._lanes if (head := lane.remembered(counted=bounded)) is not None]
        window = None if self._windows is None else self._windows.state
        return Progress(position, tuple(heads), window, len(self._lanes), self._starts(position))

    def _starts(self, position: Position) -> tuple[str, ...]:
        if len(self._lanes) == 1 and position.kind not in _TIMES:
            return ()  # the position says it
        beyond = self._reading.next_sequence
        starts = [str(lane.start) if lane.start is not None else lane.oldest() or beyond for lane in self._lanes]
        return tuple(starts)

    # --- reading ---

    def _fetch(self, now: Instant) -> None:
        due = self._reading.due
        if due is None or now.mono < due:
            return
        self._budget_at = None
        if self._room():
            limit = self._reading.limit if self._budget.has_room else CAREFUL_LIMIT
            self._commands.append(self._reading.begin(now, limit))
        elif not self._budget.has_room:
            self._budget_at = now.mono + BUDGET_EVERY

    def _fetch_due(self, read: float) -> float | None:
        """When the next read may go out, by its pace at `read`; None while only our own records are in its way."""
        if self._room():
            return read
        return None if self._budget.has_room else max(read, self._budget_at or read)

    def _room(self) -> bool:
        """STR-27: whether what another read brings may be kept. Who holds nothing may always read a little, so
        that no shard waits for ever for others to give back; nor does a batch for the rest of its records.
        """
        if not self._held.size or any(waits(lane) for lane in self._lanes):
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
        return not self._held.unresolved and all(lane.empty for lane in self._lanes)

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
