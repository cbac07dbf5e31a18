"""However messages come in, the batcher hands each on once and keeps every limit."""

from hypothesis import given
from hypothesis import strategies as st

from poller.core.batcher import Batcher
from poller.core.model import Batch
from poller.core.payload import EVENT_LIMIT, event_size
from tests.unit.core.machine import message

RECEIVES = st.lists(st.lists(st.integers(1, 2_000_000), min_size=1, max_size=10), max_size=12)


@given(
    RECEIVES,
    st.integers(1, 100),
    st.sampled_from([0.0, 10.0]),
    st.lists(st.floats(0, 8), min_size=12, max_size=12),
)
def test_each_message_is_in_one_batch_within_the_limits(
    receives: list[list[int]], batch_size: int, window: float, pauses: list[float]
) -> None:
    """BAT-10, BAT-1, GEN-3: how they are grouped is free; that all of them arrive, once and in bounds, is not."""
    batcher = Batcher(batch_size, window)
    batches: list[Batch] = []
    sent: list[str] = []
    now = 0.0
    for sizes, pause in zip(receives, pauses, strict=False):
        received = [message(f"{len(sent) + place}", size=size) for place, size in enumerate(sizes)]
        sent += [one.id for one in received]
        batches += batcher.add(received, now)
        now += pause
        if (due := batcher.close_due(now, 0.0)) is not None:
            batches.append(due)
    if (last := batcher.flush()) is not None:
        batches.append(last)
    assert [one.id for batch in batches for one in batch.messages] == sent
    assert batcher.count == 0
    for batch in batches:
        assert 1 <= len(batch.messages) <= batch_size
        assert batch.size == event_size([one.size for one in batch.messages]) <= EVENT_LIMIT
    if window == 0:
        assert len(batches) >= len(receives)
