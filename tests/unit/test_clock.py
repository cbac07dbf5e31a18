"""The machine's two clocks, each in its own field."""

import time

from poller.clock import SystemClock


def test_an_instant_has_the_wall_clock_and_the_one_that_never_steps() -> None:
    before = (time.time(), time.monotonic())
    now = SystemClock().now()
    after = (time.time(), time.monotonic())
    assert before[0] <= now.wall <= after[0]
    assert before[1] <= now.mono <= after[1]
