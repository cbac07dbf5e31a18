"""When a batch closes, to the byte and to the second (BAT)."""

import pytest

from poller.core.batcher import Batcher, shrunk
from poller.core.model import BatchTrigger
from poller.core.payload import EVENT_LIMIT, event_size
from tests.unit.core.machine import batch, ids, message


def some(count: int, first: int = 1) -> list:
    return [message(f"m{place}") for place in range(first, first + count)]


def test_without_a_window_what_is_there_goes_at_once() -> None:
    """BAT-3, BAT-8: one receive is one batch, be it a single record."""
    batcher = Batcher(10, 0.0)
    (first,) = batcher.add(some(10), 1.0)
    (second,) = batcher.add(some(1, 11), 2.0)
    assert (first.trigger, len(first.messages), first.opened_at) == (BatchTrigger.SIZE, 10, 1.0)
    assert (second.trigger, ids(second.messages), second.opened_at) == (BatchTrigger.IMMEDIATE, ["m11"], 2.0)
    assert batcher.count == batcher.size == 0
    assert batcher.opened_at is None
    assert (first.number, second.number) == (1, 2)


def test_without_a_window_a_receive_is_cut_by_size() -> None:
    """BAT-1: (a) BatchSize records close a batch, the rest does not wait (BAT-3)."""
    batches = Batcher(4, 0.0).add(some(10), 0.0)
    assert [ids(one.messages) for one in batches] == [
        ["m1", "m2", "m3", "m4"],
        ["m5", "m6", "m7", "m8"],
        ["m9", "m10"],
    ]


def test_with_a_window_several_receives_fill_a_batch() -> None:
    """BAT-8, BAT-1, BAT-6: receives gather up to BatchSize, in order; what is over opens the next."""
    batcher = Batcher(25, 5.0)
    assert batcher.add(some(10), 0.0) == []
    assert batcher.add(some(10, 11), 1.0) == []
    assert (batcher.count, batcher.opened_at) == (20, 0.0)
    (full,) = batcher.add(some(10, 21), 2.0)
    assert ids(full.messages) == [f"m{place}" for place in range(1, 26)]
    assert full.trigger is BatchTrigger.SIZE
    assert (batcher.count, batcher.opened_at) == (5, 2.0)


def test_a_window_that_is_looked_at_late_is_over() -> None:
    """BAT-1: (b) the machine need not come at the very second."""
    batcher = Batcher(10, 5.0)
    assert batcher.add(some(1), 0.0) == []
    closed = batcher.close_due(7.5, 0.0)
    assert closed is not None
    assert closed.trigger is BatchTrigger.WINDOW


def test_the_first_receipt_to_run_out_is_the_batchs() -> None:
    """SQS-23: wherever it stands in the batch."""
    for leases in ([30.0, 20.0, 40.0], [20.0, 30.0, 40.0], [40.0, 30.0, 20.0], [20.0, 20.0, 20.0]):
        messages = [message(f"m{place}", lease_until=until) for place, until in enumerate(leases)]
        (made,) = Batcher(10, 0.0).add(messages, 0.0)
        assert made.lease_until == 20.0


def test_the_window_ends_to_the_second() -> None:
    """BAT-1: (b) the window is over; not a moment before."""
    batcher = Batcher(100, 5.0)
    batcher.add(some(3), 10.0)
    assert batcher.due(0.0) == 15.0
    assert batcher.close_due(14.999, 0.0) is None
    closed = batcher.close_due(15.0, 0.0)
    assert closed is not None
    assert (closed.trigger, ids(closed.messages), closed.opened_at) == (
        BatchTrigger.WINDOW,
        ["m1", "m2", "m3"],
        10.0,
    )


def test_the_window_begins_with_the_record_or_the_slot_whichever_is_later() -> None:
    """BAT-4: on a busy mapping the window begins when an invocation has ended."""
    batcher = Batcher(100, 5.0)
    batcher.add(some(1), 10.0)
    assert batcher.due(slot_free_since=2.0) == 15.0
    assert batcher.due(slot_free_since=12.0) == 17.0
    assert batcher.close_due(16.0, slot_free_since=12.0) is None


def test_an_empty_window_closes_silently() -> None:
    """BAT-4: no records, no batch and no deadline."""
    batcher = Batcher(100, 5.0)
    assert batcher.due(0.0) is None
    assert batcher.close_due(1000.0, 0.0) is None
    assert batcher.flush() is None


def test_a_flush_takes_what_is_there() -> None:
    """BAT-4: the end of the mapping or of its queue does not wait for a window."""
    batcher = Batcher(100, 300.0)
    batcher.add(some(2), 0.0)
    flushed = batcher.flush()
    assert flushed is not None
    assert (flushed.trigger, len(flushed.messages)) == (BatchTrigger.STOP, 2)
    assert batcher.count == 0


@pytest.mark.parametrize("window", [0.0, 5.0])
@pytest.mark.parametrize(("over", "batches"), [(0, [2]), (1, [1, 1])])
def test_the_limit_of_bytes_is_exact(over: int, batches: list[int], window: float) -> None:
    """BAT-2, BAT-1: (c) an event of 6,291,456 bytes goes, one more byte would be too many."""
    envelope = event_size([0, 0])
    first, second = message("a", size=3_000_000), message("b", size=EVENT_LIMIT - 3_000_000 - envelope + over)
    batcher = Batcher(10, window)
    closed = batcher.add([first, second], 0.0)
    if (last := batcher.flush()) is not None:
        closed.append(last)
    assert [len(one.messages) for one in closed] == batches
    assert all(one.size == event_size([part.size for part in one.messages]) for one in closed)
    assert all(one.size <= EVENT_LIMIT for one in closed)


def test_bytes_close_a_batch_before_its_window() -> None:
    """BAT-1, BAT-2: (c) holds with a window as well, and nothing is lost at the seam."""
    batcher = Batcher(10_000, 5.0)
    closed = [one for place in range(20) for one in batcher.add([message(f"m{place}", size=1_000_000)], 0.0)]
    assert [one.trigger for one in closed] == [BatchTrigger.BYTES] * 3
    last = batcher.flush()
    assert last is not None
    assert [len(one.messages) for one in (*closed, last)] == [6, 6, 6, 2]
    assert last.size == event_size([1_000_000] * 2)


def test_a_single_record_above_the_limit_is_a_batch_of_its_own() -> None:
    """BAT-11: it takes nobody with it."""
    monster = message("monster", size=EVENT_LIMIT)
    closed = Batcher(10, 0.0).add([message("a"), monster, message("b")], 0.0)
    assert [ids(one.messages) for one in closed] == [["a"], ["monster"], ["b"]]


def test_a_batch_may_shrink() -> None:
    """BAT-6: the order stays, the bytes are counted anew."""
    whole = batch(message("a", size=10), message("b", size=20), message("c", size=30))
    a, _, c = whole.messages
    less = shrunk(whole, (a, c))
    assert (ids(less.messages), less.size, less.number) == (["a", "c"], event_size([10, 30]), whole.number)
    assert shrunk(whole, whole.messages) is whole
