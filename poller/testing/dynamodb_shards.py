"""One stream of a table: its shards in time. They close by themselves, get children, age and vanish.

A shard has a range of the hashes of partition keys. At a rollover its children take the range over, so all changes
of an item are in one line of descent, in order. Times are monotonic seconds, but for what a record or a shard id
shows.
"""

import bisect
import math
import random
from dataclasses import dataclass, field
from typing import Final

from poller.core.model import Instant, JsonObject
from poller.testing.dynamodb_values import Item, item_size

HASHES: Final = 2**128
RETENTION: Final = 24 * 3600.0
SHARD_LIFE: Final = 4 * 3600.0
# The shards of one table do not close in the same moment: each of the first so much earlier than the one before.
STAGGER: Final = 60.0
# 21 digits, and soon 22: whoever compares sequence numbers as text will be seen (STR-28).
FIRST_SEQUENCE: Final = 10**21 - 500
SERVICE: Final = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
_IMAGES: Final = {
    "KEYS_ONLY": (False, False),
    "NEW_IMAGE": (True, False),
    "OLD_IMAGE": (False, True),
    "NEW_AND_OLD_IMAGES": (True, True),
}
VIEW_TYPES: Final = frozenset(_IMAGES)


@dataclass(frozen=True, slots=True)
class Change:
    """One stream record as GetRecords tells it."""

    sequence: int
    at: float
    size: int
    record: JsonObject


@dataclass(slots=True, eq=False)
class Shard:
    """One shard. Places count all its records from 0, those that are trimmed by now included."""

    id: str
    parent: str | None
    low: int
    high: int
    starting: int
    opened: float
    life: float
    ending: int | None = None
    closed: float = math.inf
    changes: list[Change] = field(default_factory=list)
    trimmed: int = 0
    trimmed_through: int = -1

    @property
    def end(self) -> int:
        """The place behind the newest record."""
        return self.trimmed + len(self.changes)

    @property
    def due(self) -> float:
        """When time next changes it."""
        roll = self.opened + self.life if self.ending is None else self.closed + RETENTION
        return min(roll, self.changes[0].at + RETENTION) if self.changes else roll

    def place_of(self, sequence: int, *, after: bool) -> int:
        """The place of the first record at, or `after`, this sequence number."""
        find = bisect.bisect_right if after else bisect.bisect_left
        return self.trimmed + find(self.changes, sequence, key=lambda change: change.sequence)

    def trim(self, until: float) -> None:
        """Lets go of the records written at or before that second."""
        count = bisect.bisect_right(self.changes, until, key=lambda change: change.at)
        if count:
            self.trimmed_through = self.changes[count - 1].sequence
            self.trimmed += count
            del self.changes[:count]

    def shown(self) -> JsonObject:
        """As DescribeStream lists it."""
        numbers = {"StartingSequenceNumber": f"{self.starting:021d}"}
        if self.ending is not None:
            numbers["EndingSequenceNumber"] = f"{self.ending:021d}"
        told: JsonObject = {"ShardId": self.id, "SequenceNumberRange": numbers}
        return told if self.parent is None else told | {"ParentShardId": self.parent}


class Stream:
    """One stream of one table, `shards` in the order of their ids, which is that of their making."""

    def __init__(
        self, now: Instant, *, arn: str, label: str, table: str, view: str, key_schema: list[JsonObject],
        region: str, shards: int, first_sequence: int, rng: random.Random,
    ) -> None:  # fmt: skip
        self.arn = arn
        self.label = label
        self.table = table
        self.view = view
        self.key_schema = key_schema
        self.created = now.wall
        self.closed = math.inf
        self.shards: dict[str, Shard] = {}
        self.open: list[Shard] = []
        self._region = region
        self._sequence = first_sequence
        self._rng = rng
        self._last_ms = 0
        bounds = [HASHES * i // shards for i in range(shards + 1)]
        for i in range(shards):
            life = SHARD_LIFE - i * STAGGER
            self._add(now.mono, now.wall, None, bounds[i], bounds[i + 1], life)
        self._due = min(shard.due for shard in self.open)

    @property
    def enabled(self) -> bool:
        """Whether changes are written to it."""
        return self.closed == math.inf

    @property
    def newest_sequence(self) -> int:
        """The number that was given out last."""
        return self._sequence

    def _next_sequence(self) -> int:
        self._sequence += self._rng.randint(1, 99)
        return self._sequence

    def _add(
        self, mono: float, wall: float, parent: str | None, low: int, high: int, life: float = SHARD_LIFE
    ) -> Shard:
        # A millisecond of its own for each, or children would not be listed behind their parents.
        self._last_ms = max(int(wall * 1000), self._last_ms + 1)
        shard_id = f"shardId-{self._last_ms:020d}-{self._rng.getrandbits(32):08x}"
        shard = Shard(shard_id, parent, low, high, self._next_sequence(), mono, life)
        self.shards[shard_id] = shard
        self.open.append(shard)
        return shard

    def _close(self, shard: Shard, mono: float) -> None:
        shard.ending = self._next_sequence()
        shard.closed = mono
        self.open.remove(shard)

    def _roll(self, shard: Shard, mono: float, wall: float, into: int) -> None:
        self._close(shard, mono)
        bounds = [shard.low + (shard.high - shard.low) * i // into for i in range(into + 1)]
        for i in range(into):
            self._add(mono, wall, shard.id, bounds[i], bounds[i + 1])

    def roll(self, now: Instant, into: int = 1) -> None:
        """Closes every open shard, now; each has so many children."""
        for shard in list(self.open):
            self._roll(shard, now.mono, now.wall, into)
        self._due = min(shard.due for shard in self.shards.values())

    def close(self, now: Instant) -> None:
        """Disabled, or its table deleted: every shard closes without a child."""
        for shard in list(self.open):
            self._close(shard, now.mono)
        self.closed = now.mono

    def advance(self, now: Instant) -> None:
        """Does what time has done: rollovers at their moments, then trimming, then shards that vanish."""
        if now.mono < self._due:
            return
        while self.open:
            shard = min(self.open, key=lambda shard: shard.opened + shard.life)
            due = shard.opened + shard.life
            if due > now.mono:
                break
            self._roll(shard, due, now.wall - (now.mono - due), 1)
        horizon = now.mono - RETENTION
        for shard in list(self.shards.values()):
            shard.trim(horizon)
            if shard.closed <= horizon:
                del self.shards[shard.id]
        self._due = min((shard.due for shard in self.shards.values()), default=math.inf)

    def write(self, now: Instant, key_hash: int, keys: Item, old: Item | None, new: Item | None,
              *, service: bool) -> None:  # fmt: skip
        """Appends the record of a change to the shard of its key; `service`: the time to live did it (DDB-5)."""
        shard = next(shard for shard in self.open if shard.low <= key_hash < shard.high)
        sequence = self._next_sequence()
        with_new, with_old = _IMAGES[self.view]
        told: JsonObject = {"ApproximateCreationDateTime": float(int(now.wall)), "Keys": keys}
        size = item_size(keys)
        if new is not None and with_new:
            told["NewImage"] = new
            size += item_size(new)
        if old is not None and with_old:
            told["OldImage"] = old
            size += item_size(old)
        told |= {"SequenceNumber": f"{sequence:021d}", "SizeBytes": size, "StreamViewType": self.view}
        record: JsonObject = {
            "awsRegion": self._region,
            "dynamodb": told,
            "eventID": f"{self._rng.getrandbits(128):032x}",
            "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
            "eventSource": "aws:dynamodb",
            "eventVersion": "1.1",
        }
        if service:
            record["userIdentity"] = SERVICE
        # An open shard closes long before its newest record is trimmed: when to look again stays as it is.
        shard.changes.append(Change(sequence, now.mono, size, record))
