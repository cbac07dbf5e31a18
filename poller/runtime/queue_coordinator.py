"""What runs in the life of a queue's mapping: one machine and its driver."""

from collections.abc import Awaitable, Callable
from random import Random

from poller.clock import Clock
from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping, visibility_conflict
from poller.core.messages import Described, Event, Extended, Request, Requested
from poller.core.model import QueueFacts, QueueGauges, SourceProblem
from poller.core.queue_consumer import QueueConsumer
from poller.errors import SourceError
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES
from poller.ports import Handler, QueueSource
from poller.runtime.coordinator import Coordinator
from poller.runtime.driver import Beats, Dispatch, Driver

OpenQueue = Callable[[], Awaitable[tuple[QueueSource, QueueFacts]]]


class QueueCoordinator(Coordinator):
    """A mapping of a queue, standard or FIFO."""

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
        super().__init__(mapping, handler, metrics=metrics, clock=clock, random=random)
        self._open_queue = open_queue
        self._dispatch = dispatch
        self._budget = budget
        self._longest_wait = longest_wait
        self._beats = beats
        self._queue: tuple[QueueSource, QueueFacts]
        self._machine: QueueConsumer | None = None
        self._driver: Driver | None = None

    def gauges(self) -> QueueGauges:
        """How the mapping stands; called from the thread that scrapes."""
        machine = self._machine
        return NO_GAUGES if machine is None else machine.gauges()

    @property
    def in_flight(self) -> int:
        """Messages that its handler has at this moment."""
        return self.gauges().in_flight_messages

    def extended(self, ids: tuple[str, ...], lease_until: float) -> None:
        """The heartbeat has extended receipts of this mapping."""
        if self._driver is not None:
            self._driver.feed(Extended(ids, lease_until))

    async def _open(self) -> None:
        """The handler's timeout must fit the queue's visibility (CFG-44).

        Raises SourceError, or ConfigurationError for an endpoint that cannot be used.
        """
        source, facts = await self._open_queue()
        conflict = visibility_conflict(facts.visibility_timeout, self.mapping)
        if conflict is not None:
            raise SourceError(SourceProblem.REFUSED, conflict)
        self._queue = source, facts

    async def _run(self) -> None:
        source, facts = self._queue
        machine = QueueConsumer(self.mapping, self._random, self._budget, self._longest_wait)
        driver = Driver(machine, source, self._dispatch, self._clock, self.telemetry, self._beats)
        # what the owner wants comes first: a machine that knows its queue begins to receive
        first: list[Event] = []
        if self._enabled != self.mapping.enabled:
            first.append(Requested(Request.RESUME if self._enabled else Request.PAUSE))
        if self._draining:
            first.append(Requested(Request.DRAIN))
        first.append(Described(facts))
        self._machine, self._driver = machine, driver
        self._begun()
        try:
            await driver.run(*first)
        finally:
            self._machine = self._driver = None  # what it counted as running or buffered is nobody's any more
            self.abandoned += machine.abandoned + driver.cut_off
            if driver.cut_off:
                self.telemetry.cut_off(driver.cut_off)

    async def _quiet(self) -> None:
        """Nothing to wait for: the queue hides what handlers have, and what follows it in its group, for as long
        as they may take (CFG-44), or as the heartbeat says (SQS-9).
        """

    def _pass_on(self, request: Request) -> None:
        if self._driver is not None:
            self._driver.feed(Requested(request))

    async def _rest(self) -> None:
        if self._driver is not None:
            await self._driver.rest()
