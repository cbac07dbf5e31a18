"""Tasks that run one coroutine after another, because making a task costs as much as a step of a machine."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias, TypeVar

from poller.runtime.turns import begin

MOST_IDLE = 16  # tasks kept while there is nothing to do

Order = TypeVar("Order")
Work: TypeAlias = tuple[Callable[[Any], Coroutine[Any, Any, None]], Any]


class Crew:
    """Works within a TaskGroup: what fails in a task ends the group. `dismiss` it before the group can end."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._idle: list[asyncio.Future[Work | None]] = []
        self._dismissed = False

    def run(self, work: Callable[[Order], Coroutine[Any, Any, None]], order: Order) -> None:
        """Has `work(order)` run, from the next turn of the loop on; never, if the group ends before that."""
        while self._idle:
            waiting = self._idle.pop()
            if not waiting.done():  # else its task was cancelled meanwhile
                waiting.set_result((work, order))
                return
        begin(self._tasks, partial(self._serve, (work, order)))

    def dismiss(self) -> None:
        """Lets the idle tasks end; the others end with the work that they have."""
        self._dismissed = True
        for waiting in self._idle:
            if not waiting.done():
                waiting.set_result(None)
        self._idle.clear()

    async def _serve(self, first: Work) -> None:
        following: Work | None = first
        while following is not None:
            work, order = following
            await work(order)
            if self._dismissed or len(self._idle) >= MOST_IDLE:
                return
            waiting: asyncio.Future[Work | None] = self._loop.create_future()
            self._idle.append(waiting)
            following = await waiting
