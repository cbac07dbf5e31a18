import pytest

from poller.core.model import Instant
from poller.testing import ManualClock


def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(Instant(100.0, 5.0))
    assert clock.now() == clock.now() == Instant(100.0, 5.0)
    clock.advance(2.5)
    assert clock.now() == Instant(102.5, 7.5)


def test_alarms_ring_in_order_each_at_its_own_moment() -> None:
    clock = ManualClock(Instant(0.0, 0.0))
    rung: list[tuple[str, float]] = []
    clock.at(3.0, lambda: rung.append(("late", clock.now().mono)))
    clock.at(1.0, lambda: rung.append(("early", clock.now().mono)))
    cancel = clock.at(2.0, lambda: rung.append(("never", clock.now().mono)))
    cancel()
    clock.advance(2.0)
    assert rung == [("early", 1.0)]
    clock.advance(10.0)
    assert rung == [("early", 1.0), ("late", 3.0)]
    assert clock.now() == Instant(12.0, 12.0)


def test_an_alarm_set_by_an_alarm_rings_in_the_same_move() -> None:
    clock = ManualClock(Instant(0.0, 0.0))
    rung: list[float] = []
    clock.at(1.0, lambda: clock.at(2.0, lambda: rung.append(clock.now().mono)) and None)
    clock.advance(5.0)
    assert rung == [2.0]


def test_the_wall_may_step_alone() -> None:
    clock = ManualClock(Instant(100.0, 5.0))
    clock.step_wall(-60.0)
    assert clock.now() == Instant(40.0, 5.0)


def test_it_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)
