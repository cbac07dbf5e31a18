"""The machine of a shard as things fail: retries, halves, age, discards, partial responses (ERR, PBR, DST)."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from poller.core.messages import InvocationOutcome, Request
from poller.core.model import FunctionError, InvocationResult, NotInvoked, Throttled
from poller.core.payload import EVENT_LIMIT
from poller.core.records import DiscardReason
from poller.core.stream_messages import Discarded, DocumentSent, Fetch, Finished, Invoke, SendDocument, Settled
from tests.unit.core.stream_machine import (
    BOOM,
    BUSY,
    OK,
    QUEUE,
    Rig,
    key_in,
    listing,
    numbers,
    wire,
    wires,
)

HUGE = EVENT_LIMIT
TIMEOUT = FunctionError("Sandbox.Timedout", "", timed_out=True)


def lived(
    rig: Rig, answer: Callable[[list[int]], InvocationResult], most: int = 200
) -> tuple[list[tuple[list[int], bool]], list[list[int]]]:
    """Works until nothing is left: every invocation, and whether it succeeded, and every document."""
    seen, documents = [], []
    for _ in range(most):
        if rig.runs:
            run = rig.running[0]
            result = answer(run)
            seen.append((run, result == OK))
            rig.end(result)
        elif rig.documents:
            documents.append(numbers(rig.documents[0].discard))
            rig.sent()
        elif rig.machine.held:
            rig.bring() if rig.reads else rig.tick()
        else:
            return seen, documents
    raise AssertionError("it does not end")


def poisoned(*bad: int) -> Callable[[list[int]], InvocationResult]:
    """A function that fails with any of these."""
    return lambda run: BOOM if set(bad) & set(run) else OK


# --- retries ---


@pytest.mark.parametrize("retries", [0, 1, 2, 3])
def test_the_number_of_invocations(retries: int) -> None:
    """ERR-5, DST-6, DST-8, ERR-30: recipe 1; N + 1 invocations, one document with that count and the result."""
    rig = Rig(retries=retries, destination=QUEUE)
    rig.bring(*wires(1, 2))
    seen, documents = lived(rig, poisoned(1))
    assert seen == [([1, 2], False)] * (retries + 1)
    assert documents == [[1, 2]]
    (told,) = rig.gone
    assert (told.dropped, told.problem) == (False, "")
    discard = told.discard
    assert (discard.invocations, discard.reason, discard.result) == (retries + 1, DiscardReason.RETRIES, BOOM)
    assert (discard.request_id, discard.oversize, discard.number) == ("request", False, 1)
    assert rig.rest().place == 2


def test_the_pauses_between_attempts() -> None:
    """ERR-6, ERR-4: 1, 2, 4, 8, 16, 30, 30 seconds; the same batch for ever, and never a tight loop."""
    rig = Rig()
    rig.bring(*wires(1, 2))
    starts = []
    for _ in range(8):
        starts.append(rig.now)
        assert rig.running == [[1, 2]]
        rig.end(BOOM)
        assert rig.one(Settled).retry_in is not None
        rig.until(Invoke, 1_000)
    assert [after - before for before, after in pairwise(starts)] == [1, 2, 4, 8, 16, 30, 30]


def test_the_pauses_are_reset_by_a_success() -> None:
    """ERR-6: the next batch begins with one second."""
    rig = Rig(batch_size=1)
    rig.bring(*wires(1, 2))
    rig.end(BOOM)
    rig.until(Invoke)
    rig.end(BOOM)
    rig.until(Invoke)
    rig.end(OK)
    assert rig.running == [[2]]
    rig.end(BOOM)
    assert rig.one(Settled).retry_in == 1.0


def test_a_new_batch_after_a_failing_one_does_not_wait() -> None:
    """ERR-30: when one is given up, the next starts at once."""
    rig = Rig(batch_size=1, retries=1)
    rig.bring(*wires(1, 2))
    rig.end(BOOM)
    rig.until(Invoke)
    rig.end(BOOM)
    assert rig.running == [[2]]


def test_older_records_are_retried_before_newer_ones() -> None:
    """GEN-9, BAT-6: nothing joins a batch that failed, and nothing overtakes it."""
    rig = Rig()
    rig.bring(*wires(1), behind=1.0)
    rig.end(BOOM)
    rig.tick()
    rig.bring(*wires(2, 3))
    rig.until(Invoke)
    assert rig.running == [[1]]
    rig.end()
    assert rig.running == [[2, 3]]


@pytest.mark.parametrize("result", [Throttled("busy"), NotInvoked("away")])
def test_what_is_not_reached_spends_nothing(result: InvocationResult) -> None:
    """ERR-1, SUR-13: recipe 7; 20 throttles with N = 0 and bisect discard nothing and halve nothing."""
    rig = Rig(retries=0, bisect=True)
    rig.bring(*wires(1, 2))
    for _ in range(20):
        assert rig.running == [[1, 2]]
        rig.end(result)
        assert rig.one(Settled).outcome is InvocationOutcome.THROTTLED
        rig.until(Invoke, 1_000)
    rig.end()
    assert (rig.gone, rig.rest().place) == ([], 2)


def test_throttles_between_attempts() -> None:
    """ERR-1, ERR-5: they are not counted, in the document neither (DST-8)."""
    rig = Rig(retries=1)
    rig.bring(*wires(1))
    for result in (BUSY, BOOM, BUSY, BUSY, BOOM):
        assert rig.runs
        rig.end(result)
        if not rig.gone:
            rig.until(Invoke)
    assert rig.gone[0].discard.invocations == 2


def test_throttles_end_with_age() -> None:
    """ERR-1, ERR-32, DST-7, DST-8: no result and no request, but a count."""
    rig = Rig(retries=0, maximum_age=60.0)
    rig.bring(*wires(1))
    while rig.runs:
        rig.end(BUSY)
        while not (rig.runs or rig.gone):
            rig.bring() if rig.reads else rig.tick()
    discard = rig.gone[0].discard
    assert (discard.reason, discard.invocations, discard.result) == (DiscardReason.AGE, 0, None)
    assert discard.request_id == ""
    assert 60.0 < rig.now <= 93.0


# --- too large ---


@pytest.mark.parametrize("retries", [0, 2])
def test_a_record_that_no_event_can_hold(retries: int) -> None:
    """ERR-8, BAT-11, KIN-8: never invoked; N + 1 attempts, no response in the document, the others delivered."""
    rig = Rig(retries=retries, destination=QUEUE)
    rig.bring(*wires(1), wire(2, size=HUGE), *wires(3))
    seen, documents = lived(rig, lambda run: OK)
    assert (seen, documents) == ([([1], True), ([3], True)], [[2]])
    discard = rig.gone[0].discard
    assert (discard.invocations, discard.reason, discard.result) == (retries + 1, DiscardReason.RETRIES, None)
    assert discard.oversize
    assert rig.rest().place == 3


def test_a_record_that_no_event_can_hold_and_no_limit() -> None:
    """ERR-8: until it is too old; the lane waits, at the pace of retries."""
    rig = Rig(maximum_age=60.0, bisect=True)
    rig.bring(wire(1, size=HUGE), *wires(2, at=50.0))
    assert (rig.runs, rig.one(Settled).retry_in) == ([], 1.0)
    rig.until(Discarded, 1_000)
    assert rig.gone[0].discard.reason is DiscardReason.AGE
    assert rig.discarded == [[1]]
    assert rig.running == [[2]]
    assert 60.0 < rig.now <= 95.0


def test_too_large_after_a_restart() -> None:
    """ERR-8, DST-7: what was spent before the document was accepted has no response in it either."""
    rig = Rig(retries=0, destination=QUEUE, guarded=True)
    rig.bring(wire(1, size=HUGE))
    later = rig.again()
    later.bring(wire(1, size=HUGE))
    assert later.one(SendDocument).discard.oversize
    assert later.runs == []


@pytest.mark.parametrize("more", [0, EVENT_LIMIT])
def test_a_record_that_an_event_can_hold_after_a_restart(more: int) -> None:
    """DST-6, DST-7: what it failed with stays in its document, also where its event has just the size allowed."""
    small = Rig()
    small.bring(wire(1, size=0))
    record = wire(1, size=max(0, more - small.runs[0].batch.size))
    rig = Rig(retries=0, destination=QUEUE, guarded=True)
    rig.bring(record)
    assert rig.running == [[1]]
    rig.end(BOOM)
    later = rig.again()
    later.bring(record)
    assert not later.one(SendDocument).discard.oversize


# --- bisect ---


def test_eight_records_and_one_is_poison() -> None:
    """ERR-20, ERR-21, ERR-22, ERR-23, ERR-24: recipe 4, invocation by invocation."""
    rig = Rig(retries=2, bisect=True, destination=QUEUE)
    rig.bring(*wires(*range(1, 9)))
    seen, documents = lived(rig, poisoned(6))
    assert seen == [
        ([1, 2, 3, 4, 5, 6, 7, 8], False),
        ([1, 2, 3, 4], True),
        ([5, 6, 7, 8], False),
        ([5, 6], False),
        ([5], True),
        ([6], False),
        ([6], False),
        ([6], False),
        ([7, 8], True),
    ]
    assert documents == [[6]]
    assert rig.gone[0].discard.invocations == 3
    assert rig.rest().place == 8


def test_halving_happens_at_once() -> None:
    """ERR-20: only a single record is tried again after a pause."""
    rig = Rig(retries=0, bisect=True)
    rig.bring(*wires(*range(1, 9)))
    seen, _ = lived(rig, poisoned(6))
    assert [run for run, _ in seen] == [
        [1, 2, 3, 4, 5, 6, 7, 8],
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [5, 6],
        [5],
        [6],
        [7, 8],
    ]
    assert rig.now == 0.0
    assert rig.discarded == [[6]]


@pytest.mark.parametrize("size", [2, 7, 64, 100])
@pytest.mark.parametrize("retries", [0, 3])
def test_about_the_logarithm_of_splits(size: int, retries: int) -> None:
    """ERR-24: every other record succeeds, once."""
    for bad in {1, size // 2, size}:
        rig = Rig(retries=retries, bisect=True)
        rig.bring(*wires(*range(1, size + 1)))
        seen, _ = lived(rig, poisoned(bad))
        failed = [run for run, succeeded in seen if not succeeded]
        single = [run for run in failed if run == [bad]]
        assert len(single) == retries + 1
        assert len(failed) - len(single) <= (size - 1).bit_length()
        assert sorted(n for run, succeeded in seen if succeeded for n in run) == [
            n for n in range(1, size + 1) if n != bad
        ]
        assert rig.discarded == [[bad]]


def test_halves_do_not_share_attempts() -> None:
    """ERR-22: each record that is poison has N + 1 of its own."""
    rig = Rig(retries=1, bisect=True)
    rig.bring(*wires(1, 2))
    seen, _ = lived(rig, poisoned(1, 2))
    assert [run for run, _ in seen] == [[1, 2], [1], [1], [2], [2]]
    assert [told.discard.invocations for told in rig.gone] == [2, 2]


def test_the_next_batch_is_of_full_size() -> None:
    """ERR-26."""
    rig = Rig(retries=0, bisect=True, batch_size=4)
    rig.bring(*wires(*range(1, 9)))
    seen, _ = lived(rig, poisoned(2))
    assert seen[-1] == ([5, 6, 7, 8], True)


def test_halves_of_what_is_only_slow() -> None:
    """ERR-27: a timeout needs no bad record."""
    rig = Rig(bisect=True)
    rig.bring(*wires(*range(1, 9)))
    seen, _ = lived(rig, lambda run: TIMEOUT if len(run) > 2 else OK)
    assert [run for run, succeeded in seen if succeeded] == [[1, 2], [3, 4], [5, 6], [7, 8]]


def test_a_throttled_half_keeps_its_place() -> None:
    """ERR-21, ERR-1: the second half waits for the first, however that is delayed."""
    rig = Rig(bisect=True)
    rig.bring(*wires(1, 2, 3, 4))
    rig.end(BOOM)
    rig.end(BUSY)
    assert rig.runs == []
    rig.until(Invoke)
    assert rig.running == [[1, 2]]
    rig.end()
    assert rig.running == [[3, 4]]


# --- partial responses ---


def test_a_record_that_is_reported_for_ever() -> None:
    """PBR-22, PBR-25, PBR-26, DST-8: recipe 2; five sightings of c, one of a and b; count 4, no function error."""
    rig = Rig(retries=3, partial=True, destination=QUEUE)
    rig.bring(*wires(1, 2, 3))
    seen, documents = lived(rig, lambda run: listing(3))
    assert [run for run, _ in seen] == [[1, 2, 3], [3], [3], [3], [3]]
    assert documents == [[3]]
    discard = rig.gone[0].discard
    assert (discard.invocations, discard.result, len(discard.batch.records)) == (4, listing(3), 1)
    assert rig.rest().place == 3


def test_the_rest_is_invoked_at_once() -> None:
    """PBR-20, PBR-25, STR-30: what stands before the lowest is done and the position moves there."""
    rig = Rig(partial=True)
    rig.bring(*wires(1, 2, 3, 4))
    rig.end(listing(4, 3))
    assert (rig.running, rig.now, rig.place) == ([[3, 4]], 0.0, 2)
    told = rig.one(Settled)
    assert (told.succeeded, told.failed, told.retry_in) == (2, 2, 0.0)
    assert told.outcome is InvocationOutcome.PARTIAL


def test_the_rest_has_attempts_of_its_own() -> None:
    """PBR-22: also after attempts that made no progress (PBR-23)."""
    rig = Rig(partial=True, retries=1)
    rig.bring(*wires(1, 2))
    rig.end(listing(1))
    rig.until(Invoke)
    rig.end(listing(2))
    assert rig.running == [[2]]
    rig.end(BOOM)
    assert rig.gone == []
    rig.until(Invoke)
    rig.end(BOOM)
    assert rig.discarded == [[2]]
    assert rig.gone[0].discard.invocations == 2


def test_partial_and_bisect() -> None:
    """PBR-24, PBR-23: recipe 5; cut at the listed record, and halved where it is the first."""
    rig = Rig(partial=True, bisect=True, retries=0)
    rig.bring(*wires(*range(1, 11)))
    seen, _ = lived(rig, lambda run: listing(7) if 7 in run else OK)
    assert [run for run, _ in seen] == [[*range(1, 11)], [7, 8, 9, 10], [7, 8], [7], [8], [9, 10]]
    assert rig.discarded == [[7]]


def test_a_partial_success_of_a_half() -> None:
    """PBR-22, ERR-21: what is left of the first half comes before the second."""
    rig = Rig(partial=True, bisect=True)
    rig.bring(*wires(1, 2, 3, 4))
    rig.end(BOOM)
    rig.end(listing(2))
    assert rig.running == [[2]]
    rig.end()
    assert rig.running == [[3, 4]]


def test_records_that_come_after_a_partial_failure() -> None:
    """BAT-6: they do not join what is left."""
    rig = Rig(partial=True, retries=1)
    rig.bring(*wires(1, 2), behind=1.0)
    rig.tick()
    rig.bring(*wires(3))
    rig.end(listing(2))
    assert rig.running == [[2]]
    rig.end()
    assert rig.running == [[3]]


# --- age ---


def test_one_expired_and_five_fresh() -> None:
    """ERR-10, ERR-11, ERR-12, ERR-13, DST-7, DST-8: recipe 3."""
    rig = Rig(maximum_age=60.0, retries=0, destination=QUEUE)
    rig.at(100.0).bring(*wires(1, at=20.0), *wires(2, 3, 4, 5, 6, at=95.0))
    assert rig.runs == []
    discard = rig.one(SendDocument).discard
    assert (numbers(discard), discard.reason, discard.result) == ([1], DiscardReason.AGE, None)
    assert (discard.invocations, discard.request_id, discard.number, discard.oversize) == (0, "", 1, False)
    rig.sent()
    assert rig.running == [[2, 3, 4, 5, 6]]
    rig.end()
    assert rig.rest().place == 6


def test_an_old_backlog() -> None:
    """ERR-13, ERR-33: one document for each run of expired records, handed over one after the other."""
    rig = Rig(maximum_age=60.0, destination=QUEUE)
    rig.at(100.0)
    rig.bring(*wires(1, 2, at=1.0), *wires(3, at=99.0), *wires(4, at=2.0), *wires(5, at=99.0))
    assert [numbers(one.discard) for one in rig.documents] == [[1, 2]]
    rig.sent()
    assert [numbers(one.discard) for one in rig.documents] == [[4]]
    assert rig.runs == []
    rig.sent()
    assert rig.running == [[3, 5]]
    rig.end()
    assert rig.rest().place == 5


def test_documents_of_a_lane_go_in_order() -> None:
    """ERR-33: the oldest first, each when the one before was accepted."""
    rig = Rig(maximum_age=60.0, destination=QUEUE)
    rig.at(100.0)
    rig.bring(*(wire(n, at=1.0 if n % 2 else 99.0) for n in range(1, 8)))
    told = []
    while rig.documents:
        (order,) = rig.documents
        told.append(numbers(order.discard))
        rig.sent()
    assert told == [[1], [3], [5], [7]]
    assert rig.running == [[2, 4, 6]]


def test_age_is_looked_at_before_every_attempt() -> None:
    """ERR-10, ERR-11, ERR-12: the expired leave the batch, the others stay in it, with its attempts."""
    rig = Rig(maximum_age=60.0, retries=10, destination=QUEUE)
    rig.at(58.5).bring(*wires(1, at=0.0), *wires(2, at=58.0))
    rig.end(BOOM)
    rig.until(Invoke)
    assert (rig.now, rig.running) == (59.5, [[1, 2]])
    rig.end(BOOM)
    rig.until(SendDocument)
    assert rig.now == 61.5
    discard = rig.documents[0].discard
    assert (numbers(discard), discard.reason, discard.invocations) == ([1], DiscardReason.AGE, 2)
    assert (discard.result, discard.request_id) == (None, "")
    rig.sent()
    assert rig.running == [[2]]
    assert rig.runs[0].batch.attempts == 2


def test_whichever_limit_is_reached_first() -> None:
    """ERR-32: the condition names it."""
    rig = Rig(maximum_age=60.0, retries=2)
    rig.bring(*wires(1))
    lived(rig, poisoned(1))
    slow = Rig(maximum_age=60.0, retries=100)
    slow.bring(*wires(1))
    lived(slow, poisoned(1))
    assert [told.discard.reason for told in (*rig.gone, *slow.gone)] == [DiscardReason.RETRIES, DiscardReason.AGE]


def test_age_while_a_window_is_open() -> None:
    """ERR-14: the decision waits for no window, and the timer for it comes when it is due, not before."""
    rig = Rig(maximum_age=60.0, window=300.0)
    rig.at(30.0).bring(*wires(1, at=0.0), *wires(2, at=29.0))
    rig.until(Discarded, 1_000)
    assert rig.discarded == [[1]]
    assert 60.0 < rig.now < 60.01
    rig.until(Discarded, 1_000)
    assert rig.discarded == [[1], [2]]
    assert 89.0 < rig.now < 89.01
    assert rig.rest().place == 2


def test_the_same_second_is_not_too_old() -> None:
    """ERR-10: the limit itself is allowed."""
    rig = Rig(maximum_age=60.0)
    rig.at(60.0).bring(*wires(1, at=0.0))
    assert rig.running == [[1]]


def test_what_the_stream_keeps_no_longer() -> None:
    """ERR-15, ERR-4, KIN-7: a batch that fails until then is given up as too old; its lane goes on."""
    rig = Rig(retention=120.0, destination=QUEUE)
    rig.bring(*wires(1, at=0.0), behind=1.0)
    rig.tick()
    rig.bring(*wires(2, at=50.0))
    while not rig.documents:
        if rig.runs:
            rig.end(BOOM)
        else:
            rig.bring() if rig.reads else rig.tick()
    assert rig.documents[0].discard.reason is DiscardReason.AGE
    assert 120.0 < rig.now <= 160.0
    rig.sent()
    assert rig.running == [[2]]


def test_what_was_read_in_time_is_delivered() -> None:
    """ERR-15: a record that is older than the retention and has not failed."""
    rig = Rig(retention=120.0)
    rig.at(500.0).bring(*wires(1, at=0.0))
    assert rig.running == [[1]]


# --- discards ---


def test_the_position_waits_for_the_document() -> None:
    """ERR-33: nor does the lane go on; the discard is told when it is over."""
    rig = Rig(retries=0, batch_size=1, destination=QUEUE)
    rig.bring(*wires(1, 2))
    rig.end(BOOM)
    assert (rig.runs, rig.gone, rig.place) == ([], [], None)
    rig.tick()
    rig.at(50.0).bring()
    assert (rig.runs, rig.gone, rig.place) == ([], [], None)
    rig.sent()
    assert (rig.running, rig.discarded, rig.place) == ([[2]], [[1]], 1)


def test_a_document_that_is_refused() -> None:
    """DST-30, ERR-33: finally; the records are dropped, and the shard moves on."""
    rig = Rig(retries=0, batch_size=1, destination=QUEUE)
    rig.bring(*wires(1, 2))
    rig.end(BOOM)
    rig.sent("AccessDenied")
    told = rig.one(Discarded)
    assert (told.dropped, told.problem, numbers(told.discard)) == (True, "AccessDenied", [1])
    assert (rig.running, rig.place) == ([[2]], 1)


def test_without_a_destination() -> None:
    """ERR-31: told, and the position passes at once."""
    rig = Rig(retries=0, batch_size=1)
    rig.bring(*wires(1, 2))
    rig.end(BOOM)
    told = rig.one(Discarded)
    assert (told.dropped, told.problem) == (True, "")
    assert (rig.running, rig.place, rig.documents) == ([[2]], 1, [])


def test_documents_of_two_lanes() -> None:
    """ERR-33, STR-42: each lane waits for its own; the position for both."""
    rig = Rig(retries=0, batch_size=1, lanes=2, destination=QUEUE)
    one, two = key_in(0, 2), key_in(1, 2)
    rig.bring(wire(1, key=one), wire(2, key=two), wire(3, key=two), wire(4, key=one))
    rig.end(BOOM)
    rig.end(BOOM)
    assert [numbers(order.discard) for order in rig.documents] == [[1], [2]]
    assert [order.discard.number for order in rig.documents] == [1, 2]
    rig.documents.reverse()
    rig.at(1.0).sent()
    assert (rig.running, rig.place) == ([[3]], None)
    rig.at(2.5).end()
    assert rig.place is None
    rig.at(4.0).sent()
    assert (rig.running, rig.place) == ([[4]], 3)


def test_an_answer_to_another_document() -> None:
    """ERR-33: changes nothing."""
    rig = Rig(retries=0, destination=QUEUE)
    rig.bring(*wires(1))
    rig.end(BOOM)
    (order,) = rig.documents
    rig.sent()
    rig.documents.append(order)
    assert rig.sent() == []
    assert rig.discarded == [[1]]


def test_answers_out_of_order() -> None:
    """ERR-33: the document that was sent is the one that is answered."""
    rig = Rig(maximum_age=60.0, destination=QUEUE)
    rig.at(100.0).bring(*wires(1, at=0.0), *wires(2, at=99.0), *wires(3, at=0.0))
    (first,) = rig.documents
    rig.sent()
    assert rig.feed(DocumentSent(first.discard)) == []
    assert rig.discarded == [[1]]
    rig.sent()
    assert rig.discarded == [[1], [3]]


def test_a_lane_is_not_blocked_any_more() -> None:
    """ERR-30: after a success, of a part too, and after a discard."""
    rig = Rig(batch_size=2, retries=1, partial=True)
    rig.bring(*wires(1, 2, 3, 4))
    rig.end(BOOM)
    assert rig.machine.gauges().blocked_since == 0.0
    rig.until(Invoke)
    rig.end(BOOM)
    assert rig.running == [[3, 4]]
    assert rig.machine.gauges().blocked_since is None
    rig.end(BUSY)
    assert rig.machine.gauges().blocked_since == 1.0
    rig.until(Invoke)
    rig.end(listing(4))
    assert rig.machine.gauges().blocked_since is None


def test_a_lane_is_blocked_while_its_halves_are_tried() -> None:
    """ERR-20: since the failure of the whole; until the first half has succeeded."""
    rig = Rig(bisect=True)
    rig.bring(*wires(1, 2, 3, 4))
    rig.at(5.0).end(BOOM)
    assert rig.running == [[1, 2]]
    assert rig.machine.gauges().blocked_since == 5.0
    rig.at(6.0).end()
    assert rig.machine.gauges().blocked_since is None


def test_an_answer_to_another_invocation() -> None:
    """GEN-2: changes nothing."""
    rig = Rig(batch_size=1)
    rig.bring(*wires(1, 2))
    late = rig.runs[0]
    rig.end()
    rig.runs.append(late)
    assert rig.end(BOOM, run=1) == []
    assert rig.running == [[2]]


def test_what_is_told_of_each_invocation() -> None:
    """MET-3, MET-4: how many records succeeded and failed, and what follows."""
    rig = Rig(retries=1, bisect=True, partial=True)
    rig.bring(*wires(1, 2, 3))
    batch = rig.runs[0].batch
    rig.end(BOOM)
    assert rig.one(Settled) == Settled(batch, InvocationOutcome.ERROR, 0, 3, "Boom: no", 0.0, bisected=True)
    batch = rig.runs[0].batch
    rig.end(TIMEOUT)
    assert rig.one(Settled) == Settled(batch, InvocationOutcome.TIMEOUT, 0, 1, "Sandbox.Timedout", 1.0)
    rig.until(Invoke)
    batch = rig.runs[0].batch
    rig.end(BOOM)
    assert rig.one(Settled) == Settled(batch, InvocationOutcome.ERROR, 0, 1, "Boom: no")
    batch = rig.runs[0].batch
    rig.end()
    assert rig.one(Settled) == Settled(batch, InvocationOutcome.SUCCESS, 2, 0, "")
    assert rig.one(Settled).bisected is False


def test_a_shard_that_ends_with_a_failing_batch() -> None:
    """STR-2, STR-4: recipe 8; it has not ended before its last record is resolved, its document included."""
    rig = Rig(retries=1, destination=QUEUE)
    rig.bring(*wires(1), iterator=None)
    rig.end(BOOM)
    assert rig.finished is None
    rig.until(Invoke)
    rig.end(BOOM)
    assert rig.finished is None
    rig.sent()
    assert rig.one(Finished).ended
    assert rig.place == 1


def test_reading_goes_on_behind_a_failing_batch() -> None:
    """STR-27: up to its bound."""
    rig = Rig()
    rig.bring(*wires(1), behind=1.0)
    rig.end(BOOM)
    rig.until(Fetch)
    rig.bring(*wires(2), behind=1.0)
    rig.until(Fetch)
    assert rig.machine.held == 2


def test_the_batch_is_the_same_each_time() -> None:
    """BAT-6, ERR-7: the same records in the same order, under the same number."""
    rig = Rig()
    rig.bring(*wires(1, 2, 3))
    first: Any = rig.runs[0].batch
    for _ in range(3):
        rig.end(BOOM)
        rig.until(Invoke)
        again = rig.runs[0].batch
        assert (again.number, again.records, again.size) == (first.number, first.records, first.size)


def test_what_has_its_age_to_the_second_is_delivered() -> None:
    """ERR-10, ERR-14: only what is older is given up, also while it waits for its window; nothing is left out."""
    rig = Rig(maximum_age=60, window=300.0, now=100.0)
    rig.bring(wire(1, at=39.0), wire(2, at=40.0), wire(3, at=41.0), behind=None)
    assert rig.discarded == [[1]]
    rig.ask(Request.DRAIN)
    rig.until(Invoke)
    gone = [number for discard in rig.discarded for number in discard]
    assert sorted([*gone, *rig.running[0]]) == [1, 2, 3]


@pytest.mark.parametrize("over", [0, 1])
def test_an_event_of_just_the_size_that_is_allowed(over: int) -> None:
    """ERR-8, BAT-1: is invoked; one byte more is too large."""
    small = Rig(retries=0)
    small.bring(wire(1, size=1_000))
    room = EVENT_LIMIT - small.runs[0].batch.size
    rig = Rig(retries=0)
    rig.bring(wire(1, size=1_000 + room + over))
    assert (rig.running, rig.discarded) == (([], [[1]]) if over else ([[1]], []))


def test_several_records_of_just_the_size_that_is_allowed() -> None:
    """BAT-1, BAT-2: go together."""
    small = Rig()
    small.bring(wire(1, size=1_000), wire(2, size=1_000))
    rig = Rig()
    rig.bring(wire(1, size=1_000), wire(2, size=1_000 + EVENT_LIMIT - small.runs[0].batch.size))
    assert rig.running == [[1, 2]]
    assert rig.runs[0].batch.size == 6_291_456
