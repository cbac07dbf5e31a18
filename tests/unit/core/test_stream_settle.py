"""The fate of a batch of a stream, rung by rung, and the rules of age and of interrupted attempts (ERR, PBR)."""

from dataclasses import replace
from typing import Any

import pytest

from poller.core.mapping import EventSourceMapping, StreamSettings
from poller.core.messages import InvocationOutcome
from poller.core.model import FunctionError, InvocationResult, NotInvoked, Succeeded, Throttled
from poller.core.records import DiscardReason, Record, StreamBatch, WindowCall
from poller.core.stream_settle import (
    INTERRUPTED,
    Ack,
    Bisect,
    GiveUp,
    Rest,
    Retry,
    StreamVerdict,
    age_limit,
    counted,
    expired_runs,
    final_too_old,
    last_chance,
    recovered,
    settle_stream,
    shrunk,
    too_old,
)
from tests.unit.core.machine import Middle
from tests.unit.core.stream_machine import (
    BOOM,
    BUSY,
    OK,
    listing,
    numbers,
    record,
    some_records,
    state,
    stream_batch,
    stream_mapping,
    wall,
)

A, B, C = RECORDS = some_records(101, 102, 103)
NOW = wall(10.0)


def settle(
    result: InvocationResult, batch: StreamBatch | None = None, *, oversize: bool = False, **fields: Any
) -> StreamVerdict:
    return settle_stream(
        batch or stream_batch(*RECORDS), result, stream_mapping(**fields), NOW, Middle(), oversize=oversize
    )


def settings_of(mapping: EventSourceMapping) -> StreamSettings:
    assert mapping.stream is not None
    return mapping.stream


def again(result: InvocationResult, batch: StreamBatch | None = None, **fields: Any) -> tuple[StreamBatch, float]:
    """The batch as it is tried again, and after how many seconds."""
    (disposition,) = settle(result, batch, **fields).dispositions
    assert isinstance(disposition, Retry)
    return disposition.batch, disposition.wait


# --- rung 1: not reached ---


@pytest.mark.parametrize("result", [Throttled("busy"), NotInvoked("away")])
@pytest.mark.parametrize("fields", [{}, {"retries": 0}, {"retries": 0, "bisect": True}, {"partial": True}])
def test_what_did_not_reach_the_function_is_tried_again(result: InvocationResult, fields: dict[str, Any]) -> None:
    """ERR-1, ERR-25: no attempt is spent, and nothing halved, whatever is configured."""
    assert settle(result, **fields).outcome is InvocationOutcome.THROTTLED
    batch, _ = again(result, **fields)
    assert batch == stream_batch(*RECORDS, not_reached=1, failed_at=NOW)


@pytest.mark.parametrize(
    ("before", "wait"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0), (5, 30.0), (6, 30.0), (5000, 30.0)]
)
def test_the_pauses_after_not_reaching_the_function(before: int, wait: float) -> None:
    """ERR-6, ERR-1: 1, 2, 4, 8, 16, 30, 30 seconds."""
    assert again(BUSY, stream_batch(A, not_reached=before))[1] == wait


@pytest.mark.parametrize(
    ("told", "wait"), [(7.5, 7.5), (0.5, 1.0), (0.0, 1.0), (None, 1.0), (300.0, 300.0), (86_400.0, 300.0)]
)
def test_a_throttle_that_names_its_pause(told: float | None, wait: float) -> None:
    """ERR-6, INV-4: never less than ours, and five minutes at most."""
    assert again(Throttled("busy", told))[1] == wait


def test_a_throttle_keeps_the_attempts_and_the_first_failure() -> None:
    """ERR-1, ERR-15: what is known of the batch stays as it is."""
    batch, wait = again(BUSY, stream_batch(A, attempts=3, failed_at=5.0))
    assert (batch.attempts, batch.not_reached, batch.failed_at, wait) == (3, 1, 5.0, 1.0)


# --- rung 2: success ---


@pytest.mark.parametrize("payload", [b"null", b"", b"{}", b'{"batchItemFailures":[]}'])
@pytest.mark.parametrize("partial", [False, True])
def test_success_resolves_every_record(payload: bytes, partial: bool) -> None:
    """STR-30, PBR-3: nothing else follows."""
    verdict = settle(Succeeded(payload), partial=partial, retries=0, bisect=True)
    assert verdict == StreamVerdict(InvocationOutcome.SUCCESS, (Ack(RECORDS),))


def test_without_partial_responses_nobody_reads_the_list() -> None:
    """PBR-1: also a list that names records is success."""
    assert settle(listing(101)).dispositions == (Ack(RECORDS),)


# --- rung 3: partial ---


@pytest.mark.parametrize("named", [(103,), (103, 103)])
def test_progress_leaves_a_new_batch(named: tuple[int, ...]) -> None:
    """PBR-20, PBR-22, PBR-25: what stands before the lowest is done, the rest is a new batch, at once."""
    verdict = settle(listing(*named), stream_batch(*RECORDS, attempts=1), partial=True, retries=1)
    assert verdict.outcome is InvocationOutcome.PARTIAL
    assert verdict.dispositions == (Ack((A, B)), Rest((C,)))


def test_the_lowest_is_found_by_value() -> None:
    """PBR-21, PBR-20: 99 is below 100 and 101, in whatever order they are listed; 100 is tried again too."""
    batch = stream_batch(*some_records(98, 99, 100, 101))
    done, rest = settle(listing(101, 99), batch, partial=True).dispositions
    assert isinstance(done, Ack)
    assert isinstance(rest, Rest)
    assert (numbers(done.records), numbers(rest.records)) == ([98], [99, 100, 101])


def test_with_bisect_the_cut_is_at_the_listed_record() -> None:
    """PBR-24: recipe 5; 10 records, the 7th is reported, and the next batch is 7 to 10."""
    batch = stream_batch(*some_records(*range(1, 11)))
    done, rest = settle(listing(7), batch, partial=True, bisect=True).dispositions
    assert isinstance(done, Ack)
    assert isinstance(rest, Rest)
    assert (numbers(done.records), numbers(rest.records)) == ([1, 2, 3, 4, 5, 6], [7, 8, 9, 10])


def test_no_progress_is_a_failed_attempt() -> None:
    """PBR-23: the first record is the lowest, so the same batch again, after a pause."""
    batch, wait = again(listing(103, 101), partial=True, retries=1)
    assert (numbers(batch), batch.attempts, batch.failed_at, wait) == ([101, 102, 103], 1, NOW, 1.0)


def test_no_progress_with_bisect_halves() -> None:
    """PBR-23, ERR-25, OPEN-6: as every failure of the whole batch."""
    assert settle(listing(101), partial=True, bisect=True).dispositions == (Bisect((A,), (B, C)),)


def test_partial_failures_until_the_end() -> None:
    """PBR-26: given up with the result that it came to, which is no function error."""
    result = listing(103)
    (given_up,) = settle(result, stream_batch(C, attempts=1), partial=True, retries=1).dispositions
    assert given_up == GiveUp(stream_batch(C, attempts=2, failed_at=NOW), DiscardReason.RETRIES, result)


@pytest.mark.parametrize("payload", [b"[1]", b'{"batchItemFailures":[{}]}', b'{"batchItemFailures":"x"}', b"7"])
def test_a_response_that_cannot_be_read(payload: bytes) -> None:
    """ERR-2, PBR-3, OPEN-7, OPEN-8, OPEN-9: a failed attempt."""
    assert again(Succeeded(payload), partial=True)[0].attempts == 1
    verdict = settle(Succeeded(payload), partial=True)
    assert (verdict.outcome, bool(verdict.detail)) == (InvocationOutcome.INVALID_RESPONSE, True)


def test_a_record_that_was_not_sent() -> None:
    """OPEN-7: nothing of the batch is done."""
    assert again(listing(103, 999), partial=True)[0].attempts == 1


# --- rung 4: bisect ---


@pytest.mark.parametrize("result", [BOOM, FunctionError("Timeout", "", timed_out=True)])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("retries", [None, 0, 3])
def test_a_failed_batch_is_halved_at_once(result: InvocationResult, partial: bool, retries: int | None) -> None:
    """ERR-20, ERR-25, OPEN-3, OPEN-4: before any retry, with any MaximumRetryAttempts."""
    verdict = settle(result, bisect=True, partial=partial, retries=retries)
    assert verdict.dispositions == (Bisect((A,), (B, C)),)


@pytest.mark.parametrize(("count", "first", "rest"), [(2, 1, 1), (3, 1, 2), (4, 2, 2), (5, 2, 3), (99, 49, 50)])
def test_the_sizes_of_halves(count: int, first: int, rest: int) -> None:
    """ERR-23, OPEN-5: floor(n/2) first, then the rest, in order."""
    records = some_records(*range(count))
    (halves,) = settle(BOOM, stream_batch(*records), bisect=True).dispositions
    assert halves == Bisect(records[:first], records[first:])
    assert len(records[first:]) == rest


def test_halving_stands_above_exhaustion() -> None:
    """ERR-24: a split costs nothing, so that MaximumRetryAttempts 0 discards no good record beside the bad one."""
    assert isinstance(settle(BOOM, stream_batch(A, B, attempts=9), bisect=True, retries=0).dispositions[0], Bisect)


def test_a_single_record_is_not_halved() -> None:
    """ERR-22: it uses its own attempts."""
    assert again(BOOM, stream_batch(A), bisect=True, retries=1)[0].attempts == 1


# --- rungs 5 and 6: given up, or again ---


@pytest.mark.parametrize(("retries", "calls"), [(0, 1), (1, 2), (2, 3), (3, 4), (10_000, 10_001)])
def test_the_number_of_attempts(retries: int, calls: int) -> None:
    """ERR-5: MaximumRetryAttempts N allows N + 1 invocations."""
    if calls > 1:
        assert again(BOOM, stream_batch(A, attempts=calls - 2), retries=retries)[0].attempts == calls - 1
    (last,) = settle(BOOM, stream_batch(A, attempts=calls - 1), retries=retries).dispositions
    assert last == GiveUp(stream_batch(A, attempts=calls, failed_at=NOW), DiscardReason.RETRIES, BOOM)


def test_without_a_limit_it_is_tried_for_ever() -> None:
    """ERR-4, CFG-56: MaximumRetryAttempts -1."""
    batch, wait = again(BOOM, stream_batch(A, attempts=1_000_000))
    assert (batch.attempts, wait) == (1_000_001, 30.0)


@pytest.mark.parametrize(("before", "wait"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0), (5, 30.0)])
def test_the_pauses_after_failures(before: int, wait: float) -> None:
    """ERR-6, OPEN-1: the same pauses."""
    assert again(BOOM, stream_batch(A, attempts=before))[1] == wait


def test_a_failure_ends_a_row_of_throttles() -> None:
    """ERR-1, ERR-6: the pauses of throttles begin anew after an attempt, and those of failures are not longer."""
    batch, wait = again(BOOM, stream_batch(A, not_reached=5, failed_at=1.0))
    assert (batch.attempts, batch.not_reached, batch.failed_at, wait) == (1, 0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("result", "outcome", "detail"),
    [
        (FunctionError("E", "text"), InvocationOutcome.ERROR, "E: text"),
        (FunctionError("E", ""), InvocationOutcome.ERROR, "E"),
        (FunctionError("T", "late", timed_out=True), InvocationOutcome.TIMEOUT, "T: late"),
        (BUSY, InvocationOutcome.THROTTLED, "busy"),
    ],
)
def test_the_word_for_what_happened(result: InvocationResult, outcome: InvocationOutcome, detail: str) -> None:
    """ERR-2: a function error, handled or not, a timeout."""
    verdict = settle(result)
    assert (verdict.outcome, verdict.detail) == (outcome, detail)


def test_too_large_to_be_sent() -> None:
    """ERR-8, DST-7: it spends attempts, and the document says nothing of a response."""
    assert again(BOOM, stream_batch(A), retries=1, oversize=True)[0].attempts == 1
    (given_up,) = settle(BOOM, stream_batch(A, attempts=1), retries=1, oversize=True).dispositions
    assert given_up == GiveUp(stream_batch(A, attempts=2, failed_at=NOW), DiscardReason.RETRIES, None)


def test_what_was_sent_is_not_taken_for_too_large() -> None:
    """DST-6: unless it is said, the function was invoked, and the document tells what it came to."""
    spent = stream_batch(A, attempts=1)
    (given_up,) = settle_stream(spent, BOOM, stream_mapping(retries=1), NOW, Middle()).dispositions
    assert given_up == GiveUp(stream_batch(A, attempts=2, failed_at=NOW), DiscardReason.RETRIES, BOOM)


def test_the_record_that_was_reported_is_told_by_its_place() -> None:
    """PBR-20: people count from one."""
    assert settle(listing(102), partial=True).detail == "record 2 of 3 is the first that was reported as failed"


# --- tumbling windows ---

CALL = WindowCall(1_000_000, 1_000_100, {"n": 1})
FINAL = replace(CALL, final=True)


def test_a_window_carries_its_state_on() -> None:
    """TMB-3, TMB-5: what the function returned."""
    verdict = settle(state({"n": 4}), stream_batch(*RECORDS, call=CALL))
    assert verdict.dispositions == (Ack(RECORDS, {"n": 4}),)


@pytest.mark.parametrize("payload", [b"null", b"{}", b'{"state":7}', b'{"batchItemFailures":[]}', b"no json"])
def test_a_window_without_state_has_failed(payload: bytes) -> None:
    """TMB-5, ERR-2: one attempt, also without partial responses; with bisect it is halved."""
    verdict = settle(Succeeded(payload), stream_batch(*RECORDS, call=CALL))
    assert verdict.outcome is InvocationOutcome.INVALID_RESPONSE
    assert isinstance(verdict.dispositions[0], Retry)
    halved = settle(Succeeded(payload), stream_batch(*RECORDS, call=CALL), bisect=True).dispositions
    assert halved == (Bisect((A,), (B, C)),)


def test_a_window_with_a_partial_response() -> None:
    """PBR-28: the state counts for what was done; without a state it is a failure."""
    verdict = settle(state({"n": 3}, 103), stream_batch(*RECORDS, call=CALL), partial=True)
    assert verdict.dispositions == (Ack((A, B), {"n": 3}), Rest((C,)))
    assert again(listing(103), stream_batch(*RECORDS, call=CALL), partial=True)[0].attempts == 1
    assert again(state({"n": 3}, 101), stream_batch(*RECORDS, call=CALL), partial=True)[0].attempts == 1


@pytest.mark.parametrize("payload", [b"null", b'{"state":7}', b'{"batchItemFailures":[{"itemIdentifier":"x"}]}'])
def test_the_last_call_of_a_window_needs_no_state(payload: bytes) -> None:
    """TMB-8: it has no records that a partial response could name, and nothing is carried on."""
    assert settle(Succeeded(payload), stream_batch(call=FINAL), partial=True).dispositions == (Ack(()),)


def test_the_last_call_of_a_window_is_given_up_too() -> None:
    """TMB-9: N + 1 attempts, and with bisect nothing to halve."""
    assert again(BOOM, stream_batch(call=FINAL), retries=1, bisect=True)[0].attempts == 1
    (given_up,) = settle(BOOM, stream_batch(call=FINAL, attempts=1), retries=1, bisect=True).dispositions
    assert isinstance(given_up, GiveUp)


# --- age ---


def test_age_goes_by_record() -> None:
    """ERR-12, ERR-10: recipe 3; the expired one leaves, the others stay."""
    old, *fresh = (record(n, at=float(n)) for n in range(6))
    assert too_old(stream_batch(old, *fresh), 9.5, NOW) == (((old,),), tuple(fresh))


def test_the_limit_itself_is_not_too_old() -> None:
    """ERR-10: more than the limit is."""
    batch = stream_batch(record(1, at=0.0))
    assert too_old(batch, 10.0, NOW) == ((), batch.records)
    assert too_old(batch, 9.999, NOW) == ((batch.records,), ())


def test_without_a_limit_nothing_is_too_old() -> None:
    """ERR-4: nor is a final invocation, which has no records."""
    batch = stream_batch(record(1, at=-1e6))
    assert too_old(batch, None, NOW) == ((), batch.records)
    assert too_old(stream_batch(), 1.0, NOW) == ((), ())


def test_a_run_ends_at_a_record_that_lives() -> None:
    """ERR-13: one document for each run, and arrival times need not ascend."""
    a, b, c, d, e = (record(n, at=at) for n, at in enumerate([0.0, 0.0, 9.0, 0.0, 9.0]))
    assert expired_runs((a, b, c, d, e), wall(5.0)) == ((a, b), (d,))
    assert too_old(stream_batch(a, b, c, d, e), 5.0, NOW) == (((a, b), (d,)), (c, e))


def test_at_its_very_age_a_record_is_not_too_old() -> None:
    """ERR-10: in a buffer as in a batch."""
    young, old = record("101", at=5.0), record("102", at=4.999, offset=1)
    assert expired_runs((young, old), wall(5.0)) == ((old,),)
    assert too_old(stream_batch(young, old), 5.0, NOW) == (((old,),), (young,))


@pytest.mark.parametrize(
    ("maximum", "retention", "failed", "limit"),
    [
        (None, None, True, None),
        (60.0, None, True, 60.0),
        (None, 100.0, False, None),
        (None, 100.0, True, 100.0),
        (60.0, 100.0, True, 60.0),
        (500.0, 100.0, True, 100.0),
        (500.0, 100.0, False, 500.0),
        (60.0, None, False, 60.0),
    ],
)
def test_the_limit_of_age(
    maximum: float | None, retention: float | None, failed: bool, limit: float | None
) -> None:
    """ERR-15, ERR-32, DDB-7: what the stream keeps no longer is given up as well, once it has failed."""
    settings = settings_of(stream_mapping(maximum_age=maximum))
    assert age_limit(stream_batch(A, failed_at=1.0 if failed else None), settings, retention) == limit


@pytest.mark.parametrize(
    ("failed_at", "limit", "too_late"),
    [(None, 60.0, False), (wall(-60.0), 60.0, False), (wall(-60.1), 60.0, True), (wall(-1e6), None, False)],
)
def test_the_age_of_the_last_call_of_a_window(
    failed_at: float | None, limit: float | None, too_late: bool
) -> None:
    """TMB-9: counted from its first failure; a batch with records goes by their age."""
    assert final_too_old(stream_batch(call=FINAL, failed_at=failed_at), limit, wall(0.0)) == too_late
    assert not final_too_old(stream_batch(A, call=CALL, failed_at=failed_at), limit, wall(0.0))


# --- after a restart ---


@pytest.mark.parametrize(
    ("attempts", "interrupted", "count"), [(0, 0, 0), (2, 0, 2), (0, 1, 0), (0, 2, 1), (2, 1, 2), (2, 3, 4)]
)
def test_the_first_interrupted_attempt_is_free(attempts: int, interrupted: int, count: int) -> None:
    """ERR-5: whatever runs when the power goes is no worse than the rest; who ends the process again is."""
    assert counted(stream_batch(A, attempts=attempts, interrupted=interrupted)) == count


@pytest.mark.parametrize(
    ("retries", "attempts", "interrupted", "last"),
    [
        (0, 0, 0, False),
        (0, 0, 1, True),
        (3, 0, 3, False),
        (3, 0, 4, True),
        (3, 0, 1, False),
        (3, 2, 1, False),
        (3, 3, 0, False),
        (3, 3, 1, True),
        (None, 9, 9, False),
    ],
)
def test_the_attempt_that_no_end_of_the_process_may_follow(
    retries: int | None, attempts: int, interrupted: int, last: bool
) -> None:
    """ERR-5: the one that is made alone: another end of the process, and the batch is given up."""
    batch = stream_batch(A, attempts=attempts, interrupted=interrupted)
    mapping = stream_mapping(retries=retries)
    assert last_chance(batch, settings_of(mapping)) is last
    if last:
        more = stream_batch(A, attempts=attempts, interrupted=interrupted + 1)
        assert isinstance(recovered(more, mapping), GiveUp)


@pytest.mark.parametrize(("attempts", "interrupted"), [(0, 0), (1, 0), (1, 1), (0, 2), (0, 1)])
def test_what_is_not_spent_is_invoked_again(attempts: int, interrupted: int) -> None:
    """ERR-5: with one retry left."""
    batch = stream_batch(*RECORDS, attempts=attempts, interrupted=interrupted)
    assert recovered(batch, stream_mapping(retries=1)) is None


@pytest.mark.parametrize(("attempts", "interrupted"), [(2, 0), (2, 1), (1, 2), (0, 3)])
def test_what_is_spent_is_given_up(attempts: int, interrupted: int) -> None:
    """ERR-5, ERR-30: also where only its document is missing."""
    batch = stream_batch(*RECORDS, attempts=attempts, interrupted=interrupted)
    assert recovered(batch, stream_mapping(retries=1)) == GiveUp(batch, DiscardReason.RETRIES, INTERRUPTED)


def test_an_interrupted_batch_is_halved() -> None:
    """ERR-20, ERR-22: as if it had failed; one that failed only waits for its next attempt."""
    halves = recovered(stream_batch(*RECORDS, interrupted=1), stream_mapping(retries=1, bisect=True))
    assert halves == Bisect((A,), (B, C))
    assert recovered(stream_batch(*RECORDS, attempts=1), stream_mapping(retries=1, bisect=True)) is None


@pytest.mark.parametrize(("attempts", "interrupted"), [(2, 0), (0, 2), (2, 1)])
@pytest.mark.parametrize(
    ("left", "tried", "bisect", "keeps"),
    [
        ((B,), 2, True, False),
        ((B,), 3, True, False),
        ((B,), 1, True, True),
        ((B, C), 3, True, True),
        ((B,), 2, False, True),
        ((B, C), 3, False, True),
        ((), 0, True, True),
    ],
)
def test_what_is_left_of_a_batch(
    attempts: int, interrupted: int, left: tuple[Record, ...], tried: int, bisect: bool, keeps: bool
) -> None:
    """BAT-6, ERR-12, ERR-22, ERR-24: it keeps its attempts; but with bisect a single record is not given up for
    what it never did alone. Two of three are still halved, and the final invocation of a window has no records.
    """
    batch = stream_batch(*left, attempts=attempts, interrupted=interrupted, failed_at=NOW, not_reached=1)
    rest = shrunk(batch, tried, settings_of(stream_mapping(retries=0, bisect=bisect)))
    assert rest == (batch if keeps else replace(batch, attempts=0, interrupted=0))


def test_an_interrupted_batch_without_limits() -> None:
    """ERR-4: nothing is counted where nothing is bounded."""
    assert recovered(stream_batch(A, interrupted=9), stream_mapping()) is None


def test_an_attempt_after_interruptions_counts_with_them() -> None:
    """ERR-5: the two kinds of attempts add up."""
    (given_up,) = settle(BOOM, stream_batch(A, interrupted=2), retries=1).dispositions
    assert isinstance(given_up, GiveUp)
    assert again(BOOM, stream_batch(A, interrupted=1), retries=1)[1] == 1.0
    assert settle(OK, stream_batch(A, interrupted=9), retries=0).dispositions == (Ack((A,)),)
