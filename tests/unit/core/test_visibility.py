"""How long messages are hidden, and how long we rely on it (SQS-8)."""

import pytest

from poller.core.visibility import lease_end, override
from tests.unit.core.machine import mapping


@pytest.mark.parametrize(
    ("window", "timeout", "queues_own", "asked"),
    [
        (0.0, 900.0, 30.0, None),
        (5.0, 25.0, 30.0, None),
        (6.0, 25.0, 30.0, 61),
        (300.0, 30.0, 30.0, 360),
        (1.0, 30.5, 30.0, 62),
    ],
)
def test_a_window_may_need_more_than_the_queue_gives(
    window: float, timeout: float, queues_own: float, asked: int | None
) -> None:
    """SQS-8, OPEN-12: window + timeout + 30 s when the two together exceed it, else the queue's own."""
    assert override(mapping(window=window, timeout=timeout), queues_own) == asked


@pytest.mark.parametrize(("visibility", "end"), [(30.0, 129.0), (5.0, 104.5), (0.0, 100.0)])
def test_a_lease_ends_a_little_before_it_does(visibility: float, end: float) -> None:
    """SQS-23: SQS counts from before the answer arrived: a tenth is kept back, at most a second."""
    assert lease_end(100.0, 110.0, visibility) == end


@pytest.mark.parametrize(("noticed", "end"), [(105.0, 134.0), (110.0, 139.0), (119.9, 139.0)])
def test_what_is_noticed_late_has_no_longer_lease(noticed: float, end: float) -> None:
    """SQS-23, FIFO-6: SQS has begun to count at 110 s at the latest, whenever we saw the answer."""
    assert lease_end(noticed, 110.0, 30.0) == end
