"""The event loop of the simulator: virtual time, and nothing in it that depends on where objects lie in memory.

asyncio keeps tasks in sets, and sets go by hash: with the usual one, an address, the same seed would cancel and
wake tasks in another order each time. Here a task's hash is its number.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.property.virtual_loop import VirtualLoop

T = TypeVar("T")


class NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set is the same in every run."""

    def __hash__(self) -> int:
        return getattr(self, "number", 0)

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(VirtualLoop):
    """One thread only: what comes `threadsafe` comes from this thread too."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks_made = 0
        self.set_task_factory(self._make_task)
        # what nobody awaited is told by whoever looks at `complaints`, not printed
        self.complaints: list[str] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(str(context)))

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **fields: Any) -> NumberedTask:
        task = NumberedTask.__new__(NumberedTask)
        self._tasks_made += 1
        task.number = self._tasks_made  # type: ignore[attr-defined]
        task.__init__(work, loop=loop, **fields)  # type: ignore[misc]
        return task

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return self.call_soon(callback, *args, context=context)


def simulate(main: Coroutine[Any, Any, T], seed: int) -> T:
    """Runs it on a SimLoop. The jitter of libraries, which take the module's chance, comes from the seed too."""
    loop = SimLoop()
    logger = logging.getLogger("poller")
    level, before = logger.level, random.getstate()
    logger.setLevel(logging.CRITICAL + 1)
    random.seed(seed)
    try:
        result = loop.run_until_complete(main)
        assert not loop.complaints, loop.complaints
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks are left: {left}"
        return result
    finally:
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
        random.setstate(before)
        logger.setLevel(level)
