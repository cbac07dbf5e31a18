"""What runs in the life of a stream's mapping: its shards, and the look for new ones."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple

from poller.clock import Clock
from poller.core.backoff import delay
from poller.core.budget import ByteBudget
from poller.core.cleanup import Lost
from poller.core.discovery import CONFIRM_LOOK
from poller.core.failure_document import document_key, failure_document
from poller.core.mapping import EventSourceMapping
from poller.core.messages import Request
from poller.core.model import JsonObject
from poller.core.records import Discard
from poller.core.stream_gauges import NO_STREAM_GAUGES, StreamGauges, stream_gauges
from poller.core.stream_payload import stream_event
from poller.errors import PollerError, SourceError
from poller.metrics import Metrics
from poller.ports import Destination, FailureDocument, Handler, LeaseStore, StreamSource
from poller.runtime.coordinator import Coordinator
from poller.runtime.crew import Crew
from poller.runtime.gate import Gate
from poller.runtime.solitude import Solitude
from poller.runtime.stream_discovery import Discovery
from poller.runtime.stream_driver import Dispatch, Kit, ShardWork
from poller.runtime.stream_rows import StreamRows
from poller.runtime.stream_shards import RunningShards
from poller.stream_telemetry import StreamTelemetry

MOST_READS: Final = 256  # reads of a mapping at once; idle shards by the thousand need few at any moment
LOOK_FIRST, LOOK_CAP = 1.0, 30.0  # seconds before a look for new shards that failed is tried again
SPREAD: Final = 0.1  # of the time between two looks


class Opened(NamedTuple):
    """What a stream's mapping works on."""

    source: StreamSource
    destination: Destination | None
    store: LeaseStore


OpenStream = Callable[[], Awaitable[Opened]]


class StreamCoordinator(Coordinator):
    """A mapping of a Kinesis or DynamoDB stream."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        open_stream: OpenStream,
        handler: Handler,
        dispatch: Dispatch,
        *,
        worker: str,
        metrics: Metrics,
        clock: Clock,
        budget: ByteBudget,
        random: Random,
        solitude: Solitude | None = None,
    ) -> None:
        """`worker` is the name under which this process owns rows. `solitude` is shared by all that run in it."""
        super().__init__(mapping, handler, metrics=metrics, clock=clock, random=random)
        self._open_stream = open_stream
        self._dispatch = dispatch
        self._worker = worker
        self._budget = budget
        self._solitude = solitude or Solitude()
        self._watch = StreamTelemetry(self.stats)
        self._opened_stream: Opened
        self._rows: StreamRows
        self._discovery: Discovery
        self._pinned: tuple[str, ...] = ()
        self._shards: RunningShards | None = None
        self._cut: RunningShards | None = None

    def gauges(self) -> StreamGauges:
        """How the mapping stands; called from the thread that scrapes."""
        shards = self._shards
        if shards is None:
            return NO_STREAM_GAUGES
        assert self.mapping.stream is not None, "streams only"
        return stream_gauges(
            shards.gauges(),
            self._discovery.known,
            self._rows.rows,
            worker=self._worker,
            enabled=self._enabled,
            lanes=self.mapping.stream.lanes,
            concurrency=self.mapping.handler.concurrency,
            retention=self._discovery.facts.retention,
        )

    @property
    def in_flight(self) -> int:
        """Records that its handler has at this moment."""
        shards = self._shards
        return 0 if shards is None else sum([one.in_flight_records for one in shards.gauges().values()])

    async def _open(self) -> None:
        """STR-11: what LATEST means is found out and written down here, once."""
        opened = await self._open_stream()
        rows = StreamRows(opened.store, self.mapping.uuid, self._worker)
        discovery = Discovery(self.mapping, opened.source, rows, self._clock, self._watch)
        self._pinned = await discovery.look(_nothing_is_read)
        self._opened_stream, self._rows, self._discovery = opened, rows, discovery

    async def _run(self) -> None:
        in_flight = 0
        try:
            async with asyncio.TaskGroup() as tasks:
                crew = Crew(tasks)
                self._shards = shards = RunningShards(
                    self.mapping,
                    self._kit(crew),
                    self._rows,
                    self._discovery,
                    tasks,
                    budget=self._budget,
                    random=self._random,
                    enabled=self._enabled,
                    draining=self._draining,
                    on_position=self._on_position,
                )
                shards.start(self._pinned)
                if shards.positioned:
                    self._begun()
                looking = tasks.create_task(self._look(shards))
                try:
                    await self._over(shards)
                finally:
                    self._shards, self._cut = None, shards
                    in_flight = shards.cut()
                    self.abandoned += shards.abandoned
                    looking.cancel()
                    crew.dismiss()
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # a bug: what handlers have is delivered again by the next run
        except asyncio.CancelledError:
            self.abandoned += in_flight
            if in_flight:
                self._watch.cut_off(in_flight)
            raise

    async def _quiet(self) -> None:
        """The order of the records is the shard's: nobody reads one while the function has some of it (STR-1)."""
        if self._cut is not None:
            await self._cut.quiet()

    async def _over(self, shards: RunningShards) -> None:
        """Until all has ended after a stop, or has been read to its newest record (a drain)."""
        while True:
            await shards.changed.wait()
            shards.changed.clear()
            if not shards.idle:
                continue
            if self._stopping.is_set():
                return
            if self._draining and self._enabled and await self._nothing_new(shards):
                return

    async def _nothing_new(self, shards: RunningShards) -> bool:
        """Whether there is no shard that was not there when the last ones were read to their end."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._discovery.look(shards.stop_reading)
            except PollerError as error:
                failures += 1
                self._watch.discovery_failed(error, self._clock.now())
                await self._unless_stopped(asyncio.sleep(delay(failures, LOOK_FIRST, LOOK_CAP, self._random)))
            else:
                shards.start()
                return shards.idle
        return True

    async def _look(self, shards: RunningShards) -> None:
        """New shards, and rows that are not needed any more (STR-6); a source that is away is nothing to what is
        already in hand (ERR-3, API-16).
        """
        failures = 0
        while True:
            wait = self._discovery.wait
            if failures:
                wait = delay(failures, LOOK_FIRST, LOOK_CAP, self._random)
            await self._until_look(wait * self._random.uniform(1 - SPREAD, 1 + SPREAD))
            try:
                await self._discovery.look(shards.stop_reading)
            except PollerError as error:
                failures += 1
                self._watch.discovery_failed(error, self._clock.now())
            else:
                failures = 0
                shards.start()

    async def _until_look(self, seconds: float) -> None:
        """So long; less when a shard has ended and nobody knows yet what follows it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._discovery.soon.wait()
                await asyncio.sleep(CONFIRM_LOOK)

    def _on_position(self, error: SourceError | None) -> None:
        if error is None:
            self._begun()
        else:
            self._know(error)

    def _pass_on(self, request: Request) -> None:
        if self._shards is not None:
            self._shards.request(request)

    async def _rest(self) -> None:
        if self._shards is not None:
            await self._shards.rest()
        else:
            await self._quiet()

    def _kit(self, crew: Crew) -> Kit:
        return Kit(
            source=self._opened_stream.source,
            destination=self._opened_stream.destination,
            document=self._document,
            dispatch=self._dispatch,
            crew=crew,
            reads=Gate(MOST_READS),
            calls=Gate(self.mapping.handler.concurrency),
            clock=self._clock,
            watch=self._watch,
            doubt=self._discovery.doubt,
            solitude=self._solitude,
        )

    def _document(self, shard_id: str, discard: Discard) -> FailureDocument:
        return FailureDocument(
            document=failure_document(discard, self.mapping, shard_id),
            event=stream_event(discard.batch, self.mapping, shard_id),
            key=document_key(self.mapping, shard_id, discard.at, str(uuid.uuid4())),
        )


def build_stream_event(mapping: EventSourceMapping) -> Callable[[ShardWork], JsonObject]:
    """How a dispatcher makes the event of a batch."""
    return lambda work: stream_event(work.batch, mapping, work.shard_id)


def _nothing_is_read(lost: Lost) -> bool:
    del lost
    return True
