"""A thread with an event loop of its own for the listeners, so that a handler blocking the main loop blocks no
health check and no scrape.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from poller.http.listener import Address, Running, start_listener

_T = TypeVar("_T")


class SideThread:
    """Serves applications beside the main event loop. They may only read what several threads may read."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="poller-http", daemon=True)
        self._thread.start()
        self._running: list[Running] = []

    async def listen(self, app: web.Application, address: Address, setting: str) -> Address:
        """Serves `app`; returns the address with the real port. Raises ListenError as start_listener does."""
        running = await self._do(start_listener(app, address, setting))
        self._running.append(running)
        return running.address

    async def close(self) -> None:
        """Ends the listeners and the thread; may be called again."""
        if self._loop.is_closed():
            return
        for running in self._running:
            await self._do(_close(running))
        self._running.clear()
        self._loop.call_soon_threadsafe(self._loop.stop)
        # a thread that was told to stop ends at once
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


async def _close(running: Running) -> None:
    await running.close()
