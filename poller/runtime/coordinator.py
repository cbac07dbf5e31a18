"""The life of one mapping: open its source, start its handler, run its machine, start it again after a crash.

A mapping that cannot start now keeps trying in the background, as AWS's own does when access returns (API-16);
what the first attempt came to is told through `first_attempt`, so that a command line can refuse a typing error.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from poller.clock import Clock
from poller.core.backoff import delay
from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping, visibility_conflict
from poller.core.messages import Described, Event, Extended, Request, Requested
from poller.core.model import MappingState, QueueFacts, QueueGauges, SourceProblem
from poller.core.queue_consumer import QueueConsumer
from poller.errors import PollerError, SourceError
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES
from poller.ports import Handler, QueueSource
from poller.runtime.driver import Beats, Dispatch, Driver
from poller.telemetry import Telemetry

OPENING_FIRST, OPENING_CAP = 0.5, 3.0  # seconds between attempts to reach the source
DEFINITE_CAP = 30.0  # the same where the source has answered, and the answer was no
CRASH_FIRST, CRASH_CAP = 0.5, 30.0  # seconds before a crashed machine is started again
TRANSIENT = frozenset({SourceProblem.THROTTLED, SourceProblem.UNREACHABLE, SourceProblem.SERVER})

OpenQueue = Callable[[], Awaitable[tuple[QueueSource, QueueFacts]]]
T = TypeVar("T")


class Coordinator:
    """One mapping in this process. Make it inside a running loop; `start` it once."""

    task: asyncio.Task[None]

    def __init__(
        self,
        mapping: EventSourceMapping,
        open_queue: OpenQueue,
        handler: Handler,
        dispatch: Dispatch,
        *,
        metrics: Metrics,
        clock: Clock,
        budget: ByteBudget,
        longest_wait: int,
        random: Random,
        beats: Beats | None = None,
    ) -> None:
        self.mapping = mapping
        self.stats = metrics.add(mapping, self.gauges)
        self.telemetry = Telemetry(self.stats)
        self.first_attempt: asyncio.Future[PollerError | None] = asyncio.get_running_loop().create_future()
        self.failure: PollerError | None = None
        self.abandoned = 0
        self._open_queue = open_queue
        self._handler = handler
        self._dispatch = dispatch
        self._metrics = metrics
        self._clock = clock
        self._budget = budget
        self._longest_wait = longest_wait
        self._random = random
        self._beats = beats
        self._enabled = mapping.enabled
        self._draining = False
        self._stopping = asyncio.Event()
        self._machine: QueueConsumer | None = None
        self._driver: Driver | None = None

    @property
    def enabled(self) -> bool:
        """Whether it is to receive."""
        return self._enabled

    def start(self) -> None:
        """Begins the mapping's life; `task` ends when it is over, early and with `failure` set if the handler
        cannot be used.
        """
        self.task = asyncio.create_task(self._live(), name=f"esm:{self.mapping.name}")

    def gauges(self) -> QueueGauges:
        """How the mapping stands; called from the thread that scrapes."""
        machine = self._machine
        return NO_GAUGES if machine is None else machine.gauges()

    def request(self, request: Request) -> None:
        """Passes on what the owner wants; it outlives a restart of the machine."""
        match request:
            case Request.PAUSE:
                self._enabled = False
            case Request.RESUME:
                self._enabled = True
            case Request.DRAIN:
                self._draining = True
            case Request.STOP | Request.ABANDON:
                self._stopping.set()
        if self._driver is not None:
            self._driver.feed(Requested(request))

    def extended(self, ids: tuple[str, ...], lease_until: float) -> None:
        """The heartbeat has extended receipts of this mapping."""
        if self._driver is not None:
            self._driver.feed(Extended(ids, lease_until))

    async def pause(self) -> None:
        """Receives no more; returns when running handlers are done and all else was given back (API-8)."""
        self._tell(MappingState.DISABLING)
        self.request(Request.PAUSE)
        if self._driver is not None:
            await self._driver.rest()
        self._tell(MappingState.DISABLED)

    def resume(self) -> None:
        """Receives again."""
        self._tell(MappingState.ENABLING)
        self.request(Request.RESUME)
        if self._machine is not None:
            self._tell(MappingState.ENABLED)

    async def _live(self) -> None:
        self._tell(MappingState.CREATING)
        try:
            await self._handler.start()
        except PollerError as error:
            self.failure = error
            self.first_attempt.set_result(error)
            self.telemetry.handler_unusable(error, self._clock.now())
            return
        try:
            crashes = 0
            while not self._stopping.is_set():
                opened = await self._unless_stopped(self._open())
                if opened is None:
                    return
                if crashes:
                    self.telemetry.restarted(self._clock.now())
                try:
                    await self._drive(*opened)
                except Exception as error:  # noqa: BLE001 - a dead loop is told, counted and started again
                    self.telemetry.crashed(error, self._clock.now())
                    crashes += 1
                    await self._unless_stopped(asyncio.sleep(delay(crashes, CRASH_FIRST, CRASH_CAP, self._random)))
                else:
                    return
        finally:
            self._driver = None
            if not self.first_attempt.done():
                self.first_attempt.set_result(None)  # stopped before it was known; nobody is to wait for it
            await self._handler.close()
            self.stats.finished = True

    async def _drive(self, source: QueueSource, facts: QueueFacts) -> None:
        machine = QueueConsumer(self.mapping, self._random, self._budget, self._longest_wait)
        driver = Driver(machine, source, self._dispatch, self._clock, self.telemetry, self._beats)
        first: list[Event] = [Described(facts)]
        if self._enabled != self.mapping.enabled:
            first.append(Requested(Request.RESUME if self._enabled else Request.PAUSE))
        if self._draining:
            first.append(Requested(Request.DRAIN))
        self._machine, self._driver = machine, driver
        self._tell(MappingState.ENABLED if self._enabled else MappingState.DISABLED)
        try:
            await driver.run(*first)
        finally:
            self._driver = None
            self.abandoned += machine.abandoned
            machine.release_budget()

    async def _open(self) -> tuple[QueueSource, QueueFacts]:
        """The source, as soon as it can be had."""
        attempt = 0
        while True:
            try:
                return await self._open_checked()
            except SourceError as error:
                attempt += 1
                self.telemetry.source_unavailable(error.problem, str(error), self._clock.now())
                if not self.first_attempt.done():
                    self.first_attempt.set_result(error)
                cap = OPENING_CAP if error.problem in TRANSIENT else DEFINITE_CAP
                await asyncio.sleep(delay(attempt, OPENING_FIRST, cap, self._random))

    async def _open_checked(self) -> tuple[QueueSource, QueueFacts]:
        """One attempt; raises SourceError. The handler's timeout must fit the queue's visibility (CFG-44)."""
        source, facts = await self._open_queue()
        conflict = visibility_conflict(facts.visibility_timeout, self.mapping)
        if conflict is not None:
            raise SourceError(SourceProblem.REFUSED, conflict)
        if not self.first_attempt.done():
            self.first_attempt.set_result(None)
        return source, facts

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """The result, or None once the mapping is to stop; for work that holds no messages."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            stop.cancel()

    def _tell(self, state: MappingState) -> None:
        self.telemetry.state_changed(state, self._clock.now())
