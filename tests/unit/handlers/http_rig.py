"""An HttpHandler in front of a scripted target, and the wait for a condition."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from poller.core.mapping import EventSourceMapping
from poller.core.model import InvocationResult
from poller.handlers.http import HttpHandler
from poller.ports import Invocation
from tests.unit.handlers.http_server import Script, Target, target

GENEROUS = 30.0


def invocation(event: dict | None = None) -> Invocation:
    return Invocation({"Records": []} if event is None else event, "request-1", time.monotonic() + GENEROUS)


@asynccontextmanager
async def handling(mapping: EventSourceMapping, url: str, clock=None, **settings) -> AsyncIterator[HttpHandler]:
    """A started handler of this URL; `settings` are fields of HandlerSettings."""
    handler = HttpHandler(url, replace(mapping, handler=replace(mapping.handler, **settings)), clock)
    await handler.start()
    try:
        yield handler
    finally:
        await handler.close()


@asynccontextmanager
async def facing(
    mapping: EventSourceMapping, script: Script, path: str = "/", *, tls: bool = False, **settings
) -> AsyncIterator[tuple[Target, HttpHandler]]:
    """A target that runs the script, and a handler that is to call it."""
    async with target(script, tls=tls) as serving, handling(mapping, serving.url + path, **settings) as handler:
        yield serving, handler


async def answer_of(mapping: EventSourceMapping, script: Script, event: dict | None = None) -> InvocationResult:
    """What one call of the target comes to."""
    async with facing(mapping, script) as (_, handler):
        return await asyncio.wait_for(handler.invoke(invocation(event)), GENEROUS)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for as long as a slow machine may need."""
    async with asyncio.timeout(GENEROUS):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.002)
