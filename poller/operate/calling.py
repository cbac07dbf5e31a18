"""A mapping's handler called by hand: the same target, the same dispatcher, the same timeout as in the daemon."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, TypeAlias, assert_never

from poller.clock import SystemClock
from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, InvocationResult, JsonObject, NotInvoked, Succeeded, Throttled
from poller.handlers.targets import make_handler
from poller.runtime.dispatcher import Dispatcher
from poller.sources import Sources

_GRACE: Final = 0.5  # seconds that a cancelled handler gets to clean up after itself


class Called(NamedTuple):
    """What a call came to, the seconds it took, and the id of its request."""

    result: InvocationResult
    seconds: float
    request_id: str


Call: TypeAlias = Callable[[JsonObject], Awaitable[Called]]


@asynccontextmanager
async def opened_handler(mapping: EventSourceMapping, sources: Sources) -> AsyncIterator[Call]:
    """Started, and closed in the end. Raises ConfigurationError or HandlerError when it cannot be had."""
    clock = SystemClock()
    handler = make_handler(mapping, None, clock, sources.lambda_handler)
    dispatcher: Dispatcher[JsonObject] = Dispatcher(handler, mapping, clock, _as_it_is)
    loop = asyncio.get_running_loop()

    async def call(event: JsonObject) -> Called:
        done: asyncio.Future[tuple[InvocationResult, float]] = loop.create_future()

        def ended(result: InvocationResult, seconds: float) -> None:
            if not done.done():
                done.set_result((result, seconds))

        request_id = dispatcher.start(event, ended)
        result, seconds = await done
        return Called(result, seconds, request_id)

    try:
        await handler.start()
        yield call
    finally:
        await dispatcher.close(_GRACE)
        await handler.close()


def told(result: InvocationResult) -> str:
    """What an invocation came to, in a phrase; nothing of what the function returned."""
    match result:
        case Succeeded():
            return "the function returned"
        case FunctionError(error_type, message):
            return f"function error {error_type}: {message}" if message else f"function error {error_type}"
        case Throttled(message):
            return f"throttled, nothing ran: {message}"
        case NotInvoked(message):
            return f"not invoked: {message}"
        case _:
            assert_never(result)


def _as_it_is(event: JsonObject) -> JsonObject:
    return event
