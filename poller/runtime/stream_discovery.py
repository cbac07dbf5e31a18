"""What is known of a stream's shards, and the rows of the store brought up to date with it: at the start, then
from time to time, and when a shard has ended (STR-6).

What to ask and which rows there should be is decided in core/discovery.py, core/shards.py and core/cleanup.py.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from poller.clock import Clock
from poller.core.cleanup import Lost, lost_rows, missing_rows, removable
from poller.core.discovery import CHILD_TRIES, Look, childless, merge, next_look
from poller.core.mapping import EventSourceMapping
from poller.core.model import SourceKind, SourceProblem
from poller.core.records import Listing, PositionKind, Shard, StreamFacts
from poller.core.shards import plan_rows
from poller.errors import SourceError, StoreError
from poller.ports import StreamSource
from poller.runtime.stream_rows import StreamRows
from poller.stream_telemetry import StreamTelemetry

PLANS: Final = 5  # tries to create the rows that are missing, while somebody else creates them too

StopReading: TypeAlias = Callable[[Lost], bool]
"""Ends the reading of a shard that is not what it was; False if it has to wait for what is in hand of it."""


class Discovery:
    """The shards of one mapping's stream. `known` is all that was listed, by id, in the order of the source."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        source: StreamSource,
        rows: StreamRows,
        clock: Clock,
        watch: StreamTelemetry,
    ) -> None:
        assert mapping.stream is not None, "only streams have shards"
        self.known: dict[str, Shard] = {}
        self.facts: StreamFacts
        self._kind = mapping.source
        self._name = mapping.arn.text
        self._start = mapping.stream.position
        self._source = source
        self._rows = rows
        self._clock = clock
        self._watch = watch
        self._missing: frozenset[str] = frozenset()
        self._confirming: frozenset[str] = frozenset()
        self._full_at = 0.0
        self._tries: dict[str, int] = {}
        self._doubted = False
        self._followed_by_none: dict[str, int] = {}
        self.soon: Final = asyncio.Event()
        """Set when a shard has ended of which nobody knows yet what follows (STR-4)."""
        self._one = asyncio.Lock()

    @property
    def wait(self) -> float:
        """Seconds until the next look."""
        return self._next().after

    def doubt(self) -> None:
        """A shard that is read is said not to exist: the next look asks for all of them (STR-3)."""
        self._doubted = True

    async def look(self, stop_reading: StopReading) -> tuple[str, ...]:
        """Lists the shards and brings the rows up to date; the shards whose LATEST was pinned by this (STR-11).
        `stop_reading` is asked before a row will say something else.

        Raises SourceError and StoreError; what was done until then is good, and the next look does the rest.
        """
        async with self._one:
            self.soon.clear()
            return await self._look(stop_reading)

    async def children(self, shard_id: str, told: tuple[Shard, ...]) -> tuple[Shard, ...]:
        """The shards that follow this one, which has ended; `told` are those that its last page named. None where
        nobody knows any yet: a later look brings them (STR-4). Raises SourceError.
        """
        found = {shard.id: shard for shard in told}
        asked: tuple[Shard, ...] = ()
        if not told or any(shard.id not in self.known for shard in told):
            try:
                asked = await self._source.children(shard_id)
            except SourceError as error:
                if not told and error.problem is not SourceProblem.MISSING:
                    raise
            self.known |= {shard.id: shard for shard in asked}
        for shard in told:
            self.known.setdefault(shard.id, shard)
        # as listed: a page does not tell where a child begins
        found = {key: self.known[key] for key in found} | {shard.id: shard for shard in asked}
        if not found:
            found = {shard.id: shard for shard in self.known.values() if shard_id in shard.parents}
        parents = {parent for shard in found.values() for parent in shard.parents}
        if parents - self.known.keys() - self._rows.rows.keys():
            # a merged child may have one that was born since the last look: it would pass for trimmed (STR-3)
            await self._list_all()
        if not found:
            self._followed_by_none[shard_id] = CHILD_TRIES
            self.soon.set()
        return tuple(found.values())

    async def _list_all(self) -> None:
        try:
            self.known = merge(self.known, await self._source.list_shards())
        except SourceError as error:
            if error.problem is not SourceProblem.MISSING:
                raise

    async def _look(self, stop_reading: StopReading) -> tuple[str, ...]:
        self.facts = await self._source.describe()
        if not self.facts.reading:
            text = f"the stream {self._name} is {self.facts.status} and cannot be read now"
            raise SourceError(SourceProblem.SERVER, text, self.facts.status)
        await self._rows.read()
        listing = await self._list()
        self.known = merge(self.known, listing)
        self._expect_children()
        if self._kind is SourceKind.DYNAMODB:
            await self._ask_for_children()
        if not (self.known or self._rows.rows):
            text = f"the stream {self._name} has no shards yet"
            raise SourceError(SourceProblem.SERVER, text, self.facts.status)
        await self._put_right(listing, stop_reading)
        pinned = await self._create(replace(listing, shards=tuple(self.known.values())))
        await self._rows.delete(removable(listing, self._rows.rows, self._now(), self.facts.retention))
        return pinned

    async def _list(self) -> Listing:
        look = self._next()
        # the first rows need to know of every shard
        since = look.since if self._rows.rows and not self._doubted else None
        listing = await self._source.list_shards(since)
        if listing.complete:
            self._full_at, self._doubted = self._now(), False
        return listing

    def _expect_children(self) -> None:
        """Has the next look come soon while there is no child of a shard that has ended; a few times, because the
        last shards of a stream have none.
        """
        parents = {parent for shard in self.known.values() for parent in shard.parents}
        left = {key: tries - 1 for key, tries in self._followed_by_none.items() if key not in parents}
        self._followed_by_none = {key: tries for key, tries in left.items() if tries}
        if self._followed_by_none:
            self.soon.set()

    async def _ask_for_children(self) -> None:
        """Of closed shards that show none: DynamoDB lists them late (STR-7)."""
        for key in childless(self.known, self._tries, self._now(), self.facts.status):
            self._tries[key] = self._tries.get(key, 0) + 1
            self.known |= {shard.id: shard for shard in await self._source.children(key)}

    async def _put_right(self, listing: Listing, stop_reading: StopReading) -> None:
        done, busy = [], set()
        for lost in lost_rows(listing, self._rows.rows, self._now(), self._missing):
            if not stop_reading(lost):
                busy.add(lost.lease.key)
            elif await self._rows.put_right(lost):
                done.append(lost)
        if done:
            self._watch.shards_lost(done, self._clock.now())
        self._missing = missing_rows(listing, self._rows.rows)
        self._confirming = self._missing - busy
        self._doubted = self._doubted or bool(busy)

    async def _create(self, listing: Listing) -> tuple[str, ...]:
        for _ in range(PLANS):
            planned = plan_rows(listing, self._rows.rows, self._start, self._now())
            if await self._rows.create(planned):
                return tuple(lease.key for lease in planned if lease.checkpoint == PositionKind.LATEST)
            await self._rows.read()
        raise StoreError(f"the rows of {self._name} change while they are made: who else writes them?")

    def _next(self) -> Look:
        return next_look(self._kind, self.known, self._now(), self._full_at, self._confirming)

    def _now(self) -> float:
        return self._clock.now().wall
