"""From the buffer of a lane to its next batch, where an earlier process has left something (BAT-6, TMB-8)."""

import pytest

from poller.core.model import BatchTrigger, Instant
from poller.core.records import Head, Record, StreamBatch
from poller.core.stream_forming import Forming
from poller.core.stream_lane import Lane
from poller.core.stream_windows import Windows
from tests.unit.core.stream_machine import SHARD, numbers, record, stream_mapping, wall

NOW = Instant(wall(0.0), 0.0)


def head(first: int | str, last: int | str, count: int) -> Head:
    return Head(0, str(first), str(last), count, 2, 1, 5.0, running=True)


def lane_of(left: Head | None, *sequences: int) -> Lane:
    lane = Lane(0, 10, 0.0, left, None)
    records = [record(number, offset=place) for place, number in enumerate(sequences)]
    lane.buffer.add(records, 0.0)
    lane.read_to = sequences[-1]
    return lane


def formed(lane: Lane, *, batch_size: int = 10) -> list[StreamBatch]:
    """All that the lane has, batch by batch."""
    forming = Forming(stream_mapping(batch_size=batch_size), SHARD.id, None)
    batches = []
    while lane.buffer:
        batch = forming.next(lane, NOW, flush=True, complete=True)
        assert batch is not None
        batches.append(batch)
    return batches


@pytest.mark.parametrize(
    ("left", "sequences", "expected"),
    [
        (head(5, 6, 2), (2, 3, 4, 5, 6, 7), [[2, 3, 4], [5, 6], [7]]),
        (head(5, 6, 2), (3, 4, 6, 7), [[3, 4], [6], [7]]),
        (head(5, 6, 2), (5, 6), [[5, 6]]),
        (head(5, 6, 2), (6, 7), [[6], [7]]),
        (head(5, 6, 2), (7, 8), [[7, 8]]),
        (head(5, 6, 2), (1, 2, 3), [[1, 2, 3]]),
    ],
)
def test_what_failed_is_formed_again(left: Head, sequences: tuple[int, ...], expected: list[list[int]]) -> None:
    """BAT-6: what is before it ends there; what of it is gone makes it smaller, and nothing makes it larger."""
    batches = formed(lane_of(left, *sequences))
    assert [numbers(batch) for batch in batches] == expected
    for batch in batches:
        inherits = numbers(batch)[0] in {5, 6}
        told = (batch.attempts, batch.interrupted, batch.failed_at)
        assert told == ((2, 2, 5.0) if inherits else (0, 0, None))
    assert len({batch.number for batch in batches}) == len(batches)


def test_the_last_invocation_of_a_window_has_its_attempts_once() -> None:
    """TMB-8, ERR-5: the next window's has none."""
    windows = Windows(10, None)
    forming = Forming(stream_mapping(tumbling_window=10), SHARD.id, windows)
    lane = Lane(0, 10, 0.0, head("", "", 0), None)
    first: Record = record(1)
    windows.open_for(first)
    assert [forming.closing(lane, NOW).attempts for _ in range(2)] == [2, 0]
    plain = forming.batch(lane, (first,), BatchTrigger.SIZE, 0.0)
    assert (plain.attempts, plain.lane, plain.opened_at) == (0, 0, 0.0)
