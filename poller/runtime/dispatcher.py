"""Invokes a mapping's handler: one task a batch and exactly one result, whatever the handler does.

How many run at once is the machine's decision; what a result means is the core's.
"""

import asyncio
import contextvars
import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeAlias, TypeVar

from poller.clock import Clock
from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, InvocationResult, JsonObject, NotInvoked
from poller.ports import Handler, Invocation, Span, Tracing
from poller.telling import Teller

OnDone: TypeAlias = Callable[[InvocationResult, float], None]
Work = TypeVar("Work")

MOST_ABANDONED: Final = 256
"""Timed-out invocations that ignore their cancellation; with so many of them nothing new is invoked."""

LATE: Final = 0.1
"""Seconds by which a timer may be late before the loop counts as having been blocked."""

current_mapping: contextvars.ContextVar[str] = contextvars.ContextVar("esm_mapping")
"""The mapping on whose behalf code runs: set in each invocation, inherited by what a handler starts."""


def task_name(mapping: str) -> str:
    """The name of the tasks in which this mapping's handler runs; the watchdog knows them by it."""
    return f"esm:{mapping}:invoke"


class _Call:
    """One invocation that has not been answered yet."""

    __slots__ = ("deadline", "late", "on_done", "span", "started", "task", "until")

    def __init__(self, on_done: OnDone, started: float, timeout: float, until: float) -> None:
        """`until` is the deadline as the event loop's clock has it."""
        self.on_done = on_done
        self.started = started
        self.deadline = started + timeout
        self.until = until
        self.late = False
        self.span: Span | None = None
        self.task: asyncio.Task[None] | None = None


class Dispatcher(Generic[Work]):
    """One mapping's invocations, each of one piece of work; to be made and used in one event loop."""

    def __init__(
        self,
        handler: Handler,
        mapping: EventSourceMapping,
        clock: Clock,
        build_event: Callable[[Work], JsonObject],
        tracing: Tracing[Work] | None = None,
    ) -> None:
        """`build_event` makes of the work what the function is called with, within the call's time. With `tracing`
        each invocation has a span.
        """
        self._handler = handler
        self._timeout = mapping.handler.timeout
        self._clock = clock
        self._build_event = build_event
        self._tracing = tracing
        self._teller = Teller(mapping.name, logging.getLogger("poller"))
        self._task_name = task_name(mapping.name)
        # What a handler sets in its context ends with it: neither the next invocation nor our own work sees it.
        self._outside = contextvars.copy_context()
        self._inside = contextvars.copy_context()
        self._inside.run(current_mapping.set, mapping.name)
        self._loop = asyncio.get_running_loop()
        # All calls may take equally long, so the oldest times out first, and one timer does for all of them.
        self._calls: dict[_Call, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._abandoned: set[asyncio.Task[None]] = set()
        self._id_prefix = str(uuid.uuid4())[:24]
        self._id_number = uuid.uuid4().int & 0xFFFF_FFFF_FFFF

    @property
    def running(self) -> int:
        """Invocations without a result yet."""
        return len(self._calls)

    @property
    def abandoned(self) -> int:
        """Invocations that have their result (timed out, given up) and go on nevertheless."""
        return len(self._abandoned)

    def start(self, work: Work, on_done: OnDone) -> str:
        """Invokes the handler with the work. `on_done` is called exactly once, later, in the event loop, with the
        result and the seconds it took: when the handler has ended, at the mapping's timeout, or at `abandon_all`.
        Returns the id of the request.
        """
        loop = self._loop
        request_id = self._request_id()
        if len(self._abandoned) >= MOST_ABANDONED:
            text = (
                f"{len(self._abandoned)} invocations still run although they timed out: the handler ignores its"
                " cancellation; nothing new is started until some of them end"
            )
            loop.call_soon(on_done, NotInvoked(text), 0.0, context=self._outside)
            return request_id
        until = loop.time() + self._timeout
        call = _Call(on_done, self._clock.now().mono, self._timeout, until)
        if self._timer is None:
            self._set_timer(until)
        context = self._inside.copy()
        if self._tracing is not None and (span := self._tracing.begin(work, request_id)) is not None:
            call.span = span
            context.run(span.enter)
        invocation = self._invoke(call, work, request_id)
        call.task = loop.create_task(invocation, name=self._task_name, context=context)
        self._calls[call] = None
        return request_id

    def abandon_all(self) -> None:
        """Everything that runs is given up: it has failed as far as its batch is concerned, and is cancelled."""
        for call in tuple(self._calls):
            text = "poller stopped before the function was done"
            self._give_up(call, FunctionError("Runtime.Abandoned", text))

    async def close(self, grace: float) -> None:
        """Gives up what runs and waits `grace` seconds for it to end.

        What ignores its cancellation even then is left behind, out of asyncio's sight: the end of asyncio.run
        waits for every task that it knows, and would wait for ever.
        """
        self.abandon_all()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._abandoned:
            return
        _, deaf = await asyncio.wait(self._abandoned, timeout=grace)
        for task in deaf:
            asyncio._unregister_task(task)  # noqa: SLF001 - documented for those who manage tasks themselves
            task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - as asyncio.gather does
        if deaf:
            text = f"{len(deaf)} invocations ignore their cancellation and were left behind"
            self._teller.tell(logging.WARNING, "handler_left_behind", text, invocations=len(deaf))

    async def _invoke(self, call: _Call, work: Work, request_id: str) -> None:
        try:
            if call.task is None:  # the program's task factory is eager, and `start` has not returned yet
                await asyncio.sleep(0)
            event = self._build_event(work)
            trace = None if call.span is None else call.span.handed
            result = await self._handler.invoke(Invocation(event, request_id, call.deadline, trace))
        except asyncio.CancelledError:
            text = "the invocation was cancelled from outside"
            self._finish(
                call, FunctionError("Runtime.Cancelled", text)
            )  # unless it was us: then it has its result
            raise
        except GeneratorExit:
            raise  # the loop has ended, and what it left behind is being thrown away
        except BaseException as error:  # noqa: BLE001 - handlers do not raise; if one does, its batch stays ours
            text = f"the invocation failed through a bug in poller: {type(error).__name__}"
            try:
                self._teller.failure("invocation_bug", text, text, self._clock.now(), exc_info=error)
            finally:
                self._finish(call, NotInvoked(text))
        else:
            self._finish(call, result)

    def _set_timer(self, until: float) -> None:
        if self._timer is not None:  # within `_ring`: one that timed out has begun the next
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._ring, context=self._outside)

    def _ring(self) -> None:
        """Times out what is due. It rings for nothing when the oldest of its time has ended since."""
        loop = self._loop
        now = loop.time()
        self._timer = None
        for call in tuple(self._calls):
            if call.late:
                continue  # has a timer of its own
            if call.until > now:
                self._set_timer(call.until)
                break
            if now - call.until > LATE:
                # Somebody blocked the loop: handlers whose answer has been waiting meanwhile shall not pay for it.
                call.late = True
                loop.call_later(LATE, self._time_out, call, context=self._outside)
            else:
                self._time_out(call)

    def _time_out(self, call: _Call) -> None:
        if call in self._calls:
            text = f"Task timed out after {self._timeout:.2f} seconds"
            self._give_up(call, FunctionError("Sandbox.Timedout", text, timed_out=True))

    def _give_up(self, call: _Call, result: InvocationResult) -> None:
        task = call.task
        assert task is not None, "`start` has returned"
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard, context=self._outside)
        task.cancel()
        self._finish(call, result)

    def _finish(self, call: _Call, result: InvocationResult) -> None:
        """The first result counts; the others come too late."""
        if call not in self._calls:
            return
        del self._calls[call]
        seconds = self._clock.now().mono - call.started
        outside = self._outside.copy()  # because the same context may be entered already further up the stack
        if call.span is None:
            outside.run(call.on_done, result, seconds)
        else:
            outside.run(call.span.settle, result, partial(call.on_done, result, seconds))

    def _request_id(self) -> str:
        """Shaped like a UUID of version 4; counted up, as a new random one costs more than the rest of a call."""
        self._id_number = (self._id_number + 1) & 0xFFFF_FFFF_FFFF
        return f"{self._id_prefix}{self._id_number:012x}"
