"""The life of one mapping: start its handler, open its source, run, start again after a crash, end.

What is here is the same for queues and streams; what they do while they run is in queue_coordinator.py and
stream_coordinator.py.

A mapping that cannot start now keeps trying in the background, as AWS's own does when access returns (API-16);
what the first attempt came to is told through `first_attempt`, so that a command line can refuse a typing error.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from random import Random
from typing import TypeVar

from poller.clock import Clock
from poller.core.backoff import delay
from poller.core.lifecycle import may_become
from poller.core.mapping import EventSourceMapping
from poller.core.messages import Request
from poller.core.model import MappingState, SourceProblem
from poller.errors import ConfigurationError, HandlerError, PollerError, SourceError
from poller.metrics import Metrics
from poller.metrics_stats import Gauges
from poller.ports import Handler
from poller.runtime.unless import unless
from poller.telemetry import Telemetry

OPENING_FIRST, OPENING_CAP = 0.5, 3.0  # seconds between attempts to reach the source
DEFINITE_CAP = 30.0  # the same where the source has answered, and the answer was no
CRASH_FIRST, CRASH_CAP = 0.5, 30.0  # seconds before a crashed machine is started again
TRANSIENT = frozenset({SourceProblem.THROTTLED, SourceProblem.UNREACHABLE, SourceProblem.SERVER})

T = TypeVar("T")


class Coordinator(ABC):
    """One mapping in this process. Make it inside a running loop; `start` it once."""

    task: asyncio.Task[None]

    def __init__(
        self,
        mapping: EventSourceMapping,
        handler: Handler,
        *,
        metrics: Metrics,
        clock: Clock,
        random: Random,
    ) -> None:
        self.mapping = mapping
        self.stats = metrics.add(mapping, self.gauges)
        self.telemetry = Telemetry(self.stats)
        self.first_attempt: asyncio.Future[PollerError | None] = asyncio.get_running_loop().create_future()
        self.failure: PollerError | None = None
        self.abandoned = 0
        """Records that were neither settled nor left alone when it had to end."""
        self.added_at = clock.now().wall
        """Epoch seconds."""
        self._handler = handler
        self._clock = clock
        self._random = random
        self._enabled = mapping.enabled
        self._draining = False
        self._stopping = asyncio.Event()
        self._abandoning = asyncio.Event()
        self._running = False
        self._begins = MappingState.CREATING

    # --- what a kind of source adds ---

    @abstractmethod
    def gauges(self) -> Gauges:
        """How the mapping stands; called from the thread that scrapes."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Records that its handler has at this moment."""

    @abstractmethod
    async def _open(self) -> None:
        """One attempt to get at what it reads from. Raises PollerError for what is tried again, and told."""

    @abstractmethod
    async def _run(self) -> None:
        """Works until it is to stop, or has drained. Calls `_begun` once the mapping is what its owner wants. What
        it raises is a bug: it will be opened and run again.
        """

    @abstractmethod
    async def _quiet(self) -> None:
        """After a crash: until what the handler was given, and is still at, is in nobody's way."""

    @abstractmethod
    def _pass_on(self, request: Request) -> None:
        """To what runs, which nothing may do at the moment."""

    @abstractmethod
    async def _rest(self) -> None:
        """Until what runs, paused, has nothing in hand; or until it goes on, or has ended."""

    # --- what its owner calls ---

    @property
    def enabled(self) -> bool:
        """Whether it is to receive."""
        return self._enabled

    def start(self, begins: MappingState = MappingState.CREATING) -> None:
        """Begins the mapping's life, in the state from which it is on its way; `task` ends when it is over, early
        and with `failure` set if the handler cannot be used.
        """
        self._begins = begins
        self.task = asyncio.create_task(self._live(), name=f"esm:{self.mapping.name}")

    def request(self, request: Request) -> None:
        """Passes on what the owner wants; it outlives a restart of the machine."""
        match request:
            case Request.PAUSE:
                self._enabled = False
            case Request.RESUME:
                self._enabled = True
            case Request.DRAIN:
                self._draining = True
            case Request.STOP:
                self._stopping.set()
            case Request.ABANDON:
                self._stopping.set()
                self._abandoning.set()
        self._pass_on(request)
        if request is Request.RESUME and self._draining:
            self._pass_on(Request.DRAIN)  # the machine forgot it over the pause

    async def pause(self) -> None:
        """Receives no more; returns when running handlers are done and all else was given back (API-8), or as soon
        as somebody has it resumed.
        """
        self._become(MappingState.DISABLING)
        self.request(Request.PAUSE)
        await self._rest()
        self._become(MappingState.DISABLED)  # if it was resumed, there is no way from there to here

    def resume(self) -> None:
        """Receives again. Raises ConfigurationError for a mapping that has ended, as a drained one has."""
        if self.task.done():
            raise ConfigurationError(
                f"The mapping {self.mapping.name!r} has ended and cannot go on: remove it and add it again."
            )
        self._become(MappingState.ENABLING)
        self.request(Request.RESUME)
        if self._running:
            self._become(MappingState.ENABLED)

    async def retire(self, state: MappingState) -> None:
        """Receives no more, on the way to `state`; returns when running handlers are done."""
        self._become(state)
        self.request(Request.PAUSE)
        await self._rest()

    def deleting(self) -> None:
        """It is about to be removed, and will have no other state."""
        self._become(MappingState.DELETING)

    # --- its life ---

    async def _live(self) -> None:
        try:
            self.telemetry.state_changed(self._begins, self._clock.now())
            if await self._handler_started():
                await self._work()
        finally:
            self._running = False
            self._know(None)  # stopped before it was known; nobody is to wait for it
            self.stats.finished = self.failure is None
            await self._handler.close()

    async def _handler_started(self) -> bool:
        try:
            await self._handler.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, this mapping alone ends with it
            if isinstance(error, PollerError):
                self.failure = error
            else:
                self.failure = HandlerError(f"The handler cannot be started: {type(error).__name__}: {error}")
                self.failure.__cause__ = error
            self._know(self.failure)
            self.telemetry.handler_unusable(self.failure, self._clock.now())
            return False
        return True

    async def _work(self) -> None:
        """Opens the source and runs the machine, again and again should either break through a bug of ours."""
        crashes = 0
        while not self._stopping.is_set():
            try:
                opened = await self._unless_stopped(self._opened())
                # a stop may come between the opening and here, and there is no machine yet that would be told
                if opened is None or self._stopping.is_set():
                    return
                if crashes:
                    self.telemetry.restarted(self._clock.now())
                await self._run()
            except Exception as error:  # noqa: BLE001 - a dead loop is told, counted and started again
                self._know(None)
                self.telemetry.crashed(error, self._clock.now())
                crashes += 1
                await self._unless_stopped(asyncio.sleep(delay(crashes, CRASH_FIRST, CRASH_CAP, self._random)))
                await unless(self._abandoning, self._quiet())
            else:
                return
            finally:
                self._running = False

    async def _opened(self) -> bool:
        """Opens, as soon as it can be done."""
        attempt = 0
        while True:
            try:
                await self._open()
            except PollerError as error:
                attempt += 1
                problem = error.problem if isinstance(error, SourceError) else SourceProblem.REFUSED
                self.telemetry.source_unavailable(problem, str(error), self._clock.now())
                self._know(error)
                cap = OPENING_CAP if problem in TRANSIENT else DEFINITE_CAP
                await asyncio.sleep(delay(attempt, OPENING_FIRST, cap, self._random))
            else:
                return True

    def _begun(self) -> None:
        """It runs, and the first attempt is known to have come to something."""
        self._running = True
        self._become(MappingState.ENABLED if self._enabled else MappingState.DISABLED)
        self._know(None)

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """The result, or None once the mapping is to stop; for work that holds no messages."""
        return await unless(self._stopping, work)

    def _know(self, problem: PollerError | None) -> None:
        """What the first attempt came to; later ones change nothing."""
        if not self.first_attempt.done():
            self.first_attempt.set_result(problem)

    def _become(self, state: MappingState) -> None:
        if may_become(self.stats.state, state):
            self.telemetry.state_changed(state, self._clock.now())
