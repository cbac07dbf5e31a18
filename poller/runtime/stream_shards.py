"""The shards of one mapping that are read now: from the taking of a row to its release, or to the shard's end.

What one shard meets (an end, a crash, a row that somebody else has written, a store that does not answer) is seen
to in a task of its own, and nothing to the others (GEN-9).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Final, Literal, TypeAlias, TypeVar

from poller.core.backoff import delay
from poller.core.budget import ByteBudget
from poller.core.cleanup import Lost
from poller.core.mapping import EventSourceMapping
from poller.core.messages import Request, Tick
from poller.core.records import Progress, Shard, ShardGauges
from poller.core.shards import children_rows, ended_row, parents_of, startable
from poller.core.stream_consumer import StreamConsumer
from poller.core.stream_messages import Finished
from poller.errors import PollerError, SourceError
from poller.runtime.stream_discovery import Discovery
from poller.runtime.stream_driver import Ending, Kit, StreamDriver
from poller.runtime.stream_rows import HeldRow, StreamRows
from poller.runtime.turns import begin
from poller.runtime.unless import unless

TOGETHER: Final = 50  # shards that begin at the same moment, and the seconds until the next ones do: a thousand
SPREAD: Final = 0.05  # of them are not to be read at the same moment for ever
CRASH_FIRST, CRASH_CAP = 0.5, 30.0  # seconds before a crashed shard is started again
AGAIN_FIRST, AGAIN_CAP = 0.5, 10.0  # seconds before the store or the source is asked again
LAST_TRIES: Final = 3  # of what fails while the mapping stops

T = TypeVar("T")
Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class RunningShards:
    """Starts what may be read, and ends what it started. `changed` is set whenever one begins or ends."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        kit: Kit,
        rows: StreamRows,
        discovery: Discovery,
        tasks: asyncio.TaskGroup,
        *,
        budget: ByteBudget,
        random: Random,
        enabled: bool,
        draining: bool,
        on_position: Callable[[SourceError | None], None],
    ) -> None:
        """`on_position` is told of each failure to find the place at which a pinned shard begins, and, once none
        is left to find, None (STR-11).
        """
        self.changed: Final = asyncio.Event()
        self.changed.set()
        self.abandoned = 0
        self._mapping = mapping
        self._kit = kit
        self._rows = rows
        self._discovery = discovery
        self._tasks = tasks
        self._budget = budget
        self._random = random
        self._enabled = enabled
        self._draining = draining
        self._on_position = on_position
        self._stopping = asyncio.Event()
        self._abandoning = asyncio.Event()
        self._drivers: dict[str, StreamDriver] = {}
        self._held: dict[str, HeldRow] = {}
        self._chores: set[str] = set()
        self._drained: set[str] = set()
        self._unpositioned: set[str] = set()
        self._crashes: dict[str, int] = {}
        self._outlived: set[StreamDriver] = set()  # the function may still have what these gave it

    @property
    def idle(self) -> bool:
        """Whether nothing is read, and nothing left to do about what was."""
        return not (self._drivers or self._chores)

    def gauges(self) -> dict[str, ShardGauges]:
        """How each shard that is read stands; may fail when called from another thread while that changes."""
        return {key: driver.gauges() for key, driver in tuple(self._drivers.items())}

    def start(self, pinned: Collection[str] = ()) -> None:
        """Begins to read every shard that may be read and is not (STR-1, STR-2). `pinned` are those whose LATEST
        was pinned a moment ago; `on_position` hears of them.
        """
        self._begin(startable(self._discovery.known, self._rows.rows), pinned)

    @property
    def positioned(self) -> bool:
        """Whether every pinned shard has found its place."""
        return not self._unpositioned

    def request(self, request: Request) -> None:
        """What the owner of the mapping wants."""
        match request:
            case Request.PAUSE:
                self._enabled = False
                self._forget_unpositioned()
            case Request.RESUME:
                self._enabled = True
            case Request.DRAIN:
                self._draining = True
            case Request.STOP:
                self._stopping.set()
            case Request.ABANDON:
                self._stopping.set()
                self._abandoning.set()
        for driver in tuple(self._drivers.values()):
            driver.request(request)
        self.start()
        self.changed.set()

    async def rest(self) -> None:
        """Waits until every shard, paused, has nothing under way; or until they go on, or ended. What the function
        was given by those that broke is waited for in any case.
        """
        await asyncio.gather(*(driver.rest() for driver in tuple(self._drivers.values())))
        await self.quiet()

    def stop_reading(self, lost: Lost) -> bool:
        """Ends a shard where it stands, without writing anything. False for one that is gone from the stream while
        records of it are in hand: those were read in time, and are delivered (ERR-3), or grow too old.
        """
        key = lost.lease.key
        driver = self._drivers.get(key)
        if driver is None:
            return True
        if not lost.remade and driver.holds_records:
            return False
        del self._drivers[key]
        self.abandoned += driver.cut()
        self._gone(key, driver)
        return True

    def cut(self) -> int:
        """Ends all of them where they stand; how many records handlers had."""
        self._unpositioned.clear()
        in_flight = 0
        for key in tuple(self._drivers):
            driver = self._drivers.pop(key)
            in_flight += driver.cut()
            self._gone(key, driver)
        return in_flight

    async def quiet(self) -> None:
        """Waits until the function has ended all that it was given by drivers that ended before it."""
        for driver in tuple(self._outlived):
            await driver.quiet()

    # --- beginning ---

    def _start_next(self, ended: str) -> None:
        """What waited for this shard. Only its children are looked at: a look at thousands of shards at each of
        thousands of ends would take minutes.
        """
        rows, known = self._rows.rows, self._discovery.known
        row = rows.get(ended)
        children = [rows[key] for key in (() if row is None else row.children) if key in rows]
        # in an order of its own: which of two children is begun first is the same in every process
        near = [ended, *(child.key for child in children)]
        near += [parent for child in children for parent in parents_of(child, known)]
        ready = startable(
            {key: known[key] for key in near if key in known}, {key: rows[key] for key in near if key in rows}
        )
        names = {child.key for child in children}
        self._begin([key for key in ready if key in names])

    def _begin(self, keys: Iterable[str], pinned: Collection[str] = ()) -> None:
        if not self._enabled or self._stopping.is_set():
            return
        new = [key for key in keys if not (key in self._drivers or key in self._chores or key in self._drained)]
        self._unpositioned.update(key for key in new if key in pinned)
        self._chores.update(new)
        if new:
            begin(self._tasks, partial(self._begin_slowly, new))

    async def _begin_slowly(self, keys: Sequence[str]) -> None:
        for place in range(0, len(keys), TOGETHER):
            if place:
                await self._sleep(SPREAD)
            for key in keys[place : place + TOGETHER]:
                self._chore(key, partial(self._start, key, fresh=key in self._unpositioned))

    async def _start(self, key: str, *, fresh: bool) -> None:
        await self._until_quiet(key)
        while True:
            taken = None if self._stopping.is_set() else await self._insist(key, partial(self._take, key))
            if taken is None:
                self._positioned(key)
                return
            row, progress = taken
            if self._enabled and not self._stopping.is_set():
                break
            self._positioned(key)
            released = await self._insist(key, partial(row.release, progress))
            if not (released and self._enabled):
                return
            # resumed while the row was given back: `start` has passed it by, as it was being seen to here
        shard = self._discovery.known.get(key) or Shard(key, row.lease.parents)
        machine = StreamConsumer(
            self._mapping,
            shard,
            progress,
            fresh=fresh and key in self._unpositioned,
            guarded=self._rows.store.lasting,
            random=self._random,
            budget=self._budget,
            retention=self._discovery.facts.retention,
        )
        awaited = partial(self._awaited, key) if key in self._unpositioned else None
        driver = StreamDriver(key, machine, row, self._kit, self._on_end, awaited)
        self._drivers[key], self._held[key] = driver, row
        self._kit.watch.shard_started(key, progress.position, self._kit.clock.now())
        if not self._mapping.enabled:
            driver.request(Request.RESUME)
        if self._draining:
            driver.request(Request.DRAIN)
        driver.feed(Tick())

    async def _until_quiet(self, key: str) -> None:
        """Until the function has ended what earlier drivers of the shard gave it, however they ended: its order is
        the shard's (STR-1). A stop waits as well; near its deadline nobody does.
        """
        for driver in [one for one in self._outlived if one.shard_id == key]:
            await unless(self._abandoning, driver.quiet())

    async def _take(self, key: str) -> tuple[HeldRow, Progress] | None:
        row = await self._rows.take(key)
        return None if row is None else (row, row.progress())

    def _awaited(self, key: str, error: SourceError | None) -> None:
        if error is None:
            self._positioned(key)
        else:
            self._on_position(error)

    def _positioned(self, key: str) -> None:
        if key in self._unpositioned:
            self._unpositioned.discard(key)
            if not (self._unpositioned or self._stopping.is_set()):
                self._on_position(None)

    def _forget_unpositioned(self) -> None:
        """What has not found its place yet goes by the pinned time later: the newest record of that day would be
        another one (STR-11).
        """
        for key in tuple(self._unpositioned):
            driver = self._drivers.pop(key, None)
            if driver is not None:
                row = self._held[key]
                driver.cut()
                self._gone(key, driver)
                # where it began: nothing of it was read, and a stop may come before it is begun again
                self._chore(
                    key, partial(self._release, key, row, row.progress()), then=partial(self._begin, [key])
                )
            self._positioned(key)

    # --- ending ---

    def _on_end(self, driver: StreamDriver, ending: Ending) -> None:
        key = driver.shard_id
        if self._drivers.pop(key, None) is None:
            return
        row = self._held[key]
        self._gone(key, driver)
        if isinstance(ending, Exception):
            self._chore(key, partial(self._restart, key, ending))
            return
        self.abandoned += ending.abandoned
        if ending.lost:
            self._lost(key)
        elif ending.ended:
            self._chore(key, partial(self._end, key, row, ending), then=partial(self._start_next, key))
        else:
            self._drained.add(key)
            self._chore(key, partial(self._release, key, row, ending.progress))

    def _gone(self, key: str, driver: StreamDriver) -> None:
        self._held.pop(key, None)
        self._outlived = {one for one in (*self._outlived, driver) if one.running}
        self._kit.watch.shard_stopped(key, self._kit.clock.now())
        self._positioned(key)
        self.changed.set()

    def _lost(self, key: str) -> None:
        self._rows.drop(key)
        self._kit.watch.lease_lost(key, self._kit.clock.now())

    async def _end(self, key: str, row: HeldRow, finished: Finished) -> None:
        """S13 of the lease algorithm, in this order; broken off anywhere it can be done again: first the rows of
        the children, then their names and the end in this row, which lets them be read (STR-2).
        """
        at = self._kit.clock.now().wall
        known = self._discovery.known
        saved = False

        async def ask() -> tuple[Shard, ...] | Literal[False]:
            nonlocal saved
            try:
                return await self._discovery.children(key, finished.children)
            except PollerError:
                if not saved:  # the source may be away for longer than this process is there (STR-30)
                    saved = await row.save(finished.progress, durable=True)
                    if not saved:
                        return False
                raise

        # once: a write that is tried again has to be the same one, for the row to show that it was done
        children = await self._insist(key, ask)
        if children is None:
            await self._release(key, row, finished.progress)  # whoever comes next finds its end, and the children
            return
        if children is False:
            self._lost(key)
            return

        async def write() -> bool:
            new = children_rows(row.lease, children, self._rows.rows)
            if not await self._rows.create(new):
                await self._rows.learn(lease.key for lease in new)  # an earlier try made them, its answer was lost
            return await row.write(lambda lease: ended_row(lease, children, known, at))

        done = await self._insist(key, write)
        self._rows.drop(key)
        if done:
            self._kit.watch.shard_ended(key, children, self._kit.clock.now())
        elif done is False:
            self._lost(key)

    async def _release(self, key: str, row: HeldRow, progress: Progress) -> None:
        """The last position, and the row is nobody's (S12)."""
        done = await self._insist(key, lambda: row.release(progress))
        if done:
            self._kit.watch.shard_released(key, self._kit.clock.now())
        elif done is False:
            self._lost(key)

    async def _restart(self, key: str, error: Exception) -> None:
        """From its row."""
        self._crashes[key] = self._crashes.get(key, 0) + 1
        seconds = delay(self._crashes[key], CRASH_FIRST, CRASH_CAP, self._random)
        self._kit.watch.shard_crashed(key, error, seconds, self._kit.clock.now())
        await self._sleep(seconds)
        await self._start(key, fresh=False)

    # --- chores ---

    def _chore(self, key: str, work: Work, then: Callable[[], None] | None = None) -> None:
        self._chores.add(key)
        # nothing, if all of it is being cancelled: a later process does this
        begin(self._tasks, partial(self._do, key, work, then))

    async def _do(self, key: str, work: Work, then: Callable[[], None] | None) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a bug met by one shard is nothing to the others (GEN-9)
            self._positioned(key)
            self._chore(key, partial(self._restart, key, error))
            return
        self._chores.discard(key)
        if then is not None:
            then()
        self.changed.set()

    async def _insist(self, key: str, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """Tries until it works; None if the mapping stops before that."""
        tries = 0
        while True:
            try:
                return await attempt()
            except PollerError as error:
                tries += 1
                self._kit.watch.shard_failed(key, error, self._kit.clock.now())
                if self._stopping.is_set() and tries >= LAST_TRIES:
                    return None
                await self._sleep(delay(tries, AGAIN_FIRST, AGAIN_CAP, self._random))

    async def _sleep(self, seconds: float) -> None:
        """So long, but not into a stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
