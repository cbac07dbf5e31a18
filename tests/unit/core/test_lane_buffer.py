"""From the buffer of a lane to the next batch, to the byte and to the second (BAT)."""

import orjson
import pytest

from poller.core.batcher import Cut, LaneBuffer
from poller.core.model import BatchTrigger
from poller.core.payload import EVENT_LIMIT
from poller.core.records import Record
from tests.unit.core.stream_machine import numbers, record, some_records, wall

OVERHEAD = len(orjson.dumps({"Records": []}))


def buffer_of(*records: Record, size: int = 10, window: float = 0.0, now: float = 0.0) -> LaneBuffer:
    buffer = LaneBuffer(size, window)
    if records:
        buffer.add(records, now)
    return buffer


def cut(
    buffer: LaneBuffer, now: float = 0.0, *, free_since: float = 0.0, flush: bool = False, **more: object
) -> Cut:
    made = buffer.cut(now, free_since, OVERHEAD, flush=flush, **more)
    assert made is not None
    return made


def no_cut(buffer: LaneBuffer, now: float = 0.0, *, free_since: float = 0.0) -> bool:
    return buffer.cut(now, free_since, OVERHEAD, flush=False) is None


def check(buffer: LaneBuffer) -> None:
    """The buffer's own sums."""
    records = tuple(buffer)
    assert len(buffer) == len(records)
    assert buffer.size == sum(one.size for one in records)
    assert sum(count for count, _ in buffer._chunks) == len(records)
    assert buffer.first == (records[0] if records else None)
    assert (buffer.due(0.0) is None) == (not records)


def test_an_empty_buffer() -> None:
    """BAT-4: nothing is due, and no batch without records is cut."""
    buffer = buffer_of(window=5.0)
    check(buffer)
    assert buffer.oldest_arrival() is None
    assert buffer.cut(1e9, 0.0, OVERHEAD, flush=True) is None


def test_without_a_window_what_is_there_goes() -> None:
    """BAT-3: also a single record."""
    buffer = buffer_of(*some_records(1), now=3.0)
    made = cut(buffer, 4.0)
    assert (numbers(made.records), made.trigger, made.opened_at) == ([1], BatchTrigger.IMMEDIATE, 3.0)
    check(buffer)


def test_a_window_that_is_looked_at_late_is_over() -> None:
    """BAT-1, BAT-4: the machine need not come at the very second."""
    made = cut(buffer_of(*some_records(1), window=5.0), 7.5)
    assert (numbers(made.records), made.trigger) == ([1], BatchTrigger.WINDOW)


def test_a_bound_that_is_not_reached_waits_for_the_window() -> None:
    """BAT-6: only what ends at the bound is complete."""
    buffer = buffer_of(*some_records(1, 2), window=5.0)
    assert buffer.cut(0.0, 0.0, OVERHEAD, flush=False, most=3) is None
    assert numbers(cut(buffer, most=2).records) == [1, 2]


@pytest.mark.parametrize(("over", "fitting"), [(0, 3), (1, 2)])
def test_the_commas_of_several_records_are_counted(over: int, fitting: int) -> None:
    """BAT-2, BAT-1: (c) three records have two of them."""
    last = EVENT_LIMIT - OVERHEAD - 2 - 2_000_000 + over
    sizes = [1_000_000, 1_000_000, last]
    made = cut(buffer_of(*[record(n, offset=n, size=size) for n, size in enumerate(sizes)]))
    assert len(made.records) == fitting


def test_one_read_becomes_several_batches() -> None:
    """BAT-7, BAT-1: in order, without another read; (a) BatchSize."""
    buffer = buffer_of(*some_records(*range(1, 26)))
    made = [cut(buffer) for _ in range(3)]
    assert [numbers(one.records) for one in made] == [
        list(range(1, 11)),
        list(range(11, 21)),
        list(range(21, 26)),
    ]
    assert [one.trigger for one in made] == [BatchTrigger.SIZE, BatchTrigger.SIZE, BatchTrigger.IMMEDIATE]
    check(buffer)


def test_the_window_ends_to_the_second() -> None:
    """BAT-1, BAT-4: (b) the window is over, counted from the first record."""
    buffer = buffer_of(*some_records(1, 2), window=5.0, now=10.0)
    buffer.add(some_records(3), 14.0)
    assert buffer.due(0.0) == 15.0
    assert no_cut(buffer, 14.999)
    made = cut(buffer, 15.0)
    assert (numbers(made.records), made.trigger, made.opened_at) == ([1, 2, 3], BatchTrigger.WINDOW, 10.0)


def test_the_window_starts_with_the_end_of_the_last_invocation() -> None:
    """BAT-4: whichever is later, it or the first record."""
    buffer = buffer_of(*some_records(1), window=5.0, now=10.0)
    assert buffer.due(12.0) == 17.0
    assert no_cut(buffer, 16.9, free_since=12.0)
    assert cut(buffer, 17.0, free_since=12.0).trigger is BatchTrigger.WINDOW


def test_a_full_batch_waits_for_no_window() -> None:
    """BAT-1: (a) comes first; what is left has waited since its own read (BAT-4)."""
    buffer = buffer_of(*some_records(*range(9)), window=5.0, now=10.0)
    assert no_cut(buffer, 11.0)
    buffer.add(some_records(9, 10), 12.0)
    assert cut(buffer, 12.0).trigger is BatchTrigger.SIZE
    assert buffer.due(0.0) == 17.0
    check(buffer)


def test_a_flush_waits_for_no_window() -> None:
    """BAT-1: the shard has ended, or the mapping is drained."""
    buffer = buffer_of(*some_records(1), window=300.0)
    assert cut(buffer, 1.0, flush=True).trigger is BatchTrigger.STOP


def test_bytes_to_the_byte() -> None:
    """BAT-1, BAT-2: (c) the next record would make the event larger than 6,291,456 bytes, window or not."""
    half = (EVENT_LIMIT - OVERHEAD - 1) // 2
    rest = EVENT_LIMIT - OVERHEAD - 1 - half
    exact = buffer_of(record(1, size=half), record(2, size=rest), record(3, size=1), window=300.0)
    made = cut(exact)
    assert (numbers(made.records), made.trigger) == ([1, 2], BatchTrigger.BYTES)
    over = buffer_of(record(1, size=half), record(2, size=rest + 1), window=300.0)
    assert numbers(cut(over).records) == [1]
    check(over)


def test_the_overhead_counts() -> None:
    """BAT-2: the state of a window is in the same event."""
    half = (EVENT_LIMIT - OVERHEAD - 1) // 2
    buffer = buffer_of(record(1, size=half), record(2, size=half - 10))
    made = buffer.cut(0.0, 0.0, OVERHEAD + 20, flush=False)
    assert made is not None
    assert (numbers(made.records), made.trigger) == ([1], BatchTrigger.BYTES)


def test_a_record_too_large_for_any_event_goes_alone() -> None:
    """BAT-11: what becomes of it is decided elsewhere, and the next is not held by it."""
    buffer = buffer_of(record(1), record(2, size=EVENT_LIMIT), record(3))
    assert [numbers(cut(buffer).records) for _ in range(3)] == [[1], [2], [3]]


def test_a_bound_from_an_earlier_process() -> None:
    """BAT-6: neither larger nor smaller, and without a window."""
    buffer = buffer_of(*some_records(*range(1, 9)), window=300.0)
    made = cut(buffer, most=3)
    assert (numbers(made.records), made.trigger) == ([1, 2, 3], BatchTrigger.IMMEDIATE)
    assert no_cut(buffer)


def test_a_bound_above_the_batch_size() -> None:
    """BAT-1: BatchSize was made smaller meanwhile."""
    assert len(cut(buffer_of(*some_records(*range(20))), most=15).records) == 10


def test_records_that_may_not_be_together() -> None:
    """TMB-4: the batch ends before the first of them, and waits for nothing."""
    buffer = buffer_of(*some_records(1, 2, 3, 4), window=300.0)
    made = cut(buffer, belongs=lambda one: int(one.sequence) < 3)
    assert (numbers(made.records), made.trigger) == ([1, 2], BatchTrigger.IMMEDIATE)
    assert no_cut(buffer)


def test_the_window_boundary_and_bytes_together() -> None:
    """TMB-4, BAT-2: what belongs together and does not fit is cut by bytes."""
    third = EVENT_LIMIT // 3
    buffer = buffer_of(*(record(n, size=third) for n in range(1, 6)), window=300.0)
    made = cut(buffer, belongs=lambda one: int(one.sequence) < 5)
    assert (numbers(made.records), made.trigger) == ([1, 2], BatchTrigger.BYTES)
    made = cut(buffer, belongs=lambda one: int(one.sequence) < 5)
    assert (numbers(made.records), made.trigger) == ([3, 4], BatchTrigger.IMMEDIATE)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 99])
def test_taking_across_reads(count: int) -> None:
    """BAT-4, BAT-7: how long each has waited is kept for what is left."""
    buffer = buffer_of(*some_records(1, 2, 3), window=1.0, now=10.0)
    buffer.add(some_records(4, 5), 20.0)
    buffer.add(some_records(6), 30.0)
    assert numbers(buffer.take(count)) == list(range(1, min(count, 6) + 1))
    check(buffer)
    assert buffer.due(0.0) == {1: 11.0, 2: 11.0, 3: 21.0, 4: 21.0, 5: 31.0}.get(count)


def test_dropping_from_the_middle() -> None:
    """ERR-12, ERR-14: in order, the others stay; they have waited as long as the oldest read."""
    buffer = buffer_of(record(1, at=0.0), record(2, at=9.0), window=5.0, now=10.0)
    buffer.add((record(3, at=1.0), record(4, at=8.0)), 11.0)
    assert buffer.oldest_arrival() == wall(0.0)
    assert numbers(buffer.drop(lambda one: one.arrived_at < wall(5.0))) == [1, 3]
    check(buffer)
    assert (numbers(tuple(buffer)), buffer.oldest_arrival(), buffer.due(0.0)) == ([2, 4], wall(8.0), 15.0)
    assert buffer.drop(lambda one: False) == ()
    assert numbers(buffer.drop(lambda one: True)) == [2, 4]
    check(buffer)
    buffer.add((record(5),), 20.0)
    assert buffer.due(0.0) == 25.0


def test_a_buffer_of_more_than_an_event_has_no_larger_batches() -> None:
    """BAT-1: bytes only ever make a batch smaller than BatchSize."""
    buffer = buffer_of(record(1), record(2), record(3), record(4, size=EVENT_LIMIT), size=2)
    assert (numbers(cut(buffer).records), numbers(cut(buffer).records)) == ([1, 2], [3])
