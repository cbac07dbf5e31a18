"""What happens on SIGTERM, in its order: ask no more, let the handlers finish, give the rest back, then leave.

The machines keep the order within a mapping (core/queue_consumer.py); here is the order of the process, and its
deadline.
"""

import asyncio
from collections.abc import Collection

from poller.core.messages import Request
from poller.core.receives import LONG_POLL
from poller.runtime.coordinator import Coordinator

RESERVE = 2.0  # seconds before the deadline at which what still runs is given back
RESERVE_PART = 0.2  # of a short deadline


def longest_wait(timeout: float) -> int:
    """Seconds that a long poll may last, so that a stop within `timeout` seconds sees its end.

    A receive is never cancelled: SQS may already have handed out a message that nobody would then give back.
    """
    return max(1, min(LONG_POLL, int(timeout - _reserve(timeout)) - 1))


def _reserve(timeout: float) -> float:
    return min(RESERVE, timeout * RESERVE_PART)


async def stop_all(coordinators: Collection[Coordinator], timeout: float) -> None:
    """Stops all mappings within `timeout` seconds.

    Shortly before the deadline the messages of handlers that still run are given back (visibility 0), so that
    another worker has them at once. Cancelling this stops nothing that it has begun.
    """
    running = {coordinator.task for coordinator in coordinators if not coordinator.task.done()}
    if running:
        for coordinator in coordinators:
            coordinator.request(Request.STOP)
        reserve = _reserve(timeout)
        _, running = await asyncio.wait(running, timeout=timeout - reserve)
        if running:
            for coordinator in coordinators:
                coordinator.request(Request.ABANDON)
            _, running = await asyncio.wait(running, timeout=reserve)
        if running:
            await _cancel(running, reserve)


async def stop_now(coordinators: Collection[Coordinator]) -> None:
    """For an owner who does not wait: everything is cancelled where it stands, and what was in hand comes back by
    its visibility timeout.
    """
    running = {coordinator.task for coordinator in coordinators if not coordinator.task.done()}
    if running:
        await _cancel(running, RESERVE)


async def _cancel(tasks: Collection[asyncio.Task[None]], timeout: float) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=timeout)
