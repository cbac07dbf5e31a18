"""The rows of a run's streams: they outlast processes, and the way to them is bad.

What a store may do to its callers: be slow or down, lose an answer, do what it was asked to long after it said
that it failed, and at a power failure forget what was not written durably.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from poller.core.leases import Conflict, Lease
from poller.errors import StoreError
from poller.store.memory import MemoryStore

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.world import World


class Rows(MemoryStore):
    """All rows, and as they would be found after a power failure."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: dict[str, dict[str, Lease]] = {}
        self.down = False
        self.forgotten: Counter[str] = Counter()
        """How often the rows of a mapping were forgotten. A store keeps an order: what it was asked to before
        that has no effect after it."""

    def of(self, app: str) -> dict[str, Lease]:
        return self._apps[app]

    def sync(self) -> None:
        """What is there now outlasts everything."""
        self.durable = {app: dict(rows) for app, rows in self._apps.items()}

    def power_failure(self) -> None:
        for app in list(self._apps):
            self._apps[app] = dict(self.durable.get(app, {}))


class SimStore:
    """ports.LeaseStore for one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._world: World = process.world
        self._rows = self._world.rows
        self.lasting = self._world.lasting

    async def _meddle(self, late: Callable[[], Any] | None) -> bool:
        """Whether the answer is to be lost; raises what happens before the work is done."""
        world, random = self._world, self._world.random
        if random.random() < 0.3:
            await asyncio.sleep(random.choice([0.001, 0.05, 1.0]))
        if self._process.dead:
            raise StoreError("the process is dead")
        if self._rows.down:
            world.reached["store down"] += 1
            raise StoreError("planted: down")
        if random.random() >= world.weather.store:
            return False
        fate = random.randrange(3)
        if fate == 0 and late is not None:
            world.reached["store: done after it failed"] += 1
            world.later(random.choice([0.2, 3.0, 30.0]), late)
        elif fate == 1:
            world.reached["store: lost answer"] += 1
            return True
        raise StoreError("planted: no answer")

    def _later(self, app: str, work: Callable[[], Any]) -> Callable[[], Any]:
        """Does it, unless the rows have been forgotten meanwhile."""
        times = self._rows.forgotten[app]
        return lambda: work() if self._rows.forgotten[app] == times else None

    def _swap(self, app: str, expected: Lease, lease: Lease, durable: bool) -> Lease | Conflict:
        rows = self._rows.of(app)
        found = rows.get(lease.key)
        if found is None or (found.counter, found.owner) != (expected.counter, expected.owner):
            self._world.reached["store: conflict"] += 1
            return Conflict(found)
        written = replace(lease, counter=expected.counter + 1)
        self._world.trace("row", lease.key, lease.checkpoint, lease.owner)
        self._world.rules.written(self._process, app, found, written)
        rows[lease.key] = written
        if durable:
            self._rows.sync()
        return written

    def _create(self, app: str, lease: Lease, *, late: bool = False) -> bool:
        if lease.key in self._rows.of(app):
            return False
        self._world.rules.created(app, lease, late=late)
        self._rows.of(app)[lease.key] = lease
        self._rows.sync()
        return True

    def _lost(self, lost: bool) -> None:
        if lost:
            raise StoreError("planted: lost answer")

    async def create(self, app: str, lease: Lease) -> bool:
        lost = await self._meddle(self._later(app, lambda: self._create(app, lease, late=True)))
        created = self._create(app, lease)
        self._lost(lost)
        return created

    async def rows(self, app: str) -> tuple[Lease, ...]:
        self._lost(await self._meddle(None))
        return await self._rows.rows(app)

    async def get(self, app: str, key: str) -> Lease | None:
        self._lost(await self._meddle(None))
        return await self._rows.get(app, key)

    async def swap(self, app: str, expected: Lease, lease: Lease, *, durable: bool = True) -> Lease | Conflict:
        lost = await self._meddle(self._later(app, lambda: self._swap(app, expected, lease, durable)))
        answer = self._swap(app, expected, lease, durable)
        self._lost(lost)
        return answer

    async def delete(self, app: str, expected: Lease) -> bool:
        lost = await self._meddle(None)
        done = await self._rows.delete(app, expected)
        self._rows.sync()
        self._lost(lost)
        return done

    async def forget(self, app: str) -> None:
        lost = await self._meddle(None)
        self._world.rules.forgets(app)
        self._rows.forgotten[app] += 1
        await self._rows.forget(app)
        self._rows.sync()
        self._lost(lost)
