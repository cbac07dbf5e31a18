"""A thread with an event loop of its own, for what must go on while a handler blocks the main one.

Listeners, the heartbeat and the watchdog live here. What they share with the main loop, they share by messages.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from poller.eventloop import new_event_loop

_T = TypeVar("_T")
_log = logging.getLogger("poller")

STOP_WITHIN = 10.0  # seconds for everything in the thread to end after it was cancelled


class SideThread:
    """`start` it once, `close` it once. A daemon thread: it never keeps the process from ending."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._main, name="esm-side", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event

    def start(self) -> None:
        """Starts the thread; from now on it takes work."""
        self._thread.start()
        self._ready.wait()

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Runs the coroutine in the side thread, awaited from another loop: its result, or its exception.

        Raises RuntimeError when the thread has ended.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()  # it will not be awaited
            raise
        return await asyncio.wrap_future(future)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs the coroutine in the side thread until it ends or the thread is closed. May be called from any
        thread; a failure is logged, as nobody awaits it.
        """
        self._loop.call_soon_threadsafe(self._spawn, work)

    async def close(self) -> None:
        """Cancels what runs and ends the thread; called from another loop. May be called again."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._ended), STOP_WITHIN)
        except TimeoutError:
            _log.error("the side thread does not end; it is left behind", extra={"action": "side_thread_stuck"})

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException:
            _log.exception("the side thread ended: this is a bug in poller", extra={"action": "side_thread_died"})
            raise
        finally:
            self._ready.set()
            self._ended.set_result(None)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._ready.set()
        await self._stopping.wait()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            text = f"a part of the side thread failed ({type(error).__name__}): this is a bug in poller"
            _log.error(text, exc_info=error, extra={"action": "side_task_failed"})
