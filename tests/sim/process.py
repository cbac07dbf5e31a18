"""One worker process: the real Service with all that belongs to it, over simulated AWS, store and clock."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping
from poller.core.model import Instant, InvocationResult, MappingState
from poller.core.stream_messages import Discarded
from poller.errors import DestinationError
from poller.ports import Destination, FailureDocument, Handler, LeaseStore
from poller.runtime.coordinator import Coordinator
from poller.runtime.shutdown import stop_now
from poller.runtime.solitude import Solitude, Turn
from poller.runtime.stream_coordinator import Opened, StreamCoordinator
from poller.service import Service
from tests.sim.aws import SimClients
from tests.sim.functions import SimFunction
from tests.sim.sources import Source
from tests.sim.store import SimStore

if TYPE_CHECKING:
    from tests.sim.world import World


class SimClock:
    """The process's clocks: the wall clock may step."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.furthest = self.most_behind = 0.0

    def now(self) -> Instant:
        mono = asyncio.get_running_loop().time()
        return Instant(1_750_000_000.0 - 1_000.0 + mono + self.ahead, mono)

    def step(self, seconds: float) -> None:
        self.ahead += seconds
        self.furthest = max(self.furthest, self.ahead)
        self.most_behind = min(self.most_behind, self.ahead)


class SimSide:
    """The side thread, in the one thread that there is. Nobody watches the loop: its time is not the machine's."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], None] = {}

    def start(self) -> None:
        pass

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if work.__qualname__ == "Watchdog.run":
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await work

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class _Nowhere(CollectorRegistry):
    """Nobody scrapes."""

    def register(self, collector: Any) -> None:
        pass

    def unregister(self, collector: Any) -> None:
        pass


class WatchedSolitude(Solitude):
    """Knows when somebody who was alone, or asked to be, last was not any more."""

    left_at = 0.0

    def leave(self, turn: Turn) -> None:
        self.left_at = asyncio.get_running_loop().time()
        super().leave(turn)


class WatchedBudget(ByteBudget):
    """Knows since when it is full."""

    full_since: float | None = None

    def take(self, size: int) -> None:
        super().take(size)
        if self.full_since is None and not self.has_room:
            self.full_since = asyncio.get_running_loop().time()

    def give_back(self, size: int) -> None:
        super().give_back(size)
        if self.has_room:
            self.full_since = None


class Spy:
    """Between a driver and its dispatcher: every batch that is invoked, and what it came to, in that order."""

    def __init__(self, process: "Process", source: Source, dispatch: Any) -> None:
        self._process, self._source, self._dispatch = process, source, dispatch

    def start(self, work: Any, on_done: Callable[[InvocationResult, float], None], /) -> str:
        rules, process = self._process.world.rules, self._process
        if process.dead:
            return ""
        call = rules.begins(process, self._source, work)

        def done(result: InvocationResult, seconds: float) -> None:
            rules.ends(process, call, result)
            on_done(result, seconds)

        call.request_id = self._dispatch.start(work, done)
        return call.request_id


class WatchedDestination:
    """Tells the rules what is given up, before and after."""

    def __init__(self, process: "Process", source: Source, real: Destination) -> None:
        self._process, self._source, self._real = process, source, real

    async def deliver(self, document: FailureDocument) -> None:
        rules = self._process.world.rules
        given_up = rules.gives_up(self._process, self._source, document)
        try:
            await self._real.deliver(document)
        except DestinationError:
            rules.refused(self._process, given_up)
            raise


class Process(Service):
    """One life of the worker. `kill` ends it as kill -9 does: what it has sent may still arrive."""

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(registry=_Nowhere(), clock=world.clock, shutdown_timeout=25.0)
        self.world = world
        self.number = number
        self.dead = False
        self.stopping_since: float | None = None
        self.ending: dict[str, float] = {}
        """Since when single mappings are to end, by their names."""
        self.paused: set[str] = set()
        self.side = SimSide()  # type: ignore[assignment]
        self.solitude = self._solitude = WatchedSolitude()
        self.budget = self._budget = WatchedBudget(world.memory)
        self._random.seed(world.random.getrandbits(32))
        self._worker = f"worker-{number}"

    @property
    def worker(self) -> str:
        """Its name as an owner of rows."""
        return self._worker

    async def begin(self) -> None:
        await self.__aenter__()
        for source in self.world.sources.all:
            self.add(source.mapping)

    def add(
        self, mapping: EventSourceMapping, target: object = None, begins: MappingState = MappingState.CREATING
    ) -> Coordinator:
        source = self.world.sources.by_uuid[mapping.uuid]
        source.mapping, source.made = mapping, source.changes
        self.ending.pop(mapping.name, None)
        coordinator = super().add(mapping, SimFunction(self, source) if source.python else None, begins)
        source.state = lambda: coordinator.stats.state
        coordinator._dispatch = Spy(self, source, coordinator._dispatch)  # type: ignore[attr-defined]
        if isinstance(coordinator, StreamCoordinator):
            self._watch_discards(source, coordinator._watch.words)
        return coordinator

    def _watch_discards(self, source: Source, words: dict[Any, Any]) -> None:
        """Tells the rules what was given up, also where no document says so."""
        real = words[Discarded]

        def discarded(shard: str, command: Discarded, now: Instant) -> None:
            if not self.dead:
                self.world.rules.discarded(source, shard, command.discard.batch)
            real(shard, command, now)

        words[Discarded] = discarded

    async def _forget(self, coordinator: Coordinator) -> None:
        await super()._forget(coordinator)
        self.world.rules.left(self, self.world.sources.by_uuid[coordinator.mapping.uuid])

    async def kill(self) -> None:
        self.count()
        self.dead = True
        await stop_now(list(self.coordinators.values()))
        await self.__aexit__(None, None, None)
        self.world.rules.died(self)

    async def end(self, timeout: float) -> None:
        """A stop, as by SIGTERM."""
        self.count()
        self.stopping_since = self.world.time
        self._shutdown_timeout = timeout
        await self.__aexit__(None, None, None)
        self.dead = True
        self.world.rules.died(self)

    def count(self) -> None:
        """What its mappings have come to, for the table of what was reached."""
        for coordinator in self.coordinators.values():
            self.world.rules.counts(coordinator.stats)

    # --- what a simulated process has of its own ---

    def _make_clients(self) -> Any:
        return SimClients(self)

    def _make_lambda(self, mapping: EventSourceMapping) -> Handler:
        return SimFunction(self, self.world.sources.by_uuid[mapping.uuid])

    async def opened_store(self) -> LeaseStore:
        return SimStore(self)

    async def _open_stream(self, mapping: EventSourceMapping) -> Opened:
        opened = await super()._open_stream(mapping)
        if opened.destination is None:
            return opened
        source = self.world.sources.by_uuid[mapping.uuid]
        return opened._replace(destination=WatchedDestination(self, source, opened.destination))
