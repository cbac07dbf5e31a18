"""`poller tail`: records as they come, beside everybody who reads the stream: iterators of our own, no checkpoint.

A read counts against the limits of the shard all the same: five a second at Kinesis, and two readers at DynamoDB
(SUR-15); so a shard is read once a second at most. A queue cannot be looked at without taking: see borrowed.py.
"""

import asyncio
import json
import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Final

from poller.clock import SystemClock
from poller.core.filter import make_filter
from poller.core.mapping import EventSourceMapping
from poller.core.model import JsonObject, SourceKind, SourceProblem
from poller.core.pace import Pace
from poller.core.records import TRIM_HORIZON, Page, Position, PositionKind, Record, Shard, after
from poller.core.replay import plain_batch
from poller.core.stream_payload import make_records, stream_event
from poller.errors import ConfigurationError, SourceError
from poller.operate.borrowed import Tell
from poller.ports import StreamSource
from poller.telling import TELL_EVERY

READ_DEADLINE: Final = 10.0  # seconds of one call
MOST_RECORDS: Final = 1_000
MOST_READS: Final = 64  # at once, over all shards
_PASSING: Final = frozenset({SourceProblem.THROTTLED, SourceProblem.SERVER, SourceProblem.UNREACHABLE,
                             SourceProblem.EXPIRED, SourceProblem.TRIMMED})  # fmt: skip
_SPAN = re.compile(r"(\d{1,9})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Show = Callable[[str, Record], None]


class _Enough(Exception):  # noqa: N818 - named for what has happened
    """As many records were shown as were asked for."""


def parse_since(text: str, now: float) -> float:
    """`10m` (s, m, h, d) ago or a time in ISO 8601, UTC unless it says otherwise, in epoch seconds; `now` is.
    Raises ConfigurationError.
    """
    if span := _SPAN.fullmatch(text):
        return max(0.0, now - int(span[1]) * _UNITS[span[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--since: {text!r} is neither a span such as 30s, 10m, 2h or 1d nor a time such as"
            " 2026-01-31T12:00:00Z."
        ) from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds > now:
        raise ConfigurationError(f"--since: {text} is in the future.")
    return seconds


class Outage:
    """What is told of reads that failed and are tried again: the first at once, then every 30 s how many, and when
    all shards are read again. What flickers is told no more often. Times are monotonic seconds.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._failing: set[str] = set()
        self._tries = 0
        self._failed_at: float | None = None
        self._told_at: float | None = None
        self._open = False  # whether a failure was told, and not its end

    def failed(self, shard_id: str, why: str, now: float) -> None:
        """A read of that shard failed."""
        if not self._failing and self._failed_at is not None and now - self._failed_at >= TELL_EVERY:
            self._tries = 0  # another outage; what flickered before it was not worth a line
        self._failing.add(shard_id)
        self._failed_at = now
        self._tries += 1
        if self._told_at is not None and now - self._told_at < TELL_EVERY:
            return
        which = shard_id if len(self._failing) == 1 else f"{len(self._failing)} shards"
        if self._tries == 1:
            self._tell(f"{which} cannot be read at the moment, and is tried again: {why}")
        else:
            self._tell(f"{which} cannot be read, and {self._tries} tries have failed, the last because: {why}")
        self._told_at, self._open = now, True

    def over(self, shard_id: str) -> None:
        """It was read."""
        self._failing.discard(shard_id)
        if self._open and not self._failing:
            tries = "a try" if self._tries == 1 else f"{self._tries} tries"
            self._tell(f"It is read again, after {tries} that failed.")
            self._tries, self._open = 0, False


class Tail:
    """One look at a stream; `show` is called with each record that passes the mapping's filters, and its shard."""

    def __init__(
        self,
        stream: StreamSource,
        mapping: EventSourceMapping,
        show: Show,
        tell: Tell,
        *,
        since: float | None,
        most: int | None,
    ) -> None:
        """From `since` (epoch seconds), else from what is written from now on; at most so many records. `tell`
        hears of reads that are tried again.
        """
        self._stream = stream
        self._mapping = mapping
        self._show = show
        self._since = since
        self._left = most
        self._filter = make_filter(mapping.filters, mapping.source)
        self._random = Random()  # noqa: S311 - jitter, not a secret
        self._clock = SystemClock()
        self._reads = asyncio.Semaphore(MOST_READS)
        self._outage = Outage(tell)
        self._begun: set[str] = set()
        self._known: set[str] = set()  # that are read or will be, and have not ended
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Until `most` were shown, or until cancelled, or the stream has ended. Raises SourceError when it
        cannot be read, and what `show` raises.
        """
        await self._stream.describe()  # what is missing or may not be read is told in one sentence
        listing = await self._stream.list_shards()
        start = Position(PositionKind.LATEST)
        shards = listing.shards
        if self._since is not None:
            start = Position(PositionKind.AT_TIMESTAMP, timestamp=self._since)
        else:
            shards = tuple(shard for shard in shards if listing.shows_open(shard.id))
        self._known = {shard.id for shard in shards}
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._begin(tuple(shard for shard in shards if not self._known & {*shard.parents}), start)
        except BaseExceptionGroup as group:
            first = _first(group)
            if not isinstance(first, _Enough):
                raise first from None

    def _begin(self, shards: tuple[Shard, ...], start: Position) -> None:
        for shard in shards:
            if shard.id not in self._begun:
                self._begun.add(shard.id)
                self._known.add(shard.id)
                self._tasks.create_task(self._follow(shard.id, start))

    async def _follow(self, shard_id: str, start: Position) -> None:
        pace, position, iterator = Pace(self._mapping.source, self._random), start, None
        count = failures = 0
        while True:
            await asyncio.sleep(max(0.0, pace.due - self._clock.now().mono))
            pace.started(self._clock.now().mono)
            try:
                async with self._reads:
                    if iterator is None:
                        iterator = await self._stream.iterator(shard_id, position, READ_DEADLINE)
                    page = await self._stream.records(shard_id, iterator, MOST_RECORDS, READ_DEADLINE)
            except SourceError as error:
                if error.problem not in _PASSING:
                    raise
                if error.problem is SourceProblem.TRIMMED:
                    position = TRIM_HORIZON
                if error.problem in {SourceProblem.EXPIRED, SourceProblem.TRIMMED}:
                    iterator = None
                failures += 1
                if error.problem is not SourceProblem.EXPIRED or failures > 1:  # iterators do age; once is nothing
                    self._outage.failed(shard_id, str(error), self._clock.now().mono)
                pace.failed(error.problem, self._clock.now().mono)
                continue
            failures = 0
            self._outage.over(shard_id)
            records = make_records(page.records, self._mapping, shard_id, count)
            count += len(records)
            self._shown(shard_id, records)
            if records:
                position = after(records[-1].sequence)
            if page.iterator is None:
                await self._descend(shard_id, page)
                return
            iterator = page.iterator
            pace.ended(behind=bool(page.behind) or len(records) == MOST_RECORDS, size=page.size)

    async def _descend(self, shard_id: str, page: Page) -> None:
        """The shard has ended: its children are read from their beginning, once their other parents have ended."""
        children = page.children or await self._stream.children(shard_id)
        self._known.discard(shard_id)
        self._begin(tuple(child for child in children if not self._known & {*child.parents}), TRIM_HORIZON)

    def _shown(self, shard_id: str, records: list[Record]) -> None:
        for record in records:
            if self._since is not None and record.arrived_at < self._since // 1:  # DynamoDB knows no time (STR-11)
                continue
            if not self._filter.passes_record(record, self._mapping.arn, shard_id):
                continue
            self._show(shard_id, record)
            if self._left is not None:
                self._left -= 1
                if self._left <= 0:
                    raise _Enough


def event_record(record: Record, mapping: EventSourceMapping, shard_id: str) -> JsonObject:
    """The record as a function would have it."""
    shown: JsonObject = stream_event(plain_batch((record,)), mapping, shard_id)["Records"][0]
    return shown


def line_of(record: Record, source: SourceKind, shard_id: str) -> str:
    """The record on one line: its time in UTC, the end of its shard's id, its key and what it says."""
    at = f"{datetime.fromtimestamp(record.arrived_at, UTC):%H:%M:%S}"
    if source is SourceKind.KINESIS:
        key, said = str(record.source["PartitionKey"]), _text(record.source["Data"])
    else:
        change = record.source["dynamodb"]
        key = json.dumps(change.get("Keys"), ensure_ascii=False)
        image = change.get("NewImage") or change.get("OldImage")
        said = f"{record.source['eventName']} {'' if image is None else json.dumps(image, ensure_ascii=False)}"
    return printable(f"{at} {shard_id[-8:]} {key} {said}")


def message_line(record: JsonObject) -> str:
    """The same for a message's event record: the time of its sending, its group if it has one, and its body."""
    attributes = record["attributes"]
    sent = attributes.get("SentTimestamp", "")
    at = f"{datetime.fromtimestamp(int(sent) / 1000, UTC):%H:%M:%S}" if sent.isdecimal() else "--:--:--"
    return printable(f"{at} {record['messageId'][:8]} {attributes.get('MessageGroupId', '')} {record['body']}")


def printable(text: str) -> str:
    """What another program wrote must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _text(data: str) -> str:
    try:
        content = b64decode(data, validate=True)
    except (Error, ValueError):
        return data
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"<{len(content)} bytes>"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
