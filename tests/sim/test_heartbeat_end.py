"""What the simulator found in the heartbeat (seed 627): extensions that fall due while it ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from poller.core.model import Message
from poller.runtime.heartbeat import Heartbeat
from tests.property.virtual_loop import LoopClock
from tests.sim.loop import simulate
from tests.sim.process import SimSide


class SlowToEnd:
    """A queue whose calls take their time to be cancelled."""

    calls = 0

    async def change_visibility(self, receipts: Sequence[str], seconds: Sequence[int]) -> list[Any]:
        self.calls += 1
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(60.0)
        raise AssertionError


def held(name: str, lease: float) -> Message:
    now = LoopClock().now().mono
    return Message(name, f"receipt-{name}", None, 1, 0.0, 1, now + lease, {}, now)


def test_nothing_is_extended_while_it_ends() -> None:
    """SQS-9: a lease that is due then, or news that come then, are nobody's any more; nothing is told of a bug."""
    queue = SlowToEnd()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        yield queue

    async def ended() -> None:
        side = SimSide()
        heartbeat = Heartbeat("orders", side, opened, LoopClock())  # type: ignore[arg-type]
        heartbeat.start(lambda *_: None, lambda *_: None)
        await asyncio.sleep(1.0)
        heartbeat.hold((held("soon", 10.0), held("later", 40.0)), 10)
        await asyncio.sleep(7.0)
        assert queue.calls == 1
        closing = asyncio.ensure_future(heartbeat.close())
        await asyncio.sleep(1.0)
        heartbeat.hold((held("news", 10.0),), 10)
        await asyncio.sleep(100.0)
        await closing
        await side.close()

    simulate(ended(), 1)
    assert queue.calls == 1
