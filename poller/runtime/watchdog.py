"""Notices from the side thread that the main event loop stands still, and says whose handler holds it.

A function that blocks the loop stops everything in it, this process's other mappings included, so nothing in the
loop itself could tell.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from poller.frames import Place, of_frame, user_place
from poller.runtime.dispatcher import current_mapping, task_name

EVERY: Final = 0.1
"""Seconds between two looks."""

BLOCKED_AFTER: Final = 0.5
"""Seconds without an answer after which the loop counts as blocked."""

TELL_EVERY: Final = 10.0
"""Seconds between two log lines about the same standstill."""

_log = logging.getLogger("poller")
_LOOP_FILES = frozenset({asyncio.events.__file__, asyncio.base_events.__file__, asyncio.runners.__file__})
_TASK_PREFIX, _TASK_SUFFIX = task_name("|").split("|")


class Watchdog:
    """Watches the loop of the thread in which it is made; `run` is to run in another loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        observe_lag: Callable[[float], None],
        blocked: Callable[[str | None, float], None],
    ) -> None:
        """`observe_lag` gets, ten times a second, how many seconds late the loop ran what was due (one value for a
        standstill, when it ends). `blocked` gets, again and again during a standstill, the mapping's name (None
        when it cannot be told) and the seconds since the last such call. Both are called in the side thread.
        """
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._observe_lag = observe_lag
        self._blocked = blocked
        self._answered: float | None = None

    async def run(self) -> None:
        """Until cancelled, or until the watched loop is closed."""
        while True:
            try:
                asked = self._ask()
            except RuntimeError:
                return
            await asyncio.sleep(EVERY)
            if self._answered is None:
                await self._stand_by(asked)
            else:
                self._observe_lag(self._answered - asked)

    def _ask(self) -> float:
        self._answered = None
        asked = time.monotonic()
        self._loop.call_soon_threadsafe(self._answer)
        return asked

    def _answer(self) -> None:
        """Runs in the watched loop."""
        self._answered = time.monotonic()

    async def _stand_by(self, asked: float) -> None:
        """Until the loop answers: counts and tells."""
        counted = asked
        told: float | None = None
        mapping: str | None = None
        while self._answered is None and not self._loop.is_closed():
            now = time.monotonic()
            if now - asked >= BLOCKED_AFTER:
                mapping = self._culprit()
                self._blocked(mapping, now - counted)
                counted = now
                if told is None or now - told >= TELL_EVERY:
                    told = now
                    self._tell_blocked(mapping, now - asked)
            await asyncio.sleep(EVERY)
        ended = self._answered or time.monotonic()
        self._observe_lag(ended - asked)
        if told is not None:
            self._blocked(mapping, ended - counted)
            text = f"the event loop runs again after {ended - asked:.1f} s"
            _tell("event_loop_unblocked", mapping, text, seconds=round(ended - asked, 3))

    def _culprit(self) -> str | None:
        """The mapping whose handler has the loop: by the name of the running task, else by what a handler's own
        tasks inherit from it (which Python tells from 3.12 on).
        """
        task = asyncio.current_task(self._loop)
        if task is None:
            return None
        name = task.get_name()
        if name.startswith(_TASK_PREFIX) and name.endswith(_TASK_SUFFIX):
            return name[len(_TASK_PREFIX) : -len(_TASK_SUFFIX)]
        if sys.version_info >= (3, 12):
            return task.get_context().get(current_mapping)
        return None

    def _tell_blocked(self, mapping: str | None, seconds: float) -> None:
        place = user_place(self._stack())
        whose = "its handler" if mapping is not None else "something"
        text = (
            f"{whose} has been blocking the event loop for {seconds:.1f} s at {place}: nothing else in it runs"
            " meanwhile; make it a plain function (which runs in a thread), or await what it waits for"
        )
        _tell("event_loop_blocked", mapping, text, seconds=round(seconds, 3), at=place)

    def _stack(self) -> Iterator[Place]:
        """Where the watched thread is now, innermost first, down to the event loop itself."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - there is no public way
        for place in of_frame(frame):
            if place[0] in _LOOP_FILES:
                return
            yield place


def _tell(action: str, mapping: str | None, text: str, **fields: Any) -> None:
    prefix = f"{mapping}: " if mapping is not None else ""
    _log.warning("%s%s", prefix, text, extra={"action": action, "mapping": mapping, **fields})
