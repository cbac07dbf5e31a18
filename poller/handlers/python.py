"""The target `python:package.module:attribute`: a callable `(event, context)` in this process.

Whatever it raises, returns or fails to return is an outcome for its mapping and never our own failure.
"""

import asyncio
import functools
import inspect
import json
import logging
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from poller.clock import Clock, SystemClock
from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, InvocationResult, NotInvoked, Succeeded
from poller.errors import ConfigurationError, HandlerError
from poller.frames import of_traceback, user_place
from poller.handlers.context import Context
from poller.handlers.importing import import_target, told
from poller.handlers.threads import HandlerThreads
from poller.ports import Invocation
from poller.telling import Teller

Target: TypeAlias = Callable[[Any, Any], Any]

RESPONSE_LIMIT: Final = 6 * 1024 * 1024
"""Bytes that a response may have (INV-5)."""

MOST_TEXT: Final = 1024
"""Characters of an exception's text that go on into logs and status."""

_NOTHING_RETURNED: Final = Succeeded(b"null")
_NOTHING_FAILED: Final = Succeeded(b'{"batchItemFailures":[]}')


class PythonHandler:
    """One mapping's callable. Coroutine functions run in the event loop, all others in threads."""

    def __init__(self, target: str | Target, mapping: EventSourceMapping, clock: Clock | None = None) -> None:
        self._target = target
        self._name = mapping.function_name
        self._arn = mapping.function_arn
        self._clock = clock or SystemClock()
        self._teller = Teller(mapping.name, logging.getLogger("poller"))
        self._threads = HandlerThreads(f"esm:{mapping.name}:handler", mapping.handler.concurrency)
        self._function: Target
        self._in_loop = False

    async def start(self) -> None:
        """Imports the target, in this thread, as a program of its own would. Raises ConfigurationError."""
        function = import_target(self._target) if isinstance(self._target, str) else self._target
        if not callable(function):
            named = f"python:{self._target}" if isinstance(self._target, str) else "the handler"
            raise ConfigurationError(
                f"{named} is {type(function).__name__!r}, which cannot be called: it must be a function of"
                " (event, context)."
            )
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
                    call = functools.partial(self._function, invocation.event, context)
                    error, result = await self._threads.run(call)
                except HandlerError as refusal:
                    return NotInvoked(str(refusal))
                if error is not None:
                    return self._failed(error)
                if result is not None and inspect.isawaitable(result):
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
        return self._answer(result)

    async def close(self) -> None:
        """See ports.Handler."""
        self._threads.close()

    def _answer(self, result: Any) -> InvocationResult:
        """The response as JSON text (INV-5); what most functions return costs nothing."""
        if result is None:
            return _NOTHING_RETURNED
        if type(result) is dict and len(result) == 1:
            failures = result.get("batchItemFailures")
            if type(failures) is list and not failures:
                return _NOTHING_FAILED
        try:
            # Lambda's runtime passes bytes through as they are
            payload = result if type(result) is bytes else _encode(result).encode()
        except BaseException as error:  # noqa: BLE001 - the user's own classes are asked while it is written
            text = f"the response cannot be written as JSON: {_short(told(error))}"
            self._tell("Runtime.MarshalError", text)
            return FunctionError("Runtime.MarshalError", text)
        if len(payload) > RESPONSE_LIMIT:
            text = f"the response has {len(payload)} bytes, of at most {RESPONSE_LIMIT}"
            self._tell("Function.ResponseSizeTooLarge", text)
            return FunctionError("Function.ResponseSizeTooLarge", text)
        return Succeeded(payload)

    def _failed(self, error: BaseException) -> FunctionError:
        kind, text = type(error).__name__, _short(told(error))
        place = user_place(of_traceback(error.__traceback__))
        self._tell(kind, f"the handler raised {kind} at {place}: {text}", place, error)
        return FunctionError(kind, text)

    def _tell(self, kind: str, text: str, place: str = "", error: BaseException | None = None) -> None:
        """Users need the traceback of their own code; one that repeats is told again every 30 s, with a count."""
        self._teller.failure(
            "handler_error", f"{kind} {place}", text, self._clock.now(), error_type=kind, at=place, exc_info=error
        )


def is_coroutine_callable(function: Any) -> bool:
    """Whether calling it does nothing yet but make a coroutine, so that it may be called in the event loop.

    Known of coroutine functions, objects whose `__call__` is one, and partials of both. A plain function that
    returns an awaitable cannot be told from one that blocks: it is called in a thread, and the result awaited
    in the loop.
    """
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted, not whether it is there
    )


def _runs(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop is running at all
        return False


def _json_default(value: Any) -> Any:
    """Decimal is what the Lambda runtime takes beyond Python's own json, because DynamoDB's numbers are."""
    if isinstance(value, Decimal):
        return math.nan if value.is_nan() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), default=_json_default).encode


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
