"""A clock that only its owner moves, and that keeps the alarms which are due when it does."""

import heapq
import itertools
from collections.abc import Callable

from poller.core.model import Instant

# A recent moment, so that ages and timestamps look like the real thing.
START = Instant(wall=1_750_000_000.0, mono=1_000.0)


class ManualClock:
    """Implements poller.clock.Clock; time stands still between two calls of `advance`."""

    def __init__(self, start: Instant = START) -> None:
        self._now = start
        self._alarms: list[tuple[float, int]] = []
        self._rings: dict[int, Callable[[], None]] = {}
        self._numbers = itertools.count()

    def now(self) -> Instant:
        """The moment to which the clock was moved last."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves time on, stopping at each alarm on the way, so that each one sees the moment it asked for."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back ({seconds} s)")
        start, end = self._now, self._now.mono + seconds
        while self._alarms and self._alarms[0][0] <= end:
            due, number = heapq.heappop(self._alarms)
            ring = self._rings.pop(number, None)
            if ring is None:
                continue
            mono = max(due, self._now.mono)
            self._now = Instant(start.wall + mono - start.mono, mono)
            ring()
        self._now = Instant(start.wall + seconds, end)

    def step_wall(self, seconds: float) -> None:
        """Moves the wall clock alone, forwards or back, as an operator or NTP does."""
        self._now = Instant(self._now.wall + seconds, self._now.mono)

    def at(self, mono: float, ring: Callable[[], None]) -> Callable[[], None]:
        """Calls `ring` once, when the clock reaches `mono`; what it returns cancels that."""
        number = next(self._numbers)
        heapq.heappush(self._alarms, (mono, number))
        self._rings[number] = ring

        def cancel() -> None:
            self._rings.pop(number, None)

        return cancel
