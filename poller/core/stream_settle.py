"""The fate of a batch of a stream is decided here and nowhere else.

`settle_stream` is a ladder, and the order of its rungs is the meaning:

1. the function was not reached: the same batch again after a back-off; no attempt is spent, nothing is halved
   (ERR-1). An event that is too large to be sent is the exception: it fails like an attempt (ERR-8).
2. success: every record is resolved (STR-30).
3. a partial response with progress: what lies before the lowest listed record is resolved; the rest is a *new*
   batch, with a fresh budget, at once (PBR-20, PBR-22, PBR-24, PBR-25). Without progress it is a failure (PBR-23).
4. a failure of two or more records, with bisect: two halves with fresh budgets, the first first (ERR-20 to 22).
   This stands above exhaustion because a split costs no retry: else MaximumRetryAttempts 0 would discard good
   records beside the bad one (ERR-24).
5. a failure with the budget spent: discarded (ERR-30).
6. any other failure: the same batch again after a back-off (ERR-6).

Before each attempt `too_old` takes out what has outlived the record age (ERR-10 to ERR-12), and after a restart
`recovered` judges an attempt whose end nobody saw. `shrunk` says whose attempts the rest of a batch has.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from random import Random
from typing import TypeAlias, assert_never

from poller.core.backoff import as_asked, delay
from poller.core.fact import fact
from poller.core.mapping import EventSourceMapping, StreamSettings
from poller.core.messages import InvocationOutcome
from poller.core.model import FunctionError, InvocationResult, JsonObject, NotInvoked, Succeeded, Throttled
from poller.core.records import DiscardReason, Record, StreamBatch
from poller.core.response import (
    Failure,
    PartialProgress,
    Success,
    interpret_stream_response,
    interpret_window_response,
)

RETRY_FIRST = 1.0  # ERR-6: seconds, doubling
RETRY_CAP = 30.0

INTERRUPTED = FunctionError("Runtime.ExitError", "the process ended while the function was running")


@fact
class Ack:
    """These are resolved. With a tumbling window `state` is what it carries on."""

    records: tuple[Record, ...]
    state: JsonObject | None = None


@fact
class Retry:
    """The same batch again, `wait` seconds from now."""

    batch: StreamBatch
    wait: float


@fact
class Rest:
    """A new batch of what a partial response left undone, at once."""

    records: tuple[Record, ...]


@fact
class Bisect:
    """Two new batches in place of the one, at once; `rest` waits until `first` is resolved (ERR-21)."""

    first: tuple[Record, ...]
    rest: tuple[Record, ...]


@fact
class GiveUp:
    """These are discarded for this reason. `result` is for the failure document (DST-6, DST-7)."""

    batch: StreamBatch
    reason: DiscardReason
    result: InvocationResult | None


StreamDisposition: TypeAlias = Ack | Retry | Rest | Bisect | GiveUp


@fact
class StreamVerdict:
    """What happened in one word, and what to do, in order."""

    outcome: InvocationOutcome
    dispositions: tuple[StreamDisposition, ...]
    detail: str = ""


def settle_stream(
    batch: StreamBatch,
    result: InvocationResult,
    mapping: EventSourceMapping,
    now: float,
    random: Random,
    *,
    oversize: bool = False,
) -> StreamVerdict:
    """Decides on a batch after an attempt; `now` is epoch seconds. `oversize`: nothing was invoked, because the
    event of its one record is larger than an invocation may be, and `result` says so (ERR-8).
    """
    match result:
        case Throttled(message, retry_after):
            return _not_reached(batch, message, retry_after, now, random)
        case NotInvoked(message):
            return _not_reached(batch, message, None, now, random)
        case FunctionError():
            outcome = InvocationOutcome.TIMEOUT if result.timed_out else InvocationOutcome.ERROR
            detail = f"{result.error_type}: {result.message}" if result.message else result.error_type
            shown = None if oversize else result
            return StreamVerdict(outcome, (_failed(batch, shown, _settings(mapping), now, random),), detail)
        case Succeeded(payload):
            return _reached(batch, payload, result, mapping, now, random)
        case _:
            assert_never(result)


def _reached(
    batch: StreamBatch,
    payload: bytes,
    result: InvocationResult,
    mapping: EventSourceMapping,
    now: float,
    random: Random,
) -> StreamVerdict:
    """The function returned: PBR-3, PBR-20 to PBR-26, and TMB-5 with a tumbling window."""
    settings = _settings(mapping)
    state: JsonObject | None = None
    if batch.call is not None and not batch.call.final:
        told = interpret_window_response(payload)
        if isinstance(told, Failure):
            failed = _failed(batch, result, settings, now, random)
            return StreamVerdict(InvocationOutcome.INVALID_RESPONSE, (failed,), told.reason)
        state = told
    partial = mapping.report_batch_item_failures and bool(batch.records)
    sent = [record.sequence for record in batch.records] if partial else ()
    read = interpret_stream_response(payload, sent, partial)
    match read:
        case Success():
            return StreamVerdict(InvocationOutcome.SUCCESS, (Ack(batch.records, state),))
        case PartialProgress(lowest):
            detail = f"record {lowest + 1} of {len(batch.records)} is the first that was reported as failed"
            if lowest == 0:
                failed = _failed(batch, result, settings, now, random)
                return StreamVerdict(InvocationOutcome.PARTIAL, (failed,), detail)
            done = Ack(batch.records[:lowest], state)
            return StreamVerdict(InvocationOutcome.PARTIAL, (done, Rest(batch.records[lowest:])), detail)
        case Failure(reason):
            failed = _failed(batch, result, settings, now, random)
            return StreamVerdict(InvocationOutcome.INVALID_RESPONSE, (failed,), reason)
        case _:
            assert_never(read)


def _not_reached(
    batch: StreamBatch, detail: str, retry_after: float | None, now: float, random: Random
) -> StreamVerdict:
    """ERR-1, ERR-6: again and again; only age ends it."""
    tries = batch.not_reached + 1
    wait = as_asked(delay(tries, RETRY_FIRST, RETRY_CAP, random), retry_after)
    again = replace(batch, not_reached=tries, failed_at=now if batch.failed_at is None else batch.failed_at)
    return StreamVerdict(InvocationOutcome.THROTTLED, (Retry(again, wait),), detail)


def _failed(
    batch: StreamBatch, result: InvocationResult | None, settings: StreamSettings, now: float, random: Random
) -> StreamDisposition:
    """ERR-2: one more attempt is spent."""
    failed_at = now if batch.failed_at is None else batch.failed_at
    spent = replace(batch, attempts=batch.attempts + 1, not_reached=0, failed_at=failed_at)
    ended = _halved_or_given_up(spent, result, settings)
    return ended or Retry(spent, delay(counted(spent), RETRY_FIRST, RETRY_CAP, random))


def _halved_or_given_up(
    batch: StreamBatch, result: InvocationResult | None, settings: StreamSettings
) -> Bisect | GiveUp | None:
    if settings.bisect and len(batch.records) > 1:
        half = len(batch.records) // 2  # ERR-23
        return Bisect(batch.records[:half], batch.records[half:])
    if settings.retries is not None and counted(batch) > settings.retries:
        return GiveUp(batch, DiscardReason.RETRIES, result)
    return None


def counted(batch: StreamBatch) -> int:
    """The attempts that count against MaximumRetryAttempts (ERR-5).

    An attempt that our process did not survive is no proof against the batch: a power cut or a `kill -9` meets
    whatever runs. So the first of them is free, and those after it count: a record that ends the process each
    time cannot do so for ever.
    """
    return batch.attempts + max(0, batch.interrupted - 1)


def last_chance(batch: StreamBatch, settings: StreamSettings) -> bool:
    """Whether the batch would be given up if its next attempt was one more that its process did not survive. Such
    an attempt is made with no other beside it: what runs at the same time as a record that ends the process must
    not be given up with it (ERR-5).
    """
    again = replace(batch, interrupted=batch.interrupted + 1)
    return bool(batch.interrupted) and settings.retries is not None and counted(again) > settings.retries


def recovered(batch: StreamBatch, mapping: EventSourceMapping) -> Bisect | GiveUp | None:
    """What is to be done with a batch that an earlier process left at the head of its lane: invoked again (None),
    unless its end came in the middle of an attempt, or before the document of a spent one was accepted.
    """
    settings = _settings(mapping)
    spent = settings.retries is not None and counted(batch) > settings.retries
    return _halved_or_given_up(batch, INTERRUPTED, settings) if batch.interrupted or spent else None


def shrunk(rest: StreamBatch, tried: int, settings: StreamSettings) -> StreamBatch:
    """What is left of a batch that was tried with `tried` records: it keeps its attempts (BAT-6, ERR-12).

    With bisect a single record does not, or it would be given up for what it never did alone (ERR-24): with the
    others still there it would have become a half, with a fresh budget (ERR-22).
    """
    if settings.bisect and len(rest.records) == 1 < tried:
        return replace(rest, attempts=0, interrupted=0)
    return rest


def age_limit(batch: StreamBatch, settings: StreamSettings, retention: float | None) -> float | None:
    """The age in seconds at which records of this batch are given up.

    What the stream keeps no longer (`retention`, seconds) is given up as well, but only by a batch that has
    failed: records that were read in time are delivered (ERR-15).
    """
    if retention is None or batch.failed_at is None:
        return settings.maximum_age
    return retention if settings.maximum_age is None else min(settings.maximum_age, retention)


def final_too_old(batch: StreamBatch, limit: float | None, now: float) -> bool:
    """TMB-9: whether the final invocation of a window has been failing for too long.

    It has no records, and those that it stands for may be past the limit as soon as their window ends: so its age
    counts from its first failure.
    """
    return not (batch.records or limit is None or batch.failed_at is None) and now - batch.failed_at > limit


def too_old(
    batch: StreamBatch, limit: float | None, now: float
) -> tuple[tuple[tuple[Record, ...], ...], tuple[Record, ...]]:
    """ERR-10 to ERR-13, before every attempt: (runs of records that are too old, what is left of the batch).

    `limit` and `now` are seconds of age and of the epoch. Each record is looked at: arrival times need not ascend.
    """
    if limit is None or not batch.records:
        return (), batch.records
    oldest = now - limit
    if min([record.arrived_at for record in batch.records]) >= oldest:
        return (), batch.records
    return expired_runs(batch.records, oldest), tuple(
        [record for record in batch.records if record.arrived_at >= oldest]
    )


def expired_runs(records: Sequence[Record], oldest: float) -> tuple[tuple[Record, ...], ...]:
    """The records that arrived before `oldest` (epoch seconds), those together that follow each other."""
    runs = groupby(records, key=lambda record: record.arrived_at < oldest)
    return tuple([tuple(run) for expired, run in runs if expired])


def _settings(mapping: EventSourceMapping) -> StreamSettings:
    assert mapping.stream is not None, "only streams come here"
    return mapping.stream
