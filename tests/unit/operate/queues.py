"""A queue in this process behind ports.SendingQueue."""

import asyncio
from collections.abc import Sequence
from typing import Any

from poller.clock import Clock
from poller.core.model import JsonObject, QueueFacts
from poller.ports import Failure
from poller.testing import FakeQueue, ManualClock


class TestedQueue:
    """A FakeQueue that nobody waits for: an empty receive is answered at once. Each takes `seconds` of a
    ManualClock; `order` has the calls that change something, `taken` tells that a receive was made.
    """

    __test__ = False

    def __init__(self, clock: Clock, name: str = "dead", *, seconds: float = 0, **more: Any) -> None:
        self.fake = FakeQueue(name, clock=None if "service" in more else clock, **more)
        self.taken = asyncio.Event()
        self._clock = clock
        self._seconds = seconds
        self.order: list[str] = []

    def send_now(self, body: str, **fields: Any) -> str:
        """The test's own sending."""
        return self.fake.send(body, **fields)

    def bodies(self) -> list[str]:
        """All that is there."""
        return self.fake.bodies()

    async def describe(self) -> QueueFacts:
        return await self.fake.describe()

    async def receive(
        self, maximum: int, wait: int, visibility_timeout: int | None, deadline: float
    ) -> tuple[list[JsonObject], int]:
        del wait
        if isinstance(self._clock, ManualClock):
            self._clock.advance(self._seconds)
        answer = await self.fake.receive(maximum, 0, visibility_timeout, deadline)
        self.taken.set()
        for _ in range(3):  # it is under way for a while
            await asyncio.sleep(0)
        return answer

    async def delete(self, receipts: Sequence[str]) -> Sequence[Failure]:
        self.order.append("delete")
        return await self.fake.delete(receipts)

    async def change_visibility(self, receipts: Sequence[str], seconds: Sequence[int]) -> Sequence[Failure]:
        return await self.fake.change_visibility(receipts, seconds)

    async def send(self, message: JsonObject) -> str:
        self.order.append("send")
        answer = await self.fake._call("SendMessage", message, 10.0)
        return str(answer["MessageId"])
