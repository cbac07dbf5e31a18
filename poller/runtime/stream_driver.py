"""Runs the machine of one shard: feeds it facts, executes its commands, arms its one timer.

A mapping may have thousands of shards, and most are idle. So there is no task for a shard: what takes time is a
coroutine in the crew that all shards of the mapping share, and what breaks in it ends this shard alone (GEN-9).

Nothing is taken from a stream by reading it, so a read may be cancelled at any moment.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias, assert_never

from poller.clock import Clock
from poller.core.messages import Request, Requested, Tick
from poller.core.model import Instant, InvocationResult, NotInvoked, SourceProblem
from poller.core.records import Discard, Progress, ShardGauges, StreamBatch
from poller.core.stream_messages import (
    Discarded,
    DocumentSent,
    Fetch,
    Fetched,
    FetchFailed,
    Filtered,
    Finished,
    Gap,
    Invoke,
    Invoked,
    LeaseLost,
    Save,
    Saved,
    SaveFailed,
    SendDocument,
    Settled,
    StreamCommand,
    StreamEvent,
)
from poller.errors import DestinationError, SourceError, StoreError
from poller.ports import Destination, FailureDocument, StreamSource
from poller.runtime.crew import Crew
from poller.runtime.gate import Gate
from poller.runtime.solitude import Retreat, Solitude
from poller.stream_telemetry import StreamTelemetry
from poller.tracing import settling_trace_id

SLACK: Final = 0.002  # seconds: a timer that fires earlier than this before its time is armed again
LEAST_WAIT: Final = 0.005  # seconds; what was due at once is done already, so this is for what could not be done
LEAST_SECONDS: Final = 0.5  # for the read itself, however long its iterator took
_TICK: Final = Tick()
_ENDING: Final = frozenset({Request.STOP, Request.ABANDON})
_WITHDRAWING: Final = _ENDING | {Request.PAUSE}


class ShardWork(NamedTuple):
    """What the function is invoked with: a batch, and the shard that it is from."""

    shard_id: str
    batch: StreamBatch


class Machine(Protocol):
    """What the driver needs of core/stream_consumer.py."""

    def handle(self, event: StreamEvent, now: Instant) -> list[StreamCommand]:
        """Takes one fact; what is to be done, in order."""
        ...

    def deadline(self) -> float | None:
        """The monotonic second at which a Tick is due."""
        ...

    def gauges(self) -> ShardGauges:
        """How it stands."""
        ...

    def release(self) -> None:
        """It will not be used any more."""
        ...

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way, and all is written down."""
        ...

    @property
    def receiving(self) -> bool:
        """Whether it is to read."""
        ...

    @property
    def positioned(self) -> bool:
        """Whether a read has succeeded."""
        ...


class Row(Protocol):
    """What the driver needs of the shard's row."""

    async def save(self, progress: Progress, *, durable: bool) -> bool:
        """Writes it; False if the row is not ours any more. Raises StoreError."""
        ...


class Dispatch(Protocol):
    """What the driver needs of the dispatcher."""

    def start(self, work: ShardWork, on_done: Callable[[InvocationResult, float], None], /) -> str:
        """Invokes the handler; `on_done` is called once, later, with the result and the seconds. The id of the
        request.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kit:
    """What the drivers of a mapping's shards share. `document` makes the failure document of a shard's discard;
    `doubt` is called when the source says that there is no such shard. `solitude` is the process's.
    """

    source: StreamSource
    destination: Destination | None
    document: Callable[[str, Discard], FailureDocument]
    dispatch: Dispatch
    crew: Crew
    reads: Gate
    calls: Gate
    clock: Clock
    watch: StreamTelemetry
    doubt: Callable[[], None]
    solitude: Solitude = field(default_factory=Solitude)


Ending: TypeAlias = Finished | Exception


class StreamDriver:
    """One run of one shard's machine. `on_end` is called once: when it has finished, or with what broke."""

    __slots__ = (
        "_asked_rest",
        "_awaited",
        "_done",
        "_kit",
        "_loop",
        "_machine",
        "_on_end",
        "_quiet",
        "_reading",
        "_requests",
        "_retreat",
        "_row",
        "_timer",
        "_timer_due",
        "_waiting",
        "running",
        "shard_id",
    )

    def __init__(
        self,
        shard_id: str,
        machine: Machine,
        row: Row,
        kit: Kit,
        on_end: Callable[["StreamDriver", Ending], None],
        awaited: Callable[[SourceError | None], None] | None = None,
    ) -> None:
        """`awaited` is told how the first reads went: of each that failed, and, once, that one succeeded."""
        self.shard_id = shard_id
        self.running = 0
        """Invocations that the function has not ended; they outlive the driver."""
        self._machine = machine
        self._row = row
        self._kit = kit
        self._on_end = on_end
        self._awaited = awaited
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._requests: dict[int, tuple[str, float]] = {}
        self._waiting: dict[int, StreamBatch] = {}
        self._done = False
        self._asked_rest: asyncio.Future[None] | None = None
        self._quiet: asyncio.Future[None] | None = None
        self._retreat = Retreat(kit.solitude)

    # --- what the coordinator calls ---

    def feed(self, event: StreamEvent) -> None:
        """A fact; ignored once the machine has finished. A bug in here is told through `on_end`."""
        if not self._done:
            self._step(event, self._kit.clock.now())

    def request(self, request: Request) -> None:
        """What the owner of the mapping wants. At a stop, what waits for its turn to be invoked is not."""
        self.feed(Requested(request))
        if request in _WITHDRAWING:
            self._retreat.withdraw()
        if request in _ENDING:
            for batch in tuple(self._waiting.values()):
                self._waiting.pop(batch.number, None)
                self.feed(Invoked(batch, NotInvoked("poller stopped before the function was called"), ""))

    def gauges(self) -> ShardGauges:
        """How its machine stands; called from the thread that scrapes. What waits for its turn to be invoked
        counts as buffered here: its time has not begun.
        """
        gauges = self._machine.gauges()
        waiting = tuple(self._waiting.values())
        if not (waiting or gauges.in_flight_batches):
            return gauges
        held = sum([len(batch.records) for batch in waiting])
        return replace(
            gauges,
            buffered=gauges.buffered + held,
            in_flight_batches=gauges.in_flight_batches - len(waiting),
            in_flight_records=gauges.in_flight_records - held,
            invoking_since=min([since for _, since in tuple(self._requests.values())], default=None),
        )

    @property
    def holds_records(self) -> bool:
        """Whether some were read and are not resolved."""
        gauges = self._machine.gauges()
        return gauges.buffered + gauges.in_flight_records > 0

    def cut(self) -> int:
        """Ends it where it stands; the number of records that a handler has."""
        if self._done:
            return 0
        in_flight = self.gauges().in_flight_records
        self._close()
        return in_flight

    async def rest(self) -> None:
        """Waits until the machine, paused, has nothing under way; or until it goes on, or ended."""
        while not (self._rested or self._done):
            if self._asked_rest is None or self._asked_rest.done():
                self._asked_rest = self._loop.create_future()
            await asyncio.shield(self._asked_rest)

    async def quiet(self) -> None:
        """Waits until the function has ended every invocation of this driver, which may have broken meanwhile."""
        while self.running:
            if self._quiet is None or self._quiet.done():
                self._quiet = self._loop.create_future()
            await asyncio.shield(self._quiet)

    # --- the machine ---

    def _step(self, event: StreamEvent, now: Instant) -> None:
        watch = self._kit.watch
        words = watch.words
        try:
            if (tell := words.get(type(event))) is not None:
                tell(self.shard_id, event, now)
            for command in self._machine.handle(event, now):
                if (tell := words.get(type(command))) is not None:
                    tell(self.shard_id, command, now)
                self._execute(command)
            if self._done:
                return
            self._arm(now.mono)
            if self._awaited is not None:
                self._tell_awaited(event)
            if self._asked_rest is not None and not self._asked_rest.done() and self._rested:
                self._asked_rest.set_result(None)
        except Exception as error:  # noqa: BLE001 - whoever called feed cannot mend it: the coordinator starts anew
            self._break(error)

    @property
    def _rested(self) -> bool:
        return self._machine.receiving or self._machine.at_rest

    def _tell_awaited(self, event: StreamEvent) -> None:
        assert self._awaited is not None
        if isinstance(event, FetchFailed):
            self._awaited(SourceError(event.problem, event.detail))
        elif self._machine.positioned:
            awaited, self._awaited = self._awaited, None
            awaited(None)

    def _execute(self, command: StreamCommand) -> None:
        match command:
            case Fetch():
                self._kit.reads.enter(partial(self._begin_fetch, command))
            case Invoke(batch):
                self._retreat.invoking(batch.number)
                self._waiting[batch.number] = batch
                self._kit.calls.enter(partial(self._begin_call, batch.number))
            case Save():
                self._retreat.saving(command.number)
                self._kit.crew.run(self._save, command)
            case SendDocument(discard):
                self._kit.crew.run(self._send, discard)
            case Settled() | Filtered() | Discarded() | Gap():
                pass  # told to the watch, which has seen it
            case Finished():
                self._close()
                self._on_end(self, command)
            case _:
                assert_never(command)

    def _break(self, error: Exception) -> None:
        if not self._done:
            self._close()
            self._on_end(self, error)

    def _close(self) -> None:
        self._done = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reading is not None:
            self._reading.cancel()
        self._waiting.clear()
        self._retreat.close(self._requests)
        if self._asked_rest is not None and not self._asked_rest.done():
            self._asked_rest.set_result(None)
        self._machine.release()

    # --- its commands ---

    def _begin_fetch(self, order: Fetch) -> bool:
        if self._done:
            return False
        self._kit.crew.run(self._fetch, order)
        return True

    async def _fetch(self, order: Fetch) -> None:
        event: StreamEvent
        iterator, seconds = order.iterator, order.deadline
        try:
            if self._done:
                return
            self._reading = asyncio.current_task()
            source = self._kit.source
            if iterator is None:
                started = self._loop.time()
                iterator = await source.iterator(self.shard_id, order.position, seconds)
                seconds = max(LEAST_SECONDS, seconds - (self._loop.time() - started))
            event = Fetched(await source.records(self.shard_id, iterator, order.limit, seconds))
        except SourceError as error:
            if error.problem is SourceProblem.MISSING:
                self._kit.doubt()
            event = FetchFailed(error.problem, str(error), iterator)
        except Exception as error:  # noqa: BLE001 - it must not end the crew, which other shards share
            self._break(error)
            return
        finally:
            self._reading = None
            self._kit.reads.leave()
        self.feed(event)

    def _begin_call(self, number: int) -> bool:
        if not self._retreat.admits(number):
            self._kit.solitude.later(partial(self._kit.calls.enter, partial(self._begin_call, number)))
            return False
        batch = self._waiting.pop(number, None)
        if batch is None:
            return False  # it was withdrawn while it waited
        try:
            work = ShardWork(self.shard_id, batch)
            request_id = self._kit.dispatch.start(work, partial(self._invoked, batch))
            self._requests[number] = request_id, self._kit.clock.now().mono
        except Exception as error:  # noqa: BLE001 - it may be another shard that has made room
            self._break(error)
            return False
        self.running += 1
        self._kit.solitude.began()
        return True

    def _invoked(self, batch: StreamBatch, result: InvocationResult, seconds: float) -> None:
        self.running -= 1
        request_id, _ = self._requests.pop(batch.number)
        self._retreat.invoked(batch.number)
        if self._done:
            self._retreat.left()
        self._kit.calls.leave()
        if self._quiet is not None and not self.running and not self._quiet.done():
            self._quiet.set_result(None)
        if not self._done:
            self._kit.watch.invoked(self.shard_id, seconds, settling_trace_id())
            self.feed(Invoked(batch, result, request_id))

    async def _save(self, order: Save) -> None:
        event: StreamEvent
        try:
            if order.alone and not await self._alone():
                return
            ours = await self._row.save(order.progress, durable=order.durable)
            event = Saved(order.number) if ours else LeaseLost()
        except StoreError as error:
            event = SaveFailed(order.number, str(error))
        except Exception as error:  # noqa: BLE001 - as in _fetch
            self._break(error)
            return
        self.feed(event)
        self._retreat.saved(order.number, written=isinstance(event, Saved))

    async def _alone(self) -> bool:
        """Waits for the invocation to be the only one; False if this driver has ended by then."""
        if not self._done:
            await self._retreat.enter()
        return not self._done

    async def _send(self, discard: Discard) -> None:
        problem = ""
        try:
            assert self._kit.destination is not None, "without a destination no document is sent"
            await self._kit.destination.deliver(self._kit.document(self.shard_id, discard))
        except DestinationError as error:
            problem = str(error) or type(error).__name__  # an empty one would say that it was accepted
        except Exception as error:  # noqa: BLE001 - as in _fetch
            self._break(error)
            return
        self.feed(DocumentSent(discard, problem))

    # --- time ---

    def _arm(self, now: float) -> None:
        """One timer: an earlier one than needed may fire, a later one may not."""
        due = self._machine.deadline()
        if due is None:
            return
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(LEAST_WAIT, due - now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._kit.clock.now()
        try:
            due = self._machine.deadline()
        except Exception as error:  # noqa: BLE001 - as in _step
            self._break(error)
            return
        if due is None:
            return
        if due > now.mono + SLACK:
            self._arm(now.mono)
            return
        # timers of a loop may fire a moment early; the machine never sees a time before its own deadline
        self._step(_TICK, Instant(now.wall, max(now.mono, due)))
