"""One shard: its range, its records as they go over the wire, and how they are found, read and trimmed."""

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from poller.core.model import Instant, JsonObject

LARGEST_PAGE: Final = 10 * 1024 * 1024  # bytes of data and keys in one GetRecords
_BYTES_PER_SECOND: Final = 2 * 1024 * 1024
_CALLS_PER_SECOND: Final = 5
_PAUSE_AFTER_LARGEST: Final = 5.0
_TIDY: Final = 4_096


@dataclass(frozen=True, slots=True)
class Numbering:
    """How a stream numbers: 56 digits, ascending in time over all its shards, telling stream and shard.

    `mark` tells streams of the same name apart: the second of creation, ten digits.
    """

    mark: int

    def text(self, place: int, shard: int) -> str:
        """The sequence number of the stream's `place`-th event, which happened to that shard."""
        return f"49{self.mark:010d}{place:032d}{shard:012d}"

    def place(self, number: str, shard: int) -> int | None:
        """The place that a number of this shard stands for; None for any other number."""
        if len(number) != 56 or not (number.isascii() and number.isdigit()):
            return None
        if number[:12] != f"49{self.mark:010d}" or int(number[44:]) != shard:
            return None
        return int(number[12:44])


class Read(NamedTuple):
    """What one read found: records in wire form, their bytes, the place to go on from, and when the oldest record
    that is left unread arrived (epoch seconds; None at the tip).
    """

    records: list[JsonObject]
    size: int
    place: int
    waiting_since: float | None


@dataclass(slots=True, eq=False)
class Throttle:
    """The limits of one shard for all its readers: five calls and 2 MiB a second (STR-21)."""

    calls: deque[float] = field(default_factory=lambda: deque(maxlen=_CALLS_PER_SECOND))
    debt: float = 0.0
    debt_at: float = 0.0
    closed_until: float = 0.0

    def refuses(self, mono: float) -> bool:
        """Whether a call comes too soon; if not, it is counted."""
        self.debt = max(0.0, self.debt - _BYTES_PER_SECOND * (mono - self.debt_at))
        self.debt_at = mono
        if mono < self.closed_until or self.debt >= _BYTES_PER_SECOND:
            return True
        if len(self.calls) == _CALLS_PER_SECOND and mono - self.calls[0] < 1.0:
            return True
        self.calls.append(mono)
        return False

    def took(self, mono: float, size: int) -> None:
        """A call was answered with so many bytes."""
        self.debt += size
        if size >= LARGEST_PAGE:
            self.closed_until = mono + _PAUSE_AFTER_LARGEST


class Shard:
    """`opened` is the place of its birth in the stream's numbering, `closed` that of its end, None while open.

    `closed_at` and `opened_at` are instants. Records stand in the order of their places; `totals` are the bytes of
    all records before each one, so that a page is found by bisection.
    """

    def __init__(
        self, index: int, start: int, end: int, opened: int, opened_at: Instant, parents: tuple["Shard", ...] = ()
    ) -> None:
        self.index = index
        self.id = f"shardId-{index:012d}"
        self.start = start
        self.end = end
        self.parents = tuple(parent.id for parent in parents)
        self.children: list[Shard] = []
        for parent in parents:
            parent.children.append(self)
        self.opened = opened
        self.opened_at = opened_at
        self.closed: int | None = None
        self.closed_at: Instant | None = None
        self.reads = Throttle()
        self.iterators = Throttle()
        self._first = 0  # the records before it are trimmed, and dropped now and then
        self._places: list[int] = []
        self._arrivals: list[Instant] = []
        self._records: list[JsonObject] = []
        self._totals: list[int] = [0]

    @property
    def records(self) -> list[JsonObject]:
        """What is in it, oldest first, in wire form."""
        return self._records[self._first :]

    def add(self, now: Instant, place: int, record: JsonObject, size: int) -> None:
        """Takes a record in."""
        self._places.append(place)
        self._arrivals.append(now)
        self._records.append(record)
        self._totals.append(self._totals[-1] + size)

    def close(self, now: Instant, place: int) -> None:
        """A split or a merge ended it."""
        self.closed, self.closed_at = place, now

    def ended_before(self, horizon: float) -> bool:
        """Whether its last record may have arrived at or before this monotonic second, and none will come."""
        return self.closed_at is not None and self.closed_at.mono <= horizon

    def trim(self, horizon: float) -> None:
        """Drops what arrived at or before this monotonic second."""
        while self._first < len(self._arrivals) and self._arrivals[self._first].mono <= horizon:
            self._first += 1
        if self._first > _TIDY and self._first * 2 > len(self._places):
            for column in (self._places, self._arrivals, self._records, self._totals):
                del column[: self._first]
            self._first = 0

    def place_at(self, wall: float, end: int) -> int:
        """The place of the first record that arrived at this epoch second or later; `end` where there is none."""
        for index in range(self._first, len(self._arrivals)):
            # to the millisecond, as the record tells it: what was read can be asked for
            if self._records[index]["ApproximateArrivalTimestamp"] >= wall:
                return self._places[index]
        return end

    def read(self, place: int, limit: int) -> Read:
        """Up to `limit` records and LARGEST_PAGE bytes, beginning at that place or the oldest record left."""
        begin = bisect_left(self._places, place, lo=self._first)
        room = bisect_right(self._totals, self._totals[begin] + LARGEST_PAGE, lo=begin) - 1
        end = min(begin + limit, max(room, begin + 1), len(self._records))
        left = self._arrivals[end].wall if end < len(self._arrivals) else None
        if begin == end:
            return Read([], 0, place, left)
        size = self._totals[end] - self._totals[begin]
        return Read(self._records[begin:end], size, self._places[end - 1] + 1, left)
