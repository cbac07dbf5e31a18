"""A stream that splits, merges, rolls over, is trimmed and made anew, and a worker that reads it with core/shards.

The worker does what a coordinator does, without asyncio: it keeps rows, may die after each write, and then knows
only the rows. What must hold at each step is asserted here; the tests say what happens in which order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import floor

from poller.core.cleanup import lost_rows, missing_rows, removable
from poller.core.discovery import merge, oldest_leaf
from poller.core.leases import Lease, with_progress
from poller.core.records import Listing, Position, PositionKind, Progress, Shard, after
from poller.core.shards import PIN_MARGIN, children_rows, ended_row, plan_rows, startable

DAY = 24 * 3600.0
STALE = 4.0  # seconds by which a listing of DynamoDB may lag


@dataclass
class Written:
    sequence: int
    at: float


@dataclass
class RealShard:
    """`listed_at` and `end_listed_at`: from when on listings show it, and that it is closed."""

    id: str
    parents: tuple[str, ...]
    starting: int
    listed_at: float
    end_listed_at: float = 0.0
    closed_by: int | None = None
    records: list[Written] = field(default_factory=list)


class Stream:
    """`dynamodb`: ids with a time, rollovers, listings that lag; else Kinesis."""

    def __init__(self, count: int, *, dynamodb: bool) -> None:
        self.dynamodb = dynamodb
        self.clock = 1_700_000_000.5
        self.shards: dict[str, RealShard] = {}
        self.sequence = 99_990  # numbers of different lengths: compared as text they would be out of order
        self._born = 0
        for _ in range(count):
            self.bear((), 0.0)

    def bear(self, parents: tuple[str, ...], lag: float) -> RealShard:
        born = int(self.clock * 1000)
        key = f"shardId-{born:020d}-{self._born:04x}" if self.dynamodb else f"shardId-{self._born:012d}"
        self._born += 1
        # a listing that lags shows no shard before its parents: it would be as if they had been trimmed
        listed_at = max([self.clock + lag, *(self.shards[parent].listed_at for parent in parents)])
        shard = self.shards[key] = RealShard(key, parents, self.next_sequence(), listed_at)
        return shard

    def next_sequence(self) -> int:
        self.sequence += 7
        return self.sequence

    def open(self) -> list[RealShard]:
        return [shard for shard in self.shards.values() if shard.closed_by is None]

    def write(self, shard: RealShard) -> None:
        shard.records.append(Written(self.next_sequence(), self.clock))

    def reshard(self, parents: Iterable[RealShard], children: int, lags: tuple[float, float]) -> None:
        parents = list(parents)
        child_lag, end_lag = lags if self.dynamodb else (0.0, 0.0)
        for parent in parents:
            parent.closed_by = self.next_sequence()
            parent.end_listed_at = self.clock + end_lag
        for _ in range(children):
            self.bear(tuple(parent.id for parent in parents), child_lag)

    def trim(self) -> RealShard | None:
        """The oldest shard disappears, if it is closed and was long enough so that every listing says it."""
        oldest = next(iter(self.shards.values()))
        if oldest.closed_by is None or oldest.end_listed_at > self.clock:
            return None
        if any(oldest.id in shard.parents and shard.listed_at > self.clock for shard in self.shards.values()):
            return None
        return self.shards.pop(oldest.id)

    def make_anew(self, count: int) -> None:
        self.shards.clear()
        self._born = 0
        for _ in range(count):
            self.bear((), 0.0)

    def listing(self, since: str | None = None) -> Listing:
        keys = list(self.shards)
        if since is not None:
            keys = keys[keys.index(since) + 1 :] if since in self.shards else keys
        shown = tuple(self.shown(self.shards[key]) for key in keys if self.shards[key].listed_at <= self.clock)
        return Listing(shown, complete=since is None, told_at=float(floor(self.clock)))

    def shown(self, shard: RealShard) -> Shard:
        ending = str(shard.closed_by) if shard.closed_by and shard.end_listed_at <= self.clock else None
        hashes = ("", "") if self.dynamodb else ("0", "9")
        return Shard(shard.id, shard.parents, str(shard.starting), ending, *hashes)

    def children(self, key: str) -> list[Shard]:
        """What is listed of them."""
        return [
            self.shown(shard)
            for shard in self.shards.values()
            if key in shard.parents and shard.listed_at <= self.clock
        ]


class Died(Exception):  # noqa: N818 - named for what has happened
    """The process died after a write."""


class Worker:
    """One process after another over the same rows."""

    def __init__(self, stream: Stream, start: Position) -> None:
        self.stream = stream
        self.start = start
        self.store: dict[str, Lease] = {}
        self.seen: set[int] = set()
        self.owed_from: int | None = 0 if start.kind is PositionKind.TRIM_HORIZON else None
        self.forbidden_before = start.timestamp if start.kind is PositionKind.AT_TIMESTAMP else 0.0
        self.die()

    def die(self) -> None:
        """Everything but the rows is forgotten."""
        self.shards: dict[str, Shard] = {}
        self.missing: frozenset[str] = frozenset()
        self.live: dict[str, int] = {}  # iterators of type LATEST: the process that pinned them goes on from here
        self.writes_left = -1
        self.ready = False

    def wrote(self) -> None:
        self.writes_left -= 1
        if self.writes_left == 0:
            self.die()
            raise Died

    # --- what a coordinator does ---

    def look(self, *, full: bool = True, writes: int = -1) -> None:
        """One look for shards; dies after so many writes."""
        self.writes_left = writes
        full = full or not self.ready
        listing = self.stream.listing(None if full else oldest_leaf(self.shards, self.stream.clock))
        for lost in lost_rows(listing, self.store, self.stream.clock, self.missing):
            assert self.store[lost.lease.key] == lost.lease
            self.store[lost.lease.key] = lost.instead
            self.live.pop(lost.lease.key, None)
            self.wrote()
        first = not self.store
        for lease in plan_rows(listing, self.store, self.start, self.stream.clock):
            assert lease.key not in self.store
            if not self.store and self.start.kind is PositionKind.LATEST:
                self.owed_from = self.stream.sequence
                self.forbidden_before = listing.told_at - PIN_MARGIN
            self.store[lease.key] = lease
            self.wrote()
        self.shards = merge(self.shards, listing)
        if listing.complete:
            self.missing = missing_rows(listing, self.store)
        if first:
            for key, lease in self.store.items():
                if lease.checkpoint == PositionKind.LATEST:
                    self.live[key] = len(self.stream.shards[key].records)
        self.ready = True
        self.writes_left = -1

    def clean(self, writes: int = -1) -> None:
        """Deletes what may be deleted."""
        listing = self.stream.listing()
        self.writes_left = writes
        for lease in removable(listing, self.store, self.stream.clock, DAY):
            assert lease.key not in self.stream.shards
            del self.store[lease.key]
            self.wrote()
        self.writes_left = -1

    def readable(self) -> list[str]:
        return [key for key in startable(self.shards, self.store) if key in self.stream.shards]

    def read(self, key: str, limit: int, writes: int = -1) -> bool:
        """Reads, resolves and saves; at the end of the shard makes rows for its children. Whether there was any
        progress.
        """
        self.writes_left = writes
        shard, lease = self.stream.shards[key], self.store[key]
        records = shard.records[self._index(shard, lease) :][:limit]
        for record in records:
            self._read_one(shard, record)
        if records:
            position = after(str(records[-1].sequence))
            self.store[key] = lease = with_progress(lease, Progress(position))
            self.live.pop(key, None)
            self.wrote()
        if len(records) < limit and shard.closed_by is not None:
            children = self.stream.children(key)
            parents = {parent for child in children for parent in child.parents}
            if parents - self.shards.keys() - self.store.keys():
                # born since the last look, it would pass for trimmed: runtime/stream_discovery.py looks again, too
                self.shards = merge(self.shards, self.stream.listing())
            for row in children_rows(lease, children, self.store):
                self.store[row.key] = row
                self.wrote()
            self.store[key] = ended_row(lease, children, self.shards, self.stream.clock)
            self.wrote()
            return True
        self.writes_left = -1
        return bool(records)

    def _index(self, shard: RealShard, lease: Lease) -> int:
        """The first record that its position lets us read."""
        if lease.checkpoint == PositionKind.TRIM_HORIZON:
            return 0
        if lease.checkpoint == PositionKind.LATEST and shard.id in self.live:
            return self.live[shard.id]
        if lease.checkpoint in {PositionKind.LATEST, PositionKind.AT_TIMESTAMP}:
            assert lease.start is not None
            return sum(record.at < lease.start for record in shard.records)
        return sum(record.sequence <= int(lease.checkpoint) for record in shard.records)

    # --- what must hold ---

    def owed(self, shard: RealShard) -> set[int]:
        """What must be read of it."""
        if self.start.kind is PositionKind.AT_TIMESTAMP:
            return {record.sequence for record in shard.records if record.at >= self.start.timestamp}
        if self.owed_from is None:
            return set()
        return {record.sequence for record in shard.records if record.sequence > self.owed_from}

    def _read_one(self, shard: RealShard, record: Written) -> None:
        assert record.sequence not in self.seen, f"{shard.id} is read again"
        assert record.at >= self.forbidden_before, f"{shard.id}: from before the starting position"
        for parent in shard.parents:
            if parent in self.stream.shards:
                left = self.owed(self.stream.shards[parent]) - self.seen
                assert not left, f"{shard.id} is read before all of {parent} was"
        self.seen.add(record.sequence)

    def finish(self) -> None:
        """Time goes by without faults: everything that is owed and still there is read."""
        for _ in range(3):  # a child that was hidden, a shard that must be missing twice
            self.stream.clock += 2 * STALE
            self.look()
            steps = 0
            while sum(self.read(key, 10) for key in self.readable()):
                steps += 1
                assert steps < 1_000, "it never comes to rest"
        for shard in self.stream.shards.values():
            left = self.owed(shard) - self.seen
            assert not left, f"{len(left)} records of {shard.id} are never read"
            assert (self.store[shard.id].checkpoint == PositionKind.SHARD_END) == (shard.closed_by is not None)
        for key in startable(self.shards, self.store):
            assert key in self.stream.shards, f"{key} is asked for for ever"
