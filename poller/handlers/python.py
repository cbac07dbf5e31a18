"""The target `python:package.module:attribute`: a callable `(event, context)` in this process.

Whatever it raises, returns or fails to return is an outcome for its mapping and never our own failure.
"""

import asyncio
import functools
import inspect
import logging
from typing import Any

from poller.clock import Clock, SystemClock
from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, InvocationResult, NotInvoked, Succeeded
from poller.errors import HandlerError
from poller.handlers.callables import (
    RESPONSE_LIMIT,
    Target,
    answer,
    check_function,
    check_reports,
    find_function,
    is_coroutine_callable,
    raised,
)
from poller.handlers.context import Context
from poller.handlers.threads import HandlerThreads
from poller.ports import Invocation
from poller.telling import Teller

__all__ = ["RESPONSE_LIMIT", "PythonHandler", "Target"]


class PythonHandler:
    """One mapping's callable. Coroutine functions run in the event loop, all others in threads."""

    def __init__(self, target: str | Target, mapping: EventSourceMapping, clock: Clock | None = None) -> None:
        self._target = target
        self._name = mapping.function_name
        self._arn = mapping.function_arn
        self._mapping_name = mapping.name
        self._reports_are_read = mapping.report_batch_item_failures
        self._clock = clock or SystemClock()
        self._teller = Teller(mapping.name, logging.getLogger("poller"))
        self._threads = HandlerThreads(f"esm:{mapping.name}:handler", mapping.handler.concurrency)
        self._function: Target
        self._in_loop = False

    async def start(self) -> None:
        """Imports the target, in this thread, as a program of its own would. Raises ConfigurationError."""
        if isinstance(self._target, str):
            function = find_function(self._target)
        else:
            function = check_function(self._target, "the handler")
        if not self._reports_are_read:
            check_reports(function, self._mapping_name)
        self._function = function
        self._in_loop = is_coroutine_callable(function)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """See ports.Handler. What the function raises is Unhandled, as the Lambda runtime reports it (INV-2)."""
        context = Context(invocation, self._name, self._arn, self._clock)
        task = asyncio.current_task()
        try:
            if self._in_loop:
                result = await self._function(invocation.event, context)
            else:
                try:
                    call = functools.partial(self._call, invocation.event, context)
                    error, result = await self._threads.run(call)
                except HandlerError as refusal:
                    return NotInvoked(str(refusal))
                if error is not None:
                    return self._failed(error)
                if isinstance(result, Succeeded | FunctionError):
                    return self._told(result)
                result = await result
        except asyncio.CancelledError as error:
            if task is not None and task.cancelling():
                raise  # ours: the call timed out
            return self._failed(error)
        except GeneratorExit as error:
            if not _runs(task):
                raise  # nobody raised it: the loop has ended, and what is left of the call is being thrown away
            return self._failed(error)
        except BaseException as error:  # noqa: BLE001 - sys.exit and the like end the call, not the poller
            return self._failed(error)
        return self._told(answer(result))

    async def close(self) -> None:
        """See ports.Handler."""
        self._threads.close()

    def _call(self, event: Any, context: Context) -> Any:
        """In a thread: the function's response, or what has to be awaited for it.

        The response becomes JSON there, too: that may take long, and asks the user's own classes.
        """
        result = self._function(event, context)
        return result if result is not None and inspect.isawaitable(result) else answer(result)

    def _told(self, response: Succeeded | FunctionError) -> InvocationResult:
        if isinstance(response, FunctionError):
            self._tell(response.error_type, response.message)
        return response

    def _failed(self, error: BaseException) -> FunctionError:
        failure, place = raised(error)
        kind = failure.error_type
        self._tell(kind, f"the handler raised {kind} at {place}: {failure.message}", place, error)
        return failure

    def _tell(self, kind: str, text: str, place: str = "", error: BaseException | None = None) -> None:
        """Users need the traceback of their own code; one that repeats is told again every 30 s, with a count."""
        self._teller.failure(
            "handler_error", f"{kind} {place}", text, self._clock.now(), error_type=kind, at=place, exc_info=error
        )


def _runs(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop is running at all
        return False
