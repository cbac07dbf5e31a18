"""The composition root: AWS, metrics, the side thread and one coordinator a mapping, put together.

The daemon and the library both run this; what only one of them does (signals, listeners, files) is in daemon.py,
or in embed.py.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from poller.aws.clients import AwsClients
from poller.aws.lambda_handler import make_lambda_handler
from poller.clock import Clock, SystemClock
from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_advice import future_start
from poller.core.mapping_changes import Changes
from poller.core.mapping_targets import LambdaTarget, parse_target, told
from poller.core.messages import Request
from poller.core.model import Batch, JsonObject, MappingState, QueueFacts, SourceKind, SourceProblem
from poller.core.payload import queue_event
from poller.core.span_facts import queue_span, shard_span
from poller.errors import ConfigurationError, PollerError, SourceError
from poller.handlers.targets import Target, make_handler
from poller.metrics import Metrics, Shown
from poller.ports import Handler, KeptMapping, QueueSource, Store
from poller.runtime.coordinator import TRANSIENT, Coordinator
from poller.runtime.dispatcher import Dispatcher
from poller.runtime.heartbeat import Heartbeat
from poller.runtime.queue_coordinator import QueueCoordinator
from poller.runtime.shutdown import longest_wait, stop_all, stop_now
from poller.runtime.sidethread import SideThread
from poller.runtime.solitude import Solitude
from poller.runtime.stream_coordinator import Opened, StreamCoordinator, build_stream_event
from poller.runtime.stream_driver import ShardWork
from poller.runtime.watchdog import Watchdog
from poller.settings import State
from poller.sources import Sources
from poller.store.memory import MemoryStore
from poller.store.sqlite import SqliteStore
from poller.store.sqlite_mappings import read_mappings
from poller.tracing import Tracing, make_tracing

DISPATCHER_GRACE = 0.5  # seconds that cancelled handlers get to clean up after themselves


class Service:
    """All mappings of one process; an async context manager for one use, whose end stops them (shutdown.py)."""

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        state: State = State("memory"),  # noqa: B008 - it is frozen
        shutdown_timeout: float = 25.0,
        registry: CollectorRegistry | None = None,
        shown: Shown | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._region = region
        self._endpoint_url = endpoint_url
        self._state = state
        self._shutdown_timeout = shutdown_timeout
        self.metrics = Metrics(registry, self._clock, shown)
        self.side = SideThread()
        self.coordinators: dict[str, Coordinator] = {}
        self.abandoned = 0
        self._entered = False
        self._running = False
        self._budget = ByteBudget()
        self._solitude = Solitude()
        self._random = Random()  # noqa: S311 - jitter, not a secret
        self._stack = AsyncExitStack()
        self._worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._store: Store | None = None
        self._store_opening = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._dispatchers: dict[str, Dispatcher[Any]] = {}
        self._heartbeats: dict[str, Heartbeat] = {}
        self._clients: AwsClients

    async def __aenter__(self) -> Self:
        if self._entered:
            raise ConfigurationError("A Poller serves one `async with` block: make a new one for another.")
        self._entered = True
        try:
            self.side.start()
            self._stack.push_async_callback(self.side.close)
            self._clients = await self._stack.enter_async_context(self._make_clients())
            lag = self.metrics.process.loop_lag.observe
            self.side.spawn(Watchdog(asyncio.get_running_loop(), lag, self._blocked).run())
        except BaseException:  # nobody calls __aexit__ then
            self.metrics.close()
            await self._stack.aclose()
            raise
        self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            self.metrics.close()
            await self._stack.aclose()

    @property
    def running(self) -> bool:
        """Whether mappings can be added."""
        return self._running

    def add(
        self,
        mapping: EventSourceMapping,
        target: Target | None = None,
        begins: MappingState = MappingState.CREATING,
    ) -> Coordinator:
        """Starts a mapping; `target` is the callable itself, where FunctionName does not name it, `begins` what it
        is on the way from.

        Raises ConfigurationError for a name that is taken, a stream without a Name that is read for the same
        function already (CFG-51), a target that this version cannot call, a start in the future, or outside of the
        `async with` block.
        """
        if not self._running:
            raise ConfigurationError(
                f"The mapping {mapping.name!r} cannot be added: mappings run inside the `async with` block only."
            )
        if (wrong := future_start(mapping, self._clock.now().wall)) is not None:
            raise ConfigurationError(wrong)
        if mapping.name in self.coordinators:
            raise ConfigurationError(f"There is a mapping named {mapping.name!r} already: give one another Name.")
        if (other := self.coordinator(mapping.uuid)) is not None:
            # what the faster of two has done would be written down for both, and lost to the slower
            raise ConfigurationError(
                f"The mapping {mapping.name!r} would share its positions with {other.mapping.name!r}, which reads"
                f" the same stream for what is called {told(mapping.function_name)} too: give one of them a Name."
            )
        handler = make_handler(mapping, target, self._clock, self._make_lambda)
        add = self._add_queue if mapping.source is SourceKind.SQS else self._add_stream
        coordinator = self.coordinators[mapping.name] = add(mapping, handler)
        coordinator.start(begins)
        return coordinator

    def _add_queue(self, mapping: EventSourceMapping, handler: Handler) -> Coordinator:
        tracing = make_tracing(mapping, queue_span, self._clock)
        dispatcher = Dispatcher(handler, mapping, self._clock, _event, tracing)
        heartbeat = None
        if mapping.poller.heartbeat:
            heartbeat = Heartbeat(mapping.name, self.side, lambda: self._open_beside(mapping), self._clock)
        coordinator = QueueCoordinator(
            mapping,
            lambda: self._open(mapping),
            handler,
            dispatcher,
            metrics=self.metrics,
            clock=self._clock,
            budget=self._budget,
            longest_wait=longest_wait(self._shutdown_timeout),
            random=self._random,
            beats=heartbeat,
        )
        self._dispatchers[mapping.name] = dispatcher
        if heartbeat is not None:
            heartbeat.start(coordinator.extended, coordinator.telemetry.extension_failed)
            self._heartbeats[mapping.name] = heartbeat
        return coordinator

    def _add_stream(self, mapping: EventSourceMapping, handler: Handler) -> Coordinator:
        tracing: Tracing[ShardWork] | None = make_tracing(mapping, lambda work: shard_span(*work), self._clock)
        dispatcher = Dispatcher(handler, mapping, self._clock, build_stream_event(mapping), tracing)
        coordinator = StreamCoordinator(
            mapping,
            lambda: self._open_stream(mapping),
            handler,
            dispatcher,
            worker=self._worker,
            metrics=self.metrics,
            clock=self._clock,
            budget=self._budget,
            random=self._random,
            solitude=self._solitude,
        )
        self._dispatchers[mapping.name] = dispatcher
        return coordinator

    def find(self, uuid: str) -> Coordinator:
        """The mapping with this UUID. Raises ConfigurationError when there is none."""
        coordinator = self.coordinator(uuid)
        if coordinator is None:
            raise ConfigurationError(f"There is no mapping with the UUID {uuid!r}.")
        return coordinator

    def coordinator(self, uuid: str) -> Coordinator | None:
        """The same, from any thread; None when there is none."""
        return next((one for one in tuple(self.coordinators.values()) if one.mapping.uuid == uuid), None)

    async def first_problem(self, besides: Collection[str] = ()) -> PollerError | None:
        """Waits for the first look at every handler and source; the reason to give up at once, if there is one.
        Mappings with the UUIDs `besides` are none, however they are: nobody can mend them in a process that ends.
        Nor does a source end that process while there are such mappings, which it would take along.

        An unusable handler is one, and so is the answer of a source that it does not exist or may not be used,
        when all sources answer so. One that is only out of reach may be back in a moment.
        """
        looks = [one.first_attempt for one in self.coordinators.values() if one.mapping.uuid not in besides]
        problems = await asyncio.gather(*(asyncio.shield(look) for look in looks))
        definite: list[SourceError] = []
        for problem in problems:
            if problem is not None and not isinstance(problem, SourceError):
                return problem
            if problem is not None and problem.problem not in TRANSIENT:
                definite.append(problem)
        if not definite or besides or len(definite) < len(problems):
            return None
        missing = [problem for problem in definite if problem.problem is SourceProblem.MISSING]
        return (missing or definite)[0]

    async def wait(self) -> None:
        """Until every mapping has ended by itself, which only those with an unusable handler do."""
        while True:
            async with self._changing:  # those that it waited for may have ended to make room for others
                running = [one.task for one in self.coordinators.values() if not one.task.done()]
            if not running:
                return
            await asyncio.wait(running)

    def at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Has this awaited when the service ends, after its mappings."""
        self._stack.push_async_callback(close)

    async def remove(self, uuid: str) -> None:
        """Stops one mapping and forgets it, with the positions of a stream: added again, it starts over (API-10).

        Cancelled, it leaves the mapping stopping; it may be called again. So it may when it raises StoreError,
        because the positions cannot be forgotten now.
        """
        coordinator = self.find(uuid)
        coordinator.deleting()
        await stop_all([coordinator], self._shutdown_timeout)
        if coordinator.mapping.stream is not None:
            await (await self.opened_store()).forget(uuid)
        await self._forget(coordinator)

    async def change(self, changes: Changes) -> None:
        """Stops mappings, and starts others in their place, or the same with other fields. Positions of streams
        stay, as they do when the process ends. Cancelled, some may be stopped and not be there any more.
        """
        async with self._changing:
            going = [self.find(mapping.uuid) for mapping in changes.stop]
            await stop_all(going, self._shutdown_timeout)
            await asyncio.gather(*(self._forget(coordinator) for coordinator in going))
            for mapping in changes.start:
                self.add(mapping)

    async def replace(self, uuid: str, mapping: EventSourceMapping, begins: MappingState) -> Coordinator:
        """Puts a mapping in the place of another that is the same but for its settings; positions stay. What the
        handler of the old one works on is finished before, however long that takes (API-7). Raises as `add` does,
        and has then stopped the old one. Cancelled, the mapping may be stopped and not be there any more.
        """
        old = self.find(uuid)
        await old.retire(begins)
        await stop_all([old], self._shutdown_timeout)
        await self._forget(old)
        new = self.add(mapping, begins=begins)
        new.stats.last_result = old.stats.last_result
        return new

    async def drain(self) -> None:
        """Works until the sources of all enabled mappings are empty, and ends those mappings."""
        draining = [one for one in self.coordinators.values() if one.enabled]
        for coordinator in draining:
            coordinator.request(Request.DRAIN)
        await _ended(draining)

    async def stop(self) -> int:
        """Stops everything within the shutdown timeout; the number of messages that it abandoned.

        Cancelled, it stops at once, and leaves nothing running either.
        """
        self._running = False
        coordinators = list(self.coordinators.values())
        try:
            await stop_all(coordinators, self._shutdown_timeout)
        except asyncio.CancelledError:
            await stop_now(coordinators)
            raise
        finally:
            await asyncio.gather(*(self._forget(coordinator) for coordinator in coordinators))
        return self.abandoned

    async def _forget(self, coordinator: Coordinator) -> None:
        name = coordinator.mapping.name
        if self.coordinators.get(name) is not coordinator:
            return  # removed by two at once
        del self.coordinators[name]
        self.metrics.remove(coordinator.stats)
        if not self._running:  # what a removal or a change abandoned was told then, and is no part of the end
            self.abandoned += coordinator.abandoned
        dispatcher, heartbeat = self._dispatchers.pop(name), self._heartbeats.pop(name, None)
        await dispatcher.close(DISPATCHER_GRACE)
        if heartbeat is not None:
            with suppress(RuntimeError):  # the side thread has died, which it told, and the heartbeat with it
                await heartbeat.close()

    def _make_clients(self) -> AwsClients:
        return AwsClients(
            region=self._region,
            endpoint_url=self._endpoint_url,
            observe=self.metrics.process.aws_request,
            clock=self._clock,
        )

    def _make_lambda(self, mapping: EventSourceMapping) -> Handler:
        return make_lambda_handler(mapping, self._clients)

    def sources(self) -> Sources:
        """How its mappings open what they name, for a look at it."""
        return Sources(self._clients)

    async def _open(self, mapping: EventSourceMapping) -> tuple[QueueSource, QueueFacts]:
        return await self.sources().queue(mapping)

    async def _open_stream(self, mapping: EventSourceMapping) -> Opened:
        sources = self.sources()
        store = await self.opened_store()
        return Opened(sources.stream(mapping), await sources.destination(mapping), store)

    async def opened_store(self) -> Store:
        """The one store of the process, opened when the first stream needs it, or the first mapping that is to be
        kept: queues of a file need none. Raises StoreError.
        """
        async with self._store_opening:
            if self._store is None:
                if self._state.lasting:
                    self._store = await self._stack.enter_async_context(SqliteStore(self._state.path))
                else:
                    self._store = MemoryStore()
            return self._store

    async def kept_mappings(self) -> tuple[KeptMapping, ...]:
        """The mappings of the control API in the store. A state file without any is neither made nor locked for
        this: who has queues in a file and nothing else may run where nothing can be written. Raises StoreError.
        """
        if self._state.lasting and not (self._state.there and read_mappings(self._state.path)):
            return ()
        return await (await self.opened_store()).load()

    @asynccontextmanager
    async def _open_beside(self, mapping: EventSourceMapping) -> AsyncIterator[QueueSource]:
        """The same queue over connections of the side thread's loop."""
        async with self._make_clients() as clients:
            queue, _ = await Sources(clients).queue(mapping)
            yield queue

    def _blocked(self, name: str | None, seconds: float) -> None:
        coordinator = self.coordinators.get(name or "")
        if coordinator is not None:
            coordinator.stats.loop_blocked_seconds += seconds


async def _ended(coordinators: Iterable[Coordinator]) -> None:
    """Until all of them have ended, however they did."""
    if tasks := [coordinator.task for coordinator in coordinators]:
        await asyncio.wait(tasks)


def _event(batch: Batch) -> JsonObject:
    return queue_event([message.record for message in batch.messages])


async def try_handler(mapping: EventSourceMapping) -> None:
    """Looks whether the mapping's handler can be had, as far as that can be known here: of a Lambda function AWS
    alone knows. Raises ConfigurationError or HandlerError.
    """
    if isinstance(parse_target(mapping.function_name), LambdaTarget):
        return
    handler = make_handler(mapping)
    try:
        await handler.start()
    finally:
        await handler.close()


def import_handler(mapping: EventSourceMapping) -> None:
    """The same where no event loop runs yet."""
    asyncio.run(try_handler(mapping))
