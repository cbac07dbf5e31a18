"""Runs one mapping's heartbeat machine in the side thread, with a connection to the queue of its own, so that
receipts are extended even while a handler blocks the main loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any, Final, TypeAlias, assert_never

from poller.clock import Clock
from poller.core.heartbeat import Dropped, Extend, ExtendDone, Fact, HeartbeatMachine, Held, NotExtended
from poller.core.messages import Extended, Tick
from poller.core.model import Instant, Message
from poller.errors import SourceError
from poller.ports import QueueSource
from poller.runtime.sidethread import SideThread
from poller.telling import Teller, one_line

GATHER: Final = 0.1
"""Seconds for which news wait in the side thread, so that a busy mapping does not wake it for every batch."""

CALLS_AT_ONCE: Final = 8
OPEN_AGAIN: Final = 2.0

OpenQueue: TypeAlias = Callable[[], AbstractAsyncContextManager[QueueSource]]


class Heartbeat:
    """One mapping's. `start`, `hold`, `let_go` and `close` are called in the main loop, all else is the side's."""

    def __init__(self, mapping: str, side: SideThread, open_queue: OpenQueue, clock: Clock) -> None:
        """`open_queue` is called, entered and left in the side thread's loop."""
        self._side = side
        self._open_queue = open_queue
        self._clock = clock
        self._teller = Teller(mapping, logging.getLogger("poller"))
        self._machine = HeartbeatMachine()
        self._inbox: deque[tuple[Held | Dropped, float]] = deque()
        self._woken = False
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup
        self._source: QueueSource | None = None
        self._extended: Callable[[tuple[str, ...], float], None]
        self._failed: Callable[[int, str, Instant], None]

    def start(
        self,
        extended: Callable[[tuple[str, ...], float], None],
        failed: Callable[[int, str, Instant], None],
    ) -> None:
        """Begins. In the main loop, `extended` is told message ids and the monotonic second until which their
        leases now last; `failed` how many messages were not extended, why, and when that was.
        """
        self._main = asyncio.get_running_loop()
        self._extended = extended
        self._failed = failed
        self._side.spawn(self._run())

    def hold(self, messages: tuple[Message, ...], seconds: int) -> None:
        """Keeps these receipts alive from now on, by `seconds` each time."""
        self._post(Held(messages, seconds))

    def let_go(self, ids: tuple[str, ...]) -> None:
        """Forgets these."""
        self._post(Dropped(ids))

    async def close(self) -> None:
        """Ends it; what is still held runs out by itself."""
        await self._side.run(self._end())

    def _post(self, fact: Held | Dropped) -> None:
        self._inbox.append((fact, self._clock.now().mono))
        # appended first, looked at second: whoever comes in between finds it, in either thread
        if not self._woken and self._loop is not None:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake)

    # --- in the side thread ---

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                self._read_inbox()
                self._source = await self._open(stack)
                await asyncio.Event().wait()
            finally:  # before the calls under way end, which may take a while: nothing more can be begun
                self._loop = None
                self._arm()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _open(self, stack: AsyncExitStack) -> QueueSource:
        while True:
            try:
                return await stack.enter_async_context(self._open_queue())
            except Exception as error:  # noqa: BLE001 - without a connection nothing is extended: tried for ever
                text = (
                    f"the heartbeat has no connection to the queue: {type(error).__name__}: {one_line(str(error))}"
                )
                self._teller.failure("heartbeat_failed", type(error).__name__, text, self._clock.now())
            await asyncio.sleep(OPEN_AGAIN)

    def _wake(self) -> None:
        asyncio.get_running_loop().call_later(GATHER, self._read_inbox)

    def _read_inbox(self) -> None:
        if self._loop is None:
            return  # it has ended since somebody woke it
        self._woken = False  # before reading: what comes after the last look wakes us again
        while self._inbox:
            fact, at = self._inbox.popleft()
            self._handle(fact, at)
        self._arm()

    def _handle(self, fact: Fact, now: float) -> None:
        for order in self._machine.handle(fact, now):
            match order:
                case Extend():
                    self._tasks.create_task(self._extend(order))
                case Extended(ids, lease_until):
                    self._report(self._extended, ids, lease_until)
                case NotExtended(ids, detail):
                    self._report(self._failed, len(ids), detail, self._clock.now())
                case _:
                    assert_never(order)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._machine.deadline()
        if due is not None and self._loop is not None:
            delay = max(0.0, due - self._clock.now().mono)
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick, due)

    def _tick(self, due: float) -> None:
        self._handle(Tick(), max(due, self._clock.now().mono))
        self._arm()

    async def _extend(self, order: Extend) -> None:
        async with self._calls:
            sent_at = self._clock.now().mono
            refused, detail = await self._call(order)
        self._handle(ExtendDone(order.entries, order.seconds, sent_at, refused, detail), self._clock.now().mono)
        self._arm()

    async def _call(self, order: Extend) -> tuple[dict[str, str], str]:
        """What was refused (message id -> code), and a sentence about it."""
        nothing_done = {message_id: "" for message_id, _ in order.entries}
        if self._source is None:
            return nothing_done, "there is no connection to the queue yet"
        receipts = [receipt for _, receipt in order.entries]
        try:
            failures = await self._source.change_visibility(receipts, [order.seconds] * len(receipts))
        except SourceError as error:
            return nothing_done, str(error)
        except Exception as error:  # noqa: BLE001 - a bug in a source must not end the other messages' leases
            return nothing_done, f"{type(error).__name__}: {error}"
        refused = {order.entries[failure.index][0]: failure.code for failure in failures}
        return refused, failures[0].code if failures else ""  # SQS's sentences quote the receipt handle

    def _report(self, tell: Callable[..., None], *facts: Any) -> None:
        with suppress(RuntimeError):  # the main loop is closed: there is nobody left to tell
            self._main.call_soon_threadsafe(tell, *facts)
