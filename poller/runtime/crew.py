"""Tasks that run one coroutine after another, because making a task costs as much as a step of a machine."""

import asyncio
from collections.abc import Coroutine
from typing import Any

MOST_IDLE = 16  # tasks kept while there is nothing to do


class Crew:
    """Works within a TaskGroup: what fails in a task ends the group. `dismiss` it before the group can end."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._idle: list[asyncio.Future[Coroutine[Any, Any, None] | None]] = []
        self._dismissed = False

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Has the coroutine run, from the next turn of the loop on; never, if the group is ending."""
        while self._idle:
            waiting = self._idle.pop()
            if not waiting.done():  # else its task was cancelled meanwhile
                waiting.set_result(work)
                return
        serving = self._serve(work)
        try:
            self._tasks.create_task(serving)
        except RuntimeError:  # the group is ending, and what would have run is cancelled before it begins
            serving.close()
            work.close()

    def dismiss(self) -> None:
        """Lets the idle tasks end; the others end with the work that they have."""
        self._dismissed = True
        for waiting in self._idle:
            if not waiting.done():
                waiting.set_result(None)
        self._idle.clear()

    async def _serve(self, work: Coroutine[Any, Any, None]) -> None:
        following: Coroutine[Any, Any, None] | None = work
        while following is not None:
            await following
            if self._dismissed or len(self._idle) >= MOST_IDLE:
                return
            waiting: asyncio.Future[Coroutine[Any, Any, None] | None] = self._loop.create_future()
            self._idle.append(waiting)
            following = await waiting
