"""Where in a shard reading has come to: which read goes out next, and what of an answer is new.

When it goes out is pace.py's business, whether there is room for what it brings the machine's.
"""

from random import Random
from typing import Final

from poller.core.model import Instant, SourceKind, SourceProblem
from poller.core.pace import Pace
from poller.core.records import (
    TRIM_HORIZON,
    Page,
    Position,
    PositionKind,
    Record,
    Shard,
    after,
    sequence_value,
)
from poller.core.stream_messages import Fetch, Gap
from poller.core.stream_payload import FIRST_SEQUENCE

LIMITS: Final = {SourceKind.KINESIS: 10_000, SourceKind.DYNAMODB: 1_000}  # STR-21: records of one read
FETCH_DEADLINE: Final = 10.0  # seconds
# DynamoDB cannot start at a time: older records are read and passed over. Its times have whole seconds (some
# stand-ins': whole minutes), and a record too many is better than one too few.
COARSE: Final = 60.0
# An empty read of a source that does not tell how far behind it is may stand in the middle of a backlog (STR-26).
# After so many in a row, five seconds at DynamoDB's pace, the first of them is believed to have seen the tip.
BELIEVED: Final = 20
# These are about the iterator, or may be: one of a stream that was made anew, or that a server has forgotten.
_ITERATOR_LOST: Final = frozenset({SourceProblem.EXPIRED, SourceProblem.MISSING, SourceProblem.REFUSED})


class Reading:
    """The reads of one shard, one at a time. `ended`: the last one saw the shard's end, and its `children`.

    `behind` is seconds behind the newest record, where the source tells. `tip_at` is the epoch second at which the
    read went out that last saw the tip of the stream: its answer says nothing of what came later and may have
    been long on its way. `tips` is how many reads in a row were there and brought nothing, with that known.
    `positioned`: one has succeeded, so that it is certain what comes first. `passing_over`: all that was read so
    far is older than the start, and more of it may come, so that the start has to stay the position (STR-11):
    empty reads do not tell that there is none, and a restart that reads old records again costs reads only.
    `limit` is how many records the next read may bring.
    """

    def __init__(self, start: Position, source: SourceKind, random: Random, *, fresh: bool) -> None:
        """`fresh`: this process has just pinned the row's LATEST."""
        self._source = source
        self._pace = Pace(source, random)
        self._at, self._since = _first(start, source, fresh=fresh)
        self.passing_over = self._since is not None
        self._iterator: str | None = None
        self._last = sequence_value(start.sequence) if start.kind is PositionKind.AFTER else None
        self._gap: Position | None = None
        self.limit = self._most = LIMITS[source]
        self.under_way = False
        self.ended = False
        self.children: tuple[Shard, ...] = ()
        self.behind: float | None = None
        self.tip_at: float | None = None
        self._asked_at = 0.0
        self._empty: tuple[float, ...] = ()  # when the last BELIEVED reads, all of them empty, went out
        self.tips = 0
        self.positioned = False

    @property
    def due(self) -> float | None:
        """The monotonic second from which on the next read may go out; None while one is under way, or after the
        end.
        """
        return None if self.under_way or self.ended else self._pace.due

    @property
    def next_sequence(self) -> str:
        """What is beyond everything that was read."""
        return str((self._last or 0) + 1)

    def begin(self, now: Instant, limit: int) -> Fetch:
        """A read of at most `limit` records goes out."""
        self.under_way = True
        self._asked_at = now.wall
        self._pace.started(now.mono)
        return Fetch(self._iterator, self._at, limit, FETCH_DEADLINE)

    def fetched(self, page: Page, count: int) -> None:
        """A read came back, with so many records that can be used."""
        self.under_way = False
        self.positioned = True
        self._iterator = page.iterator
        self.behind = page.behind
        if page.iterator is None:
            self.ended, self.children = True, page.children
        self._pinned()
        full, self.limit = count >= self.limit, min(self._most, self.limit * 2)
        # an empty page may stand before more (STR-26), a full one mostly does, and DynamoDB does not tell
        quiet = not page.behind and not full and (page.behind is not None or count == 0)
        seen_at = self._tip_seen(page, count) if quiet else None
        if not quiet:
            self._empty = ()
        if seen_at is not None:
            self.tip_at = seen_at
        self.tips = self.tips + 1 if seen_at is not None and count == 0 else 0
        self._pace.ended(behind=not quiet, size=page.size)

    def _tip_seen(self, page: Page, count: int) -> float | None:
        """When the read went out of which it is known now that it was at the tip."""
        if page.behind is not None:
            return self._asked_at
        self._empty = (*self._empty, self._asked_at)[-BELIEVED:]
        return self._empty[0] if len(self._empty) == BELIEVED else None

    def gap(self, records: list[Record]) -> Gap | None:
        """What was trimmed before it was read (STR-25), told with the first records behind it, or at the end."""
        if self._gap is None or not (records or self.ended):
            return None
        gap, self._gap = Gap(self._gap, records[0].sequence if records else ""), None
        return gap

    def new(self, records: list[Record]) -> tuple[list[Record], int]:
        """Those that were not read before, numbered without a gap, and how many of these, at the front, are older
        than the start and need no function (STR-11).
        """
        if records and self._last is not None and sequence_value(records[0].sequence) <= self._last:
            last, first = self._last, records[0].offset
            # one without a number of its own has that of the record before it, which came with an earlier read
            fresh = [
                record if sequence_value(record.sequence) > last else record._replace(sequence=str(last))
                for record in records
                if sequence_value(record.sequence) > last or record.sequence == FIRST_SEQUENCE
            ]
            records = [record._replace(offset=first + place) for place, record in enumerate(fresh)]
        if not records:
            return records, 0
        self._at = after(records[-1].sequence)
        self._last = sequence_value(records[-1].sequence)
        if (since := self._since) is None:
            return records, 0
        older = next((n for n, record in enumerate(records) if record.arrived_at >= since), len(records))
        if older < len(records):
            self._since = None
            self.passing_over = False
        return records, older

    def failed(self, problem: SourceProblem, iterator: str | None, now: float) -> None:
        """STR-23 to STR-25: an iterator too old is got anew for the same place, a trimmed place gives way to what
        is left; nothing else is skipped. `iterator` is the one that was used, None if none could be had.
        """
        self.under_way = False
        self.tips, self._empty = 0, ()
        self._pace.failed(problem, now)
        if iterator is not None:
            self._iterator = iterator
            self._pinned()
            if problem is SourceProblem.UNREACHABLE:
                # ten megabytes may not come before the deadline, however often they are asked for
                self.limit = max(1, self.limit // 10)
        if problem is SourceProblem.TRIMMED:
            self._iterator = None
            if self._gap is None and self._at != TRIM_HORIZON:
                self._gap = self._at
            self._at = TRIM_HORIZON
        elif problem in _ITERATOR_LOST:
            self._iterator = None
            if (since := _older_than(self._at, self._source)) is not None:
                self._since, self.passing_over = since, True

    def _pinned(self) -> None:
        """An iterator stands at the tip of that moment; should it expire, the pin says where to go on (STR-11)."""
        if self._at.kind is PositionKind.LATEST:
            self._at = Position(PositionKind.AT_TIMESTAMP, timestamp=self._at.timestamp)


def _first(start: Position, source: SourceKind, *, fresh: bool) -> tuple[Position, float | None]:
    """Where the first read begins, and before which epoch second its records are passed over (STR-11, STR-13)."""
    if start.kind not in {PositionKind.LATEST, PositionKind.AT_TIMESTAMP}:
        return start, None
    if start.kind is PositionKind.LATEST and fresh:
        return start, None
    at = Position(PositionKind.AT_TIMESTAMP, timestamp=start.timestamp)
    return at, _older_than(at, source)


def _older_than(at: Position, source: SourceKind) -> float | None:
    """Before which epoch second records are passed over that a read from there brings; None for none."""
    return (
        at.timestamp - COARSE if source is SourceKind.DYNAMODB and at.kind is PositionKind.AT_TIMESTAMP else None
    )
