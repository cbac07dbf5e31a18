"""Threads for functions that block: a pool that survives functions which never return.

concurrent.futures would make the interpreter wait for such a function at exit, and could not replace its thread.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias

from poller.errors import HandlerError

MOST_ABANDONED = 256
"""Calls of one handler that may go on running after nobody waits for them any more."""

Ending: TypeAlias = tuple[BaseException | None, Any]


class _Call:
    __slots__ = ("abandoned", "context", "ended", "function", "future", "loop")

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.context = contextvars.copy_context()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Ending] = self.loop.create_future()
        self.ended = False
        self.abandoned = False


class HandlerThreads:
    """Up to `size` daemon threads at work, made when first needed, besides those whose call was abandoned.

    All counting is done in the event loop; a thread only takes a call from the queue, runs it and tells.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._abandoned = 0

    @property
    def abandoned(self) -> int:
        """Calls still running that nobody waits for."""
        return self._abandoned

    async def run(self, function: Callable[[], Any]) -> Ending:
        """Calls `function` in a thread, with a copy of the caller's context variables: (what it raised, what it
        returned). The exception is handed over, not raised, so that it cannot be taken for one of the caller's.

        When cancelled, the call is abandoned: it goes on, another thread takes its place and its ending is
        dropped. Raises HandlerError when there is no thread for it.
        """
        if not self._size:
            raise HandlerError("the handler has been closed")
        if self._abandoned >= MOST_ABANDONED:
            raise HandlerError(
                f"{self._abandoned} calls of the function still run although they timed out long ago; no new one"
                " starts until some of them return: let the function set time limits to what it waits for"
            )
        call = _Call(function)
        self._busy += 1
        try:
            self._grow()
        except RuntimeError as error:
            self._busy -= 1
            raise HandlerError(f"the system gives no further thread for the function ({error})") from error
        self._calls.put(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            if not call.ended:
                call.abandoned = True
                self._busy -= 1
                self._abandoned += 1
                with suppress(RuntimeError):
                    self._grow()  # a call may wait for this thread, which may never come back
            raise

    def close(self) -> None:
        """Ends the idle threads now, the others after their call."""
        self._size = 0
        self._trim()

    def _grow(self) -> None:
        """One more thread if all are taken and there may be more; raises RuntimeError if the system refuses."""
        if self._busy > self._threads - self._abandoned < self._size:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._threads += 1

    def _trim(self) -> None:
        """An abandoned call that returned after all leaves one thread too many."""
        while self._threads - self._abandoned > self._size:
            self._threads -= 1
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            error: BaseException | None = None
            value = None
            if not call.abandoned:
                try:
                    value = call.context.run(call.function)
                except BaseException as raised:  # noqa: BLE001 - whatever the function does is an outcome
                    error = raised
            try:
                call.loop.call_soon_threadsafe(self._ended, call, error, value)
            except RuntimeError:
                return  # the loop was closed meanwhile: there is nobody to tell, and nothing more will come
            del call, error, value  # an idle thread keeps nobody's objects alive

    def _ended(self, call: _Call, error: BaseException | None, value: Any) -> None:
        call.ended = True
        if call.abandoned:
            self._abandoned -= 1
            self._trim()
            return
        self._busy -= 1
        if not call.future.done():
            call.future.set_result((error, value))
