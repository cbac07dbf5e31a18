"""A lane keeps things in order, and says what has to be known of it (STR-40, STR-42, ERR-5)."""

import pytest

from poller.core.records import Discard, DiscardReason, Head, StreamBatch
from poller.core.stream_forming import waits
from poller.core.stream_lane import Lane
from tests.unit.core.stream_machine import some_records, stream_batch

LEFT = Head(0, "5", "6", 2, 1, 0, None, running=False)


def lane_of(head: Head | None = None) -> Lane:
    return Lane(0, 10, 0.0, head, None)


def batch(*sequences: int, **fields: int) -> StreamBatch:
    return stream_batch(*some_records(*sequences), **fields)


def discard(*sequences: int) -> Discard:
    return Discard(1, batch(*sequences, attempts=1), DiscardReason.RETRIES, 0.0, 1, None, "")


def test_a_lane_is_empty_when_nothing_is_anywhere_in_it() -> None:
    """STR-2: the end of a shard waits for all of it."""
    assert lane_of().empty
    running, queued, buffered, sending, guarded = (lane_of() for _ in range(5))
    running.running = batch(1)
    queued.queue.append(batch(1))
    buffered.buffer.add(some_records(1), 0.0)
    sending.sending.append(discard(1))
    guarded.guard = 0
    assert not any(lane.empty for lane in (running, queued, buffered, sending, guarded))
    assert [lane.busy for lane in (running, queued, buffered, sending, guarded)] == [
        True, False, False, True, True
    ]  # fmt: skip


def test_the_oldest_record_may_be_anywhere() -> None:
    """STR-42: in the buffer only, or before what is in it."""
    lane = lane_of()
    assert lane.oldest() is None
    lane.buffer.add(some_records(9), 0.0)
    assert lane.oldest() == "9"
    lane = lane_of()
    lane.sending.append(discard(3, 4))
    assert lane.oldest() == "3"


@pytest.mark.parametrize(("attempts", "interrupted"), [(1, 0), (0, 1)])
def test_what_fails_now_is_remembered_in_the_place_of_what_failed_before(attempts: int, interrupted: int) -> None:
    """ERR-5: attempts of either kind; a batch that has none says nothing."""
    lane = lane_of(LEFT)
    lane.running = batch(1, 2)
    assert lane.remembered(counted=True) is LEFT
    lane.running = batch(1, 2, attempts=attempts, interrupted=interrupted)
    assert lane.remembered(counted=True) == Head(0, "1", "2", 2, attempts, interrupted, None, running=True)


@pytest.mark.parametrize("counted", [True, False])
def test_a_last_call_is_remembered_from_its_first_failure_on(counted: bool) -> None:
    """TMB-9, ERR-1: also where that was no attempt; before it there is nothing to say."""
    lane = lane_of()
    lane.queue.append(stream_batch())
    assert lane.remembered(counted=counted) is None
    lane.queue[0] = stream_batch(failed_at=5.0)
    assert lane.remembered(counted=counted) == Head(0, "", "", 0, 0, 0, 5.0, running=False)


def test_attempts_are_forgotten_where_nothing_bounds_them() -> None:
    """ERR-4, TMB-9: of a last call its age is left, of records nothing."""
    last = Head(0, "", "", 0, attempts=2, interrupted=1, failed_at=5.0, running=True)
    assert lane_of(last).remembered(counted=True) is last
    assert lane_of(last).remembered(counted=False) == Head(0, "", "", 0, 0, 0, 5.0, running=False)
    assert lane_of(LEFT).remembered(counted=False) is None


def test_what_is_given_up_first_is_remembered() -> None:
    """ERR-33: its document is not accepted; those behind it begin with it."""
    lane = lane_of()
    lane.sending.extend([discard(1), discard(2)])
    told = lane.remembered(counted=True)
    assert told is not None
    assert (told.first, told.running) == ("1", False)


def test_only_a_batch_whose_records_are_not_all_read_waits() -> None:
    """STR-27, BAT-6: then a read may exceed what may be buffered; where it is complete none may."""
    lane = lane_of(LEFT)
    assert not waits(lane)
    lane.buffer.add(some_records(5), 0.0)
    lane.read_to = 5
    assert waits(lane)
    lane.buffer.add(some_records(6), 0.0)
    lane.read_to = 6
    assert not waits(lane)
    assert not waits(lane_of())
