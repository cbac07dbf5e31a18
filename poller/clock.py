"""The only place that reads the clocks of the machine; everybody else is handed an Instant."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from poller.core.model import Instant

_wall, _mono = time.time, time.monotonic  # noqa: TID251 - this is the one place
# an Instant without a call of its __init__: seven are made for each batch
_new_instant: Final[Callable[[], Any]] = partial(object.__new__, Instant)


class Clock(Protocol):
    """Tells the time; tests bring one that they move themselves."""

    def now(self) -> Instant:
        """The present moment."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> Instant:
        """Epoch seconds, and seconds of the clock that never steps."""
        now = _new_instant()
        now.wall = _wall()
        now.mono = _mono()
        return now  # type: ignore[no-any-return] # see _new_instant
