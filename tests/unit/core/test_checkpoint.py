"""How far the position may go (STR-30, STR-42)."""

import tracemalloc
from random import Random

import pytest

from poller.core.checkpoint import CheckpointTracker
from tests.unit.core.stream_machine import some_records


def tracker_of(count: int) -> CheckpointTracker:
    tracker = CheckpointTracker()
    tracker.track(count)
    return tracker


def test_nothing_is_resolved_at_first() -> None:
    """STR-30: there is no position before the first record is done."""
    tracker = tracker_of(3)
    assert (tracker.sequence, tracker.low, tracker.unresolved) == (None, 0, 3)
    assert not tracker.resolve(())


def test_the_mark_goes_with_the_records() -> None:
    """STR-30: batch by batch."""
    records = some_records(101, 105, 109, 120)
    tracker = tracker_of(4)
    assert tracker.resolve(records[:2])
    assert (tracker.sequence, tracker.low, tracker.unresolved) == ("105", 2, 2)
    assert tracker.resolve(records[2:])
    assert (tracker.sequence, tracker.low, tracker.unresolved) == ("120", 4, 0)


def test_any_records_at_once() -> None:
    """STR-30: whichever are resolved together, with however many between them, the mark stops at the first gap."""
    records = some_records(100, 101, 102, 103, 104, 105)
    for chosen in range(1, 2 ** len(records)):
        done = [place for place in range(len(records)) if chosen >> place & 1]
        low = next((place for place in range(len(records)) if place not in done), len(records))
        tracker = tracker_of(len(records))
        assert tracker.resolve([records[place] for place in done]) == (low > 0)
        assert (tracker.low, tracker.unresolved) == (low, len(records) - len(done))
        assert tracker.sequence == (records[low - 1].sequence if low else None)


def test_what_is_done_ahead_waits_for_the_mark() -> None:
    """STR-42: the position is that of the lane furthest behind, then all at once."""
    records = some_records(101, 102, 103, 104, 105)
    tracker = tracker_of(5)
    assert not tracker.resolve(records[1:3])
    assert not tracker.resolve(records[4:])
    assert (tracker.sequence, tracker.low, tracker.unresolved) == (None, 0, 2)
    assert tracker.resolve(records[:1])
    assert (tracker.sequence, tracker.low, tracker.unresolved) == ("103", 3, 1)
    assert tracker.resolve(records[3:4])
    assert (tracker.sequence, tracker.low, tracker.unresolved) == ("105", 5, 0)


def test_a_batch_with_gaps_at_the_mark() -> None:
    """STR-42: its first record is the oldest of all, and the records between its own are another lane's."""
    records = some_records(101, 102, 103, 104)
    tracker = tracker_of(4)
    assert tracker.resolve((records[0], records[2]))
    assert (tracker.sequence, tracker.low, tracker.unresolved) == ("101", 1, 2)
    assert tracker.resolve((records[1], records[3]))
    assert (tracker.sequence, tracker.low, tracker.unresolved) == ("104", 4, 0)


def test_records_that_come_later() -> None:
    """STR-30: the mark stands still between reads."""
    records = some_records(101, 102, 103)
    tracker = tracker_of(1)
    tracker.resolve(records[:1])
    tracker.track(2)
    assert (tracker.sequence, tracker.unresolved) == ("101", 2)
    tracker.resolve(records[1:])
    assert tracker.sequence == "103"


def test_more_than_was_read() -> None:
    """STR-30: that would be a position that nobody has reached."""
    with pytest.raises(AssertionError, match="more was resolved"):
        tracker_of(1).resolve(some_records(101, 102))


def test_any_order_comes_to_the_same_end() -> None:
    """STR-30, STR-42: at every step the position is the last record before which nothing is missing."""
    for seed in range(50):
        random = Random(seed)
        records = some_records(*range(100, 140))
        tracker = tracker_of(len(records))
        left, done = list(records), set()
        while left:
            some = sorted(random.sample(left, min(len(left), random.randint(1, 5))), key=lambda one: one.offset)
            before = tracker.low
            moved = tracker.resolve(some)
            done.update(one.offset for one in some)
            left = [one for one in left if one.offset not in done]
            low = next((n for n in range(len(records)) if n not in done), len(records))
            assert (tracker.low, tracker.unresolved, moved) == (low, len(left), low > before)
            assert tracker.sequence == (records[low - 1].sequence if low else None)


def test_what_waits_behind_a_record_takes_no_room() -> None:
    """STR-27: a batch may fail for hours, and millions behind it be filtered out."""
    first, *others = some_records(*range(100_000))
    tracker = tracker_of(100_000)
    tracemalloc.start()
    try:
        for start in range(0, len(others), 1_000):
            tracker.resolve(others[start : start + 1_000])
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()
    assert (tracker.low, tracker.unresolved) == (0, 1)
    assert tracker.resolve((first,))
    assert (tracker.sequence, tracker.low, tracker.unresolved) == ("99999", 100_000, 0)
