"""What happens in the shards of a stream, told to people: the counterpart of telemetry.py, for a mapping's shards.

Numbers are the mapping's: a shard has none of its own, as there may be thousands. How each stands (ShardGauges) is
read from its machine when somebody asks. The hot words (Fetch, Fetched, Invoke, Settled, Save, Saved) cost a few
additions for a page or a batch, however many records it has; a test holds them to that.

Log lines carry `action`, `mapping` and `shard`, and the sequence numbers of the first and last record concerned.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from poller import tracing
from poller.core.cleanup import Lost
from poller.core.liveness import POLL_DEADLINE
from poller.core.messages import InvocationOutcome
from poller.core.model import Instant, SourceProblem
from poller.core.records import Position, Record, Shard
from poller.core.stream_messages import (
    Discarded,
    Fetch,
    Fetched,
    FetchFailed,
    Filtered,
    Finished,
    Gap,
    Invoke,
    Save,
    Saved,
    SaveFailed,
    Settled,
    StreamCommand,
    StreamEvent,
)
from poller.errors import PollerError
from poller.metrics_stats import (
    CallOutcome,
    LeaseEvent,
    MappingStats,
    PollOutcome,
    RestartReason,
    RetryReason,
)
from poller.stream_losses import Losses, batch_fields, counted, place
from poller.telling import Teller, one_line

MOST_LINES: Final = 64
"""Shards whose beginnings are told one by one; those beyond only to who listens to everything."""

Tell: TypeAlias = Callable[[str, Any, Instant], None]
"""Called with the shard's id, the event or command, and the time."""

_arrived_at: Final = itemgetter(Record._fields.index("arrived_at"))
_NEVER: Final = float("-inf")
_SUCCESS: Final = InvocationOutcome.SUCCESS
_RECORDS: Final = PollOutcome.RECORDS
_EMPTY: Final = PollOutcome.EMPTY
_WORKED: Final = CallOutcome.SUCCESS
_RETRY_REASONS: Final = {
    InvocationOutcome.THROTTLED: RetryReason.THROTTLED,
    InvocationOutcome.TIMEOUT: RetryReason.TIMEOUT,
    InvocationOutcome.PARTIAL: RetryReason.PARTIAL,
}


class _Shard:
    """What is remembered of one shard while it is read.

    `asked_at` is when its read began, None while none is under way. `invoked` has the numbers of the batches that
    the function has, `seconds` how long it had the one that is judged next, `dispatched` the offset of the last
    record that it was ever given, by lane: what lies behind it is new to it. `saving` is the number of the durable
    write under way, since `saving_since`; 0 for none.
    """

    __slots__ = ("asked_at", "dispatched", "invoked", "saving", "saving_since", "seconds", "trace_id")

    def __init__(self) -> None:
        self.asked_at: float | None = None
        self.invoked: set[int] = set()
        self.seconds: float | None = None
        self.trace_id = ""
        self.dispatched: dict[int, int] = {}
        self.saving = 0
        self.saving_since = 0.0


class StreamTelemetry:
    """Watches the shards of one mapping. A driver looks up each event (before its machine sees it) and each
    command (in order) in `words` and calls what it finds, from the event loop's thread; a word that is not there
    is nothing to tell. It calls `invoked` right before it feeds an Invoked.
    """

    def __init__(self, stats: MappingStats, logger: logging.Logger | None = None) -> None:
        assert stats.stream is not None, "queues have no shards"
        self._stats = stats
        self._stream = stats.stream
        self._teller = Teller(stats.name, logger or logging.getLogger("poller"))
        self._losses = Losses(stats, self._teller)
        self._shards: defaultdict[str, _Shard] = defaultdict(_Shard)
        self._asking = 0
        self._held: set[str] = set()
        self._failing: set[str] = set()
        self._failures = 0
        self._failing_since = 0.0
        self._failed_at = _NEVER
        self._unsaved: set[str] = set()
        self.words: Final[dict[type[StreamEvent | StreamCommand], Tell]] = {
            Fetched: self._fetched,
            FetchFailed: self._fetch_failed,
            Saved: self._saved,
            SaveFailed: self._save_failed,
            Fetch: self._fetch,
            Invoke: self._invoke,
            Save: self._save,
            Settled: self._settled,
            Filtered: self._filtered,
            Discarded: self._losses.discarded,
            Gap: self._losses.gap,
            Finished: self._finished,
        }

    def invoked(self, shard_id: str, seconds: float, trace_id: str = "") -> None:
        """The function ran for `seconds`, in this trace if there is one; the Settled that follows says with what
        outcome.
        """
        shard = self._shards[shard_id]
        shard.seconds = seconds
        shard.trace_id = trace_id

    # --- reading ---

    def _fetch(self, shard_id: str, command: Fetch, now: Instant) -> None:
        del command
        mono = now.mono
        self._begin_waiting(mono)
        shard = self._shards[shard_id]
        if shard.asked_at is None:
            self._asking += 1
        shard.asked_at = self._stream.heard_at[shard_id] = mono

    def _fetched(self, shard_id: str, event: Fetched, now: Instant) -> None:
        stats = self._stats
        mono = now.mono
        self._answered(shard_id, mono)
        stats.waiting_since = mono
        stats.last_poll_at = now.wall
        if self._failing or stats.last_problem is not None:
            self._recovered(shard_id, mono)
        page = event.page
        count = len(page.records)
        if not count:
            stats.polls[_EMPTY] += 1
            return
        stats.polls[_RECORDS] += 1
        stats.polled_events += count
        stats.polled_bytes += page.size
        stats.rate.add(count, mono)

    def _filtered(self, shard_id: str, command: Filtered, now: Instant) -> None:
        """MET-2."""
        del shard_id, now
        self._stats.filtered_events += command.count

    def _answered(self, shard_id: str, mono: float) -> None:
        shard = self._shards[shard_id]
        if shard.asked_at is not None:
            self._stats.poll_duration.observe(mono - shard.asked_at)
            shard.asked_at = None
            self._asking -= 1
        self._stream.heard_at[shard_id] = mono

    def _fetch_failed(self, shard_id: str, event: FetchFailed, now: Instant) -> None:
        """An iterator that was too old is got anew (STR-24), and what follows from a place that was trimmed is
        told as a gap (STR-25): neither is anybody's trouble, unless it does not end.
        """
        stats = self._stats
        mono = now.mono
        problem = event.problem
        self._answered(shard_id, mono)
        stats.polls[PollOutcome.THROTTLED if problem is SourceProblem.THROTTLED else PollOutcome.ERROR] += 1
        detail = one_line(event.detail)
        stats.last_problem = f"{problem.value}: {detail}"
        self._failed_at = mono
        text = f"cannot read shard {shard_id} ({problem.value}): {detail}"
        if problem in {SourceProblem.EXPIRED, SourceProblem.TRIMMED}:
            self._teller.tell(logging.DEBUG, "position_renewed", text, shard=shard_id, problem=problem)
            return
        if not self._failing:
            self._failures, self._failing_since = 0, mono
        self._failing.add(shard_id)
        self._failures += 1
        self._remember(stats.last_problem, now)
        self._teller.failure("fetch_failed", problem.value, text, now, shard=shard_id, problem=problem)

    def _recovered(self, shard_id: str, mono: float) -> None:
        """Told when the last shard that failed is read again."""
        self._failed_at = _NEVER
        if shard_id in self._failing:
            self._failing.discard(shard_id)
            if not self._failing:
                failures, seconds = self._failures, mono - self._failing_since
                text = f"reading again after {failures} failures in {seconds:.0f} s"
                fields: dict[str, Any] = {"failures": failures, "seconds": round(seconds, 3)}
                self._teller.tell(logging.INFO, "fetch_recovered", text, shard=shard_id, **fields)
        if not self._failing:
            self._stats.last_problem = None

    def _begin_waiting(self, mono: float) -> None:
        # After a rest that nobody forced on us the wait for a success begins anew; a back-off is not such a rest.
        if not self._asking and mono - self._failed_at > POLL_DEADLINE:
            self._stats.waiting_since = mono

    # --- invocations ---

    def _invoke(self, shard_id: str, command: Invoke, now: Instant) -> None:
        """MET-3: each attempt counts its records. Sizes, waits and ages are told once for each record, at its
        first dispatch: a half or a rest of a batch has had it, whatever its number.
        """
        stats = self._stats
        batch = command.batch
        records = batch.records
        shard = self._shards[shard_id]
        shard.invoked.add(batch.number)
        count = len(records)
        stats.invoked_events += count
        if not count or records[-1].offset <= shard.dispatched.get(batch.lane, -1):
            return
        shard.dispatched[batch.lane] = records[-1].offset
        stats.batches[batch.trigger] += 1
        stats.batch_events.observe(count)
        stats.batch_bytes.observe(batch.size)
        stats.batch_wait.observe(now.mono - batch.opened_at)
        wall = now.wall
        ages = [wall - arrived_at for arrived_at in map(_arrived_at, records)]
        if min(ages) < 0:  # clocks differ, and a record may tell no time
            ages = [max(0.0, age) for age in ages]
        stats.event_age.observe_all(ages)

    def _settled(self, shard_id: str, command: Settled, now: Instant) -> None:
        """MET-4: all records of a failed attempt, and of a partial one those that are not resolved by it."""
        stats = self._stats
        shard = self._shards[shard_id]
        batch = command.batch
        outcome = command.outcome
        seconds, shard.seconds = shard.seconds, None
        if batch.number in shard.invoked:
            shard.invoked.discard(batch.number)
            if seconds is None:
                return  # a stop came before its turn: nobody has tried
            stats.invocation_took(outcome, seconds, shard.trace_id, now.wall)
        else:
            stats.invoked_events += len(batch.records)  # too large to be sent, and an attempt all the same (ERR-8)
        stats.invocations[outcome] += 1
        stats.last_result = outcome
        if command.succeeded or outcome is _SUCCESS:
            stats.succeeded_events += command.succeeded
            stats.last_success_at = now.wall
        if outcome is not _SUCCESS:
            self._attempt_failed(shard_id, command, now)
        elif self._teller.debug:
            text = f"a batch of {counted(len(batch.records))} of shard {shard_id} done in {seconds or 0.0:.3f} s"
            self._teller.tell(logging.DEBUG, "batch_done", text, **batch_fields(shard_id, batch))

    def _attempt_failed(self, shard_id: str, command: Settled, now: Instant) -> None:
        """A bisection is no retry (ERR-20), and neither is a batch that is given up (it is told as discarded)."""
        stats = self._stats
        outcome = command.outcome
        stats.failed_invoke_events += command.failed
        stats.invocation_failed(outcome, command.detail)
        tracing.judged(outcome)
        detail = one_line(command.detail)
        self._remember(detail or outcome.value, now)
        kind = f"{outcome.value} {detail.partition(':')[0]}"
        count = len(command.batch.records)
        fields = {**batch_fields(shard_id, command.batch), "outcome": outcome, "failed": command.failed}
        of = f"{command.failed} of {count} records" if command.succeeded else f"a batch of {counted(count)}"
        text = f"{of} of shard {shard_id} failed ({outcome.value}): {detail}"
        if command.retry_in is None:
            self._teller.failure("batch_failed", kind, text, now, **fields)
            return
        stats.retried_events += command.failed
        if command.bisected:
            self._stream.bisections += 1
            self._teller.failure("bisected", kind, f"{text}; tried again as two halves", now, **fields)
            return
        stats.retries[_RETRY_REASONS.get(outcome, RetryReason.ERROR)] += 1
        text = f"{text}; again in {command.retry_in:.1f} s"
        self._teller.failure("batch_retried", kind, text, now, **fields, retry_in=round(command.retry_in, 3))

    # --- the store ---

    def _save(self, shard_id: str, command: Save, now: Instant) -> None:
        shard = self._shards[shard_id]
        shard.saving = command.number if command.durable else 0
        shard.saving_since = now.mono
        if command.alone:
            text = (
                f"the process has ended again and again while a batch of shard {shard_id} ran: its last attempt is"
                " made with no other beside it"
            )
            self._teller.tell(logging.WARNING, "alone", text, shard=shard_id)

    def _saved(self, shard_id: str, event: Saved, now: Instant) -> None:
        shard = self._shards[shard_id]
        if shard.saving == event.number:
            shard.saving = 0
            self._stream.checkpoints[_WORKED] += 1
            self._stream.checkpoint_duration.observe(now.mono - shard.saving_since)
        if shard_id in self._unsaved:
            self._unsaved.discard(shard_id)
            if not self._unsaved:
                text = "the positions of all shards can be written again"
                self._teller.tell(logging.INFO, "checkpoint_recovered", text, shard=shard_id)

    def _save_failed(self, shard_id: str, event: SaveFailed, now: Instant) -> None:
        shard = self._shards[shard_id]
        if shard.saving == event.number:
            shard.saving = 0
            self._stream.checkpoints[CallOutcome.ERROR] += 1
        self._unsaved.add(shard_id)
        detail = one_line(event.detail)
        self._remember(f"checkpoint: {detail}", now)
        text = f"the position of shard {shard_id} was not written and is written again: {detail}"
        self._teller.failure("checkpoint_failed", "", text, now, shard=shard_id)

    # --- the life of shards: what the runtime calls ---

    def shard_started(self, shard_id: str, position: Position, now: Instant) -> None:
        """The shard is being read from this place, for the first time or again; its row is ours."""
        del now
        self._forget(shard_id)
        self._shards[shard_id] = _Shard()
        if shard_id not in self._held:
            self._held.add(shard_id)
            self._stream.lease_events[LeaseEvent.ACQUIRED] += 1
        level = logging.INFO if len(self._shards) <= MOST_LINES else logging.DEBUG
        text = f"reading shard {shard_id} from {place(position)}"
        self._teller.tell(level, "shard_started", text, shard=shard_id, position=place(position))

    def shard_stopped(self, shard_id: str, now: Instant) -> None:
        """The shard is not read any more, for whatever reason."""
        del now
        self._forget(shard_id)

    def shard_ended(self, shard_id: str, children: tuple[Shard, ...], now: Instant) -> None:
        """Every record of the shard is resolved, and its row says so (STR-2) and is nobody's any more."""
        self.shard_released(shard_id, now)
        names = ", ".join([child.id for child in children]) or "no other"
        text = f"shard {shard_id} has ended and is done; it is followed by {names}"
        following = [child.id for child in children]
        self._teller.tell(logging.INFO, "shard_ended", text, shard=shard_id, children=following)

    def shard_released(self, shard_id: str, now: Instant) -> None:
        """The shard's last position is written, and its row is nobody's any more."""
        del now
        self._stream.checkpoints[_WORKED] += 1
        self._let_go(shard_id, LeaseEvent.RELEASED)

    def shard_crashed(self, shard_id: str, error: BaseException, seconds: float, now: Instant) -> None:
        """A shard's driver ended with an error of ours; it is started again in `seconds`."""
        self._stats.worker_restarts[RestartReason.CRASH] += 1
        what = one_line(f"{type(error).__name__}: {error}")
        self._remember(what, now)
        text = f"the driver of shard {shard_id} ended: {what}; it is started again in {seconds:.1f} s"
        self._teller.tell(logging.ERROR, "shard_crashed", text, exc_info=error, shard=shard_id)

    def lease_lost(self, shard_id: str, now: Instant) -> None:
        """Somebody else has written the shard's row: nothing of it is delivered or written any more."""
        del now
        self._let_go(shard_id, LeaseEvent.LOST)
        text = f"the row of shard {shard_id} was changed by somebody else; reading stops until the next discovery"
        self._teller.tell(logging.WARNING, "lease_lost", text, shard=shard_id)

    def shards_lost(self, lost: Sequence[Lost], now: Instant) -> None:
        """Shards are gone with what was not read of them, or are others under the same ids; their rows, put right,
        are nobody's.
        """
        del now
        for one in lost:
            self._let_go(one.lease.key, LeaseEvent.RELEASED)
        self._losses.shards_lost(lost)

    def shard_failed(self, shard_id: str, error: PollerError, now: Instant) -> None:
        """What has to be done about a shard (its row taken, its end written) cannot be done yet."""
        detail = one_line(str(error))
        self._chore_failed(detail, now)
        text = f"shard {shard_id}: {detail}; it is tried again"
        self._teller.failure("shard_failed", type(error).__name__, text, now, shard=shard_id)

    def discovery_failed(self, error: PollerError, now: Instant) -> None:
        """The shards could not be listed, or the rows not be brought up to date; it is tried again."""
        detail = one_line(str(error))
        if self._shards:
            self._remember(detail, now)
        else:
            self._chore_failed(detail, now)  # nothing is read, and this is why
        self._teller.failure(
            "discovery_failed", type(error).__name__, f"cannot look for new shards: {detail}", now
        )

    def cut_off(self, count: int) -> None:
        """The stop deadline passed with so many records in the hands of handlers: they will be delivered again."""
        text = f"cut off at the stop deadline: handlers still had {counted(count)}, to be delivered again"
        self._teller.tell(logging.WARNING, "cut_off", text, events=count)

    def _finished(self, shard_id: str, command: Finished, now: Instant) -> None:
        del now
        if command.abandoned:
            count = command.abandoned
            text = (
                f"left shard {shard_id} with {counted(count)} in the hands of its handler, to be delivered again"
            )
            self._teller.tell(logging.WARNING, "abandoned", text, shard=shard_id, abandoned=count)

    def _forget(self, shard_id: str) -> None:
        shard = self._shards.pop(shard_id, None)
        if shard is not None and shard.asked_at is not None:
            self._asking -= 1
        self._stream.heard_at.pop(shard_id, None)
        self._failing.discard(shard_id)
        self._unsaved.discard(shard_id)

    def _let_go(self, shard_id: str, event: LeaseEvent) -> None:
        if shard_id in self._held:
            self._held.discard(shard_id)
            self._stream.lease_events[event] += 1

    def _chore_failed(self, detail: str, now: Instant) -> None:
        self._begin_waiting(now.mono)
        self._failed_at = self._stream.chore_failed_at = now.mono
        self._stats.last_problem = detail
        self._remember(detail, now)

    def _remember(self, error: str, now: Instant) -> None:
        self._stats.last_error = error
        self._stats.last_error_at = now.wall
