"""How the tasks of a group begin: in a turn of the loop of their own, whatever the task factory of the program."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


def begin(tasks: asyncio.TaskGroup, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None] | None:
    """Has `work()` run as a task of the group, from the next turn of the loop on, even under an eager task
    factory: who orders a thing has done his own step before he hears what came of it.

    None if the group is ending, which would cancel the task before it begins.
    """
    ordering = True

    async def run() -> None:
        if ordering:
            await asyncio.sleep(0)
        await work()

    running = run()
    try:
        return tasks.create_task(running)
    except RuntimeError:
        running.close()
        return None
    finally:
        ordering = False
