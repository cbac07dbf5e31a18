"""What crosses the driver, told to people: each event and command becomes numbers, and now and then a log line.

Log lines go to the logger "poller" with `action`, a stable word for programs, and `mapping` in `extra`; nothing is
configured here. No body and no receipt handle is ever logged, and of message ids only the first few.

The hot words (Received, Invoke, Settled, Deleted) cost additions on slots; a test holds them to that.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from poller import tracing
from poller.core.liveness import POLL_DEADLINE
from poller.core.messages import (
    ChangeVisibility,
    Command,
    Deleted,
    Described,
    DescribeFailed,
    Event,
    Extended,
    Filtered,
    Finished,
    InvocationOutcome,
    Invoke,
    LeaseLapsed,
    Receive,
    Received,
    ReceivedAgain,
    ReceiveFailed,
    ReleaseReason,
    Request,
    Requested,
    Settled,
    VisibilityChanged,
)
from poller.core.model import Instant, MappingState, Message, SourceProblem
from poller.errors import PollerError
from poller.metrics_stats import CallOutcome, MappingStats, PollOutcome, RestartReason, RetryReason
from poller.telling import Teller, one_line

MOST_IDS = 5

_SUCCESS = InvocationOutcome.SUCCESS
_RECORDS = PollOutcome.RECORDS
_EMPTY = PollOutcome.EMPTY
_RETRY_REASONS = {
    InvocationOutcome.THROTTLED: RetryReason.THROTTLED,
    InvocationOutcome.TIMEOUT: RetryReason.TIMEOUT,
    InvocationOutcome.PARTIAL: RetryReason.PARTIAL,
}


class Telemetry:
    """Watches one mapping. The driver looks up each event (before its machine sees it) and each command (in order)
    in `words` and calls what it finds with it and the time, from the event loop's thread; a word that is not there
    is nothing to tell. It calls `invoked` right before it feeds an Invoked.
    """

    def __init__(self, stats: MappingStats, logger: logging.Logger | None = None) -> None:
        self._stats = stats
        self._teller = Teller(stats.name, logger or logging.getLogger("poller"))
        self._seconds: float | None = None
        self._trace_id = ""
        self._polls: dict[int, float] = {}
        self._failed_polls = 0
        self._failing_since = 0.0
        self._failed_at = 0.0
        self._releasing: dict[str, ReleaseReason] = {}
        self._undeleted: set[str] = set()
        self._unwanted: set[str] = set()  # filtered out, and not deleted yet
        self.words: dict[type[Event | Command], Callable[[Any, Instant], None]] = {
            Received: self._received,
            Deleted: self._deleted,
            ReceiveFailed: self._receive_failed,
            VisibilityChanged: self._visibility_changed,
            Extended: self._extended,
            Described: self._described,
            DescribeFailed: self._describe_failed,
            Requested: self._requested,
            Receive: self._receive,
            ReceivedAgain: self._received_again,
            Invoke: self._invoke,
            Settled: self._settled,
            Filtered: self._filtered,
            ChangeVisibility: self._change_visibility,
            LeaseLapsed: self._lease_lapsed,
            Finished: self._finished,
        }

    # --- what the driver calls ---

    def invoked(self, seconds: float, trace_id: str = "") -> None:
        """The function ran for `seconds`, in this trace if there is one; the Settled that follows says with what
        outcome.
        """
        self._seconds = seconds
        self._trace_id = trace_id

    def source_unavailable(self, problem: SourceProblem, detail: str, now: Instant) -> None:
        """The source cannot be had yet, so no machine runs; it is tried again."""
        detail = one_line(detail)
        self._stats.last_problem = f"{problem.value}: {detail}"
        self._remember(self._stats.last_problem, now)
        text = f"waiting for its source ({problem.value}): {detail}"
        self._teller.failure("source_unavailable", problem.value, text, now, problem=problem)

    def extension_failed(self, count: int, detail: str, now: Instant) -> None:
        """The heartbeat could not extend `count` receipts."""
        self._stats.visibility_extensions[CallOutcome.ERROR] += count
        text = f"the visibility of {count} messages was not extended: {one_line(detail)}"
        self._teller.failure("extension_failed", "", text, now, events=count)

    def loop_blocked(self, added: float, so_far: float, now: Instant) -> None:
        """The mapping's handler is blocking the event loop: `added` seconds since the last call, `so_far` in all.

        The one method that another thread calls (the watchdog's, as nothing else runs meanwhile).
        """
        self._stats.loop_blocked_seconds += added
        text = (
            f"its handler has been blocking the event loop for {so_far:.1f} s: nothing else runs meanwhile;"
            " make it a plain function (it then runs in a thread) or await what it waits for"
        )
        self._teller.failure("loop_blocked", "", text, now, seconds=round(so_far, 3))

    def state_changed(self, state: MappingState, now: Instant, reason: str = "") -> None:
        """The mapping is in another of AWS's states."""
        self._stats.state = state
        if state in {MappingState.CREATING, MappingState.ENABLING}:
            self._begin_waiting(now)
        self._teller.tell(
            logging.INFO, "state_changed", f"{state.value}{f': {one_line(reason)}' if reason else ''}", state=state
        )

    def handler_unusable(self, error: PollerError, now: Instant) -> None:
        """The mapping's handler cannot be called, so the mapping does not start."""
        self._stats.crashed = one_line(str(error))
        self._remember(self._stats.crashed, now)
        self._teller.tell(logging.ERROR, "handler_unusable", self._stats.crashed)

    def crashed(self, error: BaseException, now: Instant) -> None:
        """The mapping's driver ended with an error of ours: a bug, so the log line carries the traceback."""
        stats = self._stats
        stats.crashed = one_line(f"{type(error).__name__}: {error}")
        self._remember(stats.crashed, now)
        self._teller.tell(logging.ERROR, "crashed", f"its driver ended: {stats.crashed}", exc_info=error)

    def restarted(self, now: Instant) -> None:
        """The driver runs again after a crash."""
        stats = self._stats
        stats.crashed = None
        stats.worker_restarts[RestartReason.CRASH] += 1
        # the machine that would have answered for these is gone
        self._polls.clear()
        self._releasing.clear()
        self._undeleted.clear()
        self._unwanted.clear()
        self._begin_waiting(now)
        self._teller.tell(logging.WARNING, "restarted", "its driver was started again")

    def cut_off(self, count: int) -> None:
        """The stop deadline passed with `count` messages neither deleted nor given back."""
        text = f"cut off at the stop deadline: {count} messages come back when their visibility timeout ends"
        self._teller.tell(logging.WARNING, "cut_off", text, events=count)

    # --- polling ---

    def _receive(self, command: Receive, now: Instant) -> None:
        mono = now.mono
        # After a rest that nobody forced on us the wait for a success begins anew; a back-off is not such a rest.
        if not self._polls and (not self._failed_polls or mono - self._failed_at > POLL_DEADLINE):
            self._stats.waiting_since = mono
        self._polls[command.poll] = mono

    def _received(self, event: Received, now: Instant) -> None:
        stats = self._stats
        mono = now.mono
        started = self._polls.pop(event.poll, None)
        if started is not None:
            stats.poll_duration.observe(mono - started)
        stats.waiting_since = mono
        stats.last_poll_at = now.wall
        if self._failed_polls or stats.last_problem is not None:
            self._recovered(mono)
        count = len(event.messages)
        if not count:
            stats.polls[_EMPTY] += 1
            return
        stats.polls[_RECORDS] += 1
        stats.polled_events += count
        stats.polled_bytes += event.size
        stats.rate.add(count, mono)

    def _received_again(self, command: ReceivedAgain, now: Instant) -> None:
        del now
        self._stats.redelivered_events += command.count
        self._stats.retried_events += command.count

    def _receive_failed(self, event: ReceiveFailed, now: Instant) -> None:
        stats = self._stats
        mono = now.mono
        started = self._polls.pop(event.poll, None)
        if started is not None:
            stats.poll_duration.observe(mono - started)
        throttled = event.problem is SourceProblem.THROTTLED
        stats.polls[PollOutcome.THROTTLED if throttled else PollOutcome.ERROR] += 1
        if not self._failed_polls:
            self._failing_since = mono
        self._failed_polls += 1
        self._failed_at = mono
        detail = one_line(event.detail)
        stats.last_problem = f"{event.problem.value}: {detail}"
        self._remember(stats.last_problem, now)
        text = f"cannot receive ({event.problem.value}): {detail}"
        self._teller.failure("poll_failed", event.problem.value, text, now, problem=event.problem)

    def _recovered(self, mono: float) -> None:
        if self._failed_polls:
            failures, seconds = self._failed_polls, mono - self._failing_since
            text = f"receiving again after {failures} failures in {seconds:.0f} s"
            self._teller.tell(logging.INFO, "poll_recovered", text, failures=failures, seconds=round(seconds, 3))
        self._failed_polls = 0
        self._stats.last_problem = None

    def _begin_waiting(self, now: Instant) -> None:
        self._stats.waiting_since = now.mono
        self._failed_polls = 0

    # --- invocations ---

    def _invoke(self, command: Invoke, now: Instant) -> None:
        """MET-3: each attempt counts its messages; sizes, waits and ages are those of the first attempt."""
        stats = self._stats
        batch = command.batch
        messages = batch.messages
        stats.invoked_events += len(messages)
        if batch.not_invoked:
            return
        stats.batches[batch.trigger] += 1
        stats.batch_events.observe(len(messages))
        stats.batch_bytes.observe(batch.size)
        stats.batch_wait.observe(now.mono - batch.opened_at)
        wall = now.wall
        # a message that comes again had its first dispatch before
        ages = [wall - message.sent_at for message in messages if message.receive_count == 1]
        if ages:
            stats.event_age.observe_all(ages)

    def _settled(self, command: Settled, now: Instant) -> None:
        """MET-4: all messages of a failed attempt, and of a partial one those that the function listed."""
        stats = self._stats
        outcome = command.outcome
        stats.invocations[outcome] += 1
        seconds = self._seconds
        if seconds is not None:  # None: given up before the function was called
            stats.invocation_took(outcome, seconds, self._trace_id, now.wall)
            self._seconds = None
        stats.last_result = outcome
        if command.succeeded:
            stats.succeeded_events += len(command.succeeded)
            stats.last_success_at = now.wall
        if command.stale:
            self._lost(command.stale, now)
        if outcome is not _SUCCESS:
            self._attempt_failed(command, now)
        elif self._teller.debug:
            batch = command.batch
            text = f"batch {batch.number} of {len(batch.messages)} messages done in {seconds or 0.0:.3f} s"
            self._teller.tell(
                logging.DEBUG, "batch_done", text, batch=batch.number, message_ids=_few(batch.messages)
            )

    def _attempt_failed(self, command: Settled, now: Instant) -> None:
        stats = self._stats
        batch = command.batch
        outcome = command.outcome
        failed = command.failed if outcome is InvocationOutcome.PARTIAL else batch.messages
        stats.failed_invoke_events += len(failed)
        stats.invocation_failed(outcome, command.detail)
        tracing.judged(outcome)
        detail = one_line(command.detail)
        self._remember(detail or outcome.value, now)
        fields: dict[str, Any] = {
            "outcome": outcome,
            "batch": batch.number,
            "events": len(batch.messages),
            "failed": len(failed),
        }
        what = f"{len(failed)} of {len(batch.messages)} messages failed" if command.succeeded else "a batch failed"
        text = f"{what} ({outcome.value}): {detail}"
        kind = f"{outcome.value} {detail.partition(':')[0]}"
        if command.retry_in is None:
            self._teller.failure("batch_failed", kind, text, now, **fields, message_ids=_few(failed))
            return
        stats.retries[_RETRY_REASONS.get(outcome, RetryReason.ERROR)] += 1
        stats.retried_events += len(batch.messages)
        text = f"{text}; again in {command.retry_in:.1f} s"
        self._teller.failure("batch_retried", kind, text, now, **fields, retry_in=round(command.retry_in, 3))

    # --- settling ---

    def _filtered(self, command: Filtered, now: Instant) -> None:
        """MET-2."""
        del now
        self._stats.filtered_events += len(command.messages)
        self._unwanted.update(message.id for message in command.messages)

    def _deleted(self, event: Deleted, now: Instant) -> None:
        """MET-5: what was deleted after its invocation, not what the filter removed; a refused entry counts as a
        failure and not as a deletion (SQS-26).
        """
        stats = self._stats
        count = len(event.messages) - len(event.failed)
        if self._unwanted:
            count -= self._removed(event)
        stats.deleted_events += count
        if self._undeleted:
            self._undeleted.difference_update(message.id for message in event.messages)
        if not event.failed:
            return
        failed = len(event.failed)
        stats.delete_failures += failed
        self._undeleted.update(message.id for message in event.failed if message.id not in self._unwanted)
        text = f"{failed} of {len(event.messages)} messages not deleted, trying again: {one_line(event.detail)}"
        self._teller.failure("delete_failed", "", text, now, events=failed, message_ids=_few(event.failed))

    def _removed(self, event: Deleted) -> int:
        """How many of those that are deleted now the filter had removed."""
        failed = {message.id for message in event.failed}
        gone = {message.id for message in event.messages if message.id in self._unwanted} - failed
        self._unwanted -= gone
        return len(gone)

    def _change_visibility(self, command: ChangeVisibility, now: Instant) -> None:
        del now
        self._releasing[command.messages[0].id] = command.reason

    def _visibility_changed(self, event: VisibilityChanged, now: Instant) -> None:
        reason = self._releasing.pop(event.messages[0].id, ReleaseReason.FAILED)
        self._stats.released_events[reason] += len(event.messages) - len(event.failed)
        if event.failed:
            text = f"{len(event.failed)} messages not given back: they return when their visibility timeout ends"
            self._teller.failure("release_failed", reason, text, now, reason=reason, events=len(event.failed))

    def _extended(self, event: Extended, now: Instant) -> None:
        del now
        self._stats.visibility_extensions[CallOutcome.SUCCESS] += len(event.ids)

    def _lease_lapsed(self, command: LeaseLapsed, now: Instant) -> None:
        """Only messages that the function has had are likely duplicates; the others did not run (SQS-23)."""
        self._unwanted.difference_update(message.id for message in command.messages)
        done = self._undeleted.intersection(message.id for message in command.messages)
        self._undeleted -= done
        self._stats.visibility_lost_events += len(done)
        text = f"{len(command.messages)} messages let go: {one_line(command.detail)}"
        count = len(command.messages)
        self._teller.failure("lease_lapsed", "", text, now, events=count, message_ids=_few(command.messages))

    def _lost(self, count: int, now: Instant) -> None:
        self._stats.visibility_lost_events += count
        text = (
            f"{count} messages were done only after their visibility timeout: they are likely to run twice;"
            " lengthen the queue's timeout or set Poller.Heartbeat"
        )
        self._teller.failure("visibility_lost", "", text, now, events=count)

    # --- the mapping ---

    def _described(self, event: Described, now: Instant) -> None:
        del now
        self._stats.queue = event.facts

    def _describe_failed(self, event: DescribeFailed, now: Instant) -> None:
        detail = one_line(event.detail)
        self._stats.last_problem = f"{event.problem.value}: {detail}"
        text = f"cannot read the queue's attributes: {detail}"
        self._teller.failure("describe_failed", event.problem.value, text, now)

    def _requested(self, event: Requested, now: Instant) -> None:
        if event.request is Request.RESUME:
            self._begin_waiting(now)
        self._teller.tell(logging.DEBUG, "requested", event.request.value, request=event.request)

    def _finished(self, command: Finished, now: Instant) -> None:
        del now
        self._stats.finished = True
        if command.abandoned:
            text = (
                f"ended with {command.abandoned} messages still in the hands of its handler; they were given back"
            )
            self._teller.tell(logging.WARNING, "finished", text, abandoned=command.abandoned)
        else:
            self._teller.tell(logging.INFO, "finished", "ended, nothing left in hand", abandoned=0)

    def _remember(self, error: str, now: Instant) -> None:
        self._stats.last_error = error
        self._stats.last_error_at = now.wall


def _few(messages: Iterable[Message]) -> list[str]:
    return [message.id for message in messages][:MOST_IDS]
