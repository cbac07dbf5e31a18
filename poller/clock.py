"""The only place that reads the clocks of the machine; everybody else is handed an Instant."""

import time
from typing import Protocol

from poller.core.model import Instant

_wall, _mono = time.time, time.monotonic  # noqa: TID251 - this is the one place


class Clock(Protocol):
    """Tells the time; tests bring one that they move themselves."""

    def now(self) -> Instant:
        """The present moment."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> Instant:
        """Epoch seconds, and seconds of the clock that never steps."""
        return Instant(_wall(), _mono())
