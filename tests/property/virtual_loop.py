"""An event loop whose time is nobody's: where nothing is ready it jumps to the next timer, and tells when there is
none. For worlds without sockets and threads.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from poller.core.model import Instant

T = TypeVar("T")
EPOCH = 1_750_000_000.0


class _Jumps(selectors.SelectSelector):
    """Waits for nobody and asks nobody, as there are no sockets: it moves the clock instead."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everybody waits for everybody else"
        self.skipped += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while nothing can be done, or by `block`."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        return 1_000.0 + self._jumps.skipped

    def block(self, seconds: float) -> None:
        """Somebody keeps the loop to himself for so long."""
        self._jumps.skipped += seconds

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """Those that will still fire."""
        return [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]


class LoopClock:
    """A poller.clock.Clock that tells the loop's time."""

    def now(self) -> Instant:
        mono = asyncio.get_running_loop().time()
        return Instant(EPOCH - 1_000.0 + mono, mono)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, on a VirtualLoop. No task and no timer may be left."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks are left: {left}"
        assert not loop.timers, f"timers are left: {loop.timers}"
        return result
    finally:
        while left := asyncio.all_tasks(loop):  # a test has failed: what it began must not outlive it
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
