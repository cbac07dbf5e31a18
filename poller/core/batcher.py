"""Messages and records become batches: size, bytes, window, flush (BAT-1 to BAT-8). Nothing else closes a batch.

A queue's machine asks `due` when to come back, `add`s what was received, and takes what `close_due` or `flush`
gives: receives are batches already. A lane of a stream keeps its records as they come, and a batch is cut from
them at the moment when it can be invoked. What was never in a lane, or leaves it without an invocation, is cut by
`in_batches`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from poller.core.fact import fact
from poller.core.model import Batch, BatchTrigger, Message
from poller.core.payload import EVENT_LIMIT, EVENT_OVERHEAD, RECORD_SEPARATOR, event_size
from poller.core.records import Record


class Batcher:
    """The one open batch of a mapping, and the rule that closes it."""

    def __init__(self, batch_size: int, window: float) -> None:
        self._batch_size = batch_size
        self._window = window
        self._open: list[Message] = []
        self.count = 0
        """Messages in the open batch; to be read only."""
        self._size = EVENT_OVERHEAD
        self._opened_at = 0.0
        self._next_number = 1

    @property
    def size(self) -> int:
        """Bytes that the open batch would have as an event."""
        return self._size if self._open else 0

    @property
    def opened_at(self) -> float | None:
        """The monotonic second at which the first message of the open batch came; None without one."""
        return self._opened_at if self._open else None

    def add(self, messages: Sequence[Message], now: float) -> list[Batch]:
        """Takes one receive; returns the batches that it completes (BAT-1a, BAT-1c), in order.

        Without a window all of it leaves at once (BAT-3, BAT-8); with one the rest stays open.
        """
        if not self._window and not self._open and len(messages) <= self._batch_size:
            size = EVENT_OVERHEAD + RECORD_SEPARATOR * (len(messages) - 1)
            for message in messages:
                size += message.size
            if size <= EVENT_LIMIT:  # mostly: one receive, one batch
                trigger = BatchTrigger.SIZE if len(messages) == self._batch_size else BatchTrigger.IMMEDIATE
                return [self._numbered(tuple(messages), trigger, now, size)]
        closed: list[Batch] = []
        opened = self._open
        for message in messages:
            added = message.size
            if opened:
                added += RECORD_SEPARATOR
                if self._size + added > EVENT_LIMIT:
                    closed.append(self._close(BatchTrigger.BYTES))
                    added = message.size
            if not opened:
                self._opened_at = now
            opened.append(message)
            self.count += 1
            self._size += added
            if self.count >= self._batch_size:
                closed.append(self._close(BatchTrigger.SIZE))
        if self._window == 0 and opened:
            closed.append(self._close(BatchTrigger.IMMEDIATE))
        return closed

    def due(self, slot_free_since: float) -> float | None:
        """When the window of the open batch ends (BAT-4): it starts with the first message or with the slot that
        became free for it, whichever came later.
        """
        if not self._open:
            return None
        return max(self._opened_at, slot_free_since) + self._window

    def close_due(self, now: float, slot_free_since: float) -> Batch | None:
        """The open batch, if its window is over (BAT-1b); an empty one closes silently."""
        due = self.due(slot_free_since)
        return self._close(BatchTrigger.WINDOW) if due is not None and due <= now else None

    def flush(self) -> Batch | None:
        """The open batch as it is, because the source is empty or the mapping stops."""
        return self._close(BatchTrigger.STOP) if self._open else None

    def _close(self, trigger: BatchTrigger) -> Batch:
        batch = self._numbered(tuple(self._open), trigger, self._opened_at, self._size)
        self._open.clear()
        self.count = 0
        self._size = EVENT_OVERHEAD
        return batch

    def _numbered(
        self, messages: tuple[Message, ...], trigger: BatchTrigger, opened_at: float, size: int
    ) -> Batch:
        batch = Batch(self._next_number, messages, trigger, opened_at, size, earliest_lease(messages))
        self._next_number += 1
        return batch


def shrunk(batch: Batch, kept: tuple[Message, ...]) -> Batch:
    """The batch with only these of its messages, in the order they had (BAT-6)."""
    if len(kept) == len(batch.messages):
        return batch
    size = event_size([message.size for message in kept])
    return replace(batch, messages=kept, size=size, lease_until=earliest_lease(kept))


def earliest_lease(messages: tuple[Message, ...]) -> float:
    """Until when the receipts of all of them are good (monotonic seconds)."""
    earliest = messages[0].lease_until if messages else 0.0
    for message in messages:
        if message.lease_until < earliest:  # noqa: PLR1730 - a call of min for each message takes thrice as long
            earliest = message.lease_until
    return earliest


@fact
class Cut:
    """Records taken from a lane's buffer to be one batch: why just now, and since when (monotonic) they waited."""

    records: tuple[Record, ...]
    trigger: BatchTrigger
    opened_at: float


class LaneBuffer:
    """The records of one lane that are in no batch yet, in order."""

    def __init__(self, batch_size: int, window: float) -> None:
        self._batch_size = batch_size
        self._window = window
        self._records: deque[Record] = deque()
        self._chunks: deque[tuple[int, float]] = deque()
        self.size = 0
        """Bytes of the records, without what an event has around them."""

    def __len__(self) -> int:
        return len(self._records)

    @property
    def first(self) -> Record | None:
        """The record that is next."""
        return self._records[0] if self._records else None

    def add(self, records: Sequence[Record], now: float) -> None:
        """These were read at this monotonic second."""
        self._records.extend(records)
        self._chunks.append((len(records), now))
        self.size += sum([record.size for record in records])

    def due(self, free_since: float) -> float | None:
        """When the window of what is buffered ends: it starts with the first record, or with the end of the lane's
        last invocation, whichever came later (BAT-4). None without records.
        """
        return max(self._chunks[0][1], free_since) + self._window if self._chunks else None

    def oldest_arrival(self) -> float | None:
        """The epoch second at which the oldest of them came into the stream."""
        return min([record.arrived_at for record in self._records], default=None)

    def cut(
        self,
        now: float,
        free_since: float,
        overhead: int,
        *,
        flush: bool,
        most: int | None = None,
        belongs: Callable[[Record], bool] | None = None,
    ) -> Cut | None:
        """The next batch, if one is due (BAT-1); at least one record.

        `overhead` is the bytes of the event around its records (BAT-2); `most` bounds the count where an earlier
        process had cut the same batch, or has to cut there; `belongs` tells which records may be together at all
        (TMB-4). What ends at either of them, or at `flush`, waits for no window.
        """
        if not self._records:
            return None
        count, ended = self._run(self._batch_size if most is None else min(most, self._batch_size), belongs)
        within = self._within(count, overhead)
        opened_at = self._chunks[0][1]
        if within < count:
            trigger = BatchTrigger.BYTES
        elif count >= self._batch_size:
            trigger = BatchTrigger.SIZE
        elif ended or self._window == 0:
            trigger = BatchTrigger.IMMEDIATE
        elif max(opened_at, free_since) + self._window <= now:
            trigger = BatchTrigger.WINDOW
        elif flush:
            trigger = BatchTrigger.STOP
        else:
            return None
        return Cut(self.take(max(1, within)), trigger, opened_at)

    def take(self, count: int) -> tuple[Record, ...]:
        """The next so many records, whatever they are."""
        records = self._records
        if count >= len(records):
            taken = tuple(records)
            self.clear()
            return taken
        taken = tuple([records.popleft() for _ in range(count)])
        self.size -= sum([record.size for record in taken])
        left = count
        while left:
            chunk, since = self._chunks[0]
            if chunk > left:
                self._chunks[0] = (chunk - left, since)
                break
            left -= chunk
            self._chunks.popleft()
        return taken

    def drop(self, gone: Callable[[Record], bool]) -> tuple[Record, ...]:
        """Takes out those of which this is true, wherever they are, in order; how long the others have waited is
        then counted from the oldest chunk.
        """
        dropped = tuple([record for record in self._records if gone(record)])
        if dropped:
            since = self._chunks[0][1]
            kept = [record for record in self._records if not gone(record)]
            self.clear()
            if kept:
                self.add(kept, since)
        return dropped

    def clear(self) -> None:
        """Forgets all of them."""
        self._records.clear()
        self._chunks.clear()
        self.size = 0

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def _run(self, most: int, belongs: Callable[[Record], bool] | None) -> tuple[int, bool]:
        """How many of the first `most` records may be together; whether more could never join them."""
        count = min(most, len(self._records))
        if belongs is not None:
            for place, record in enumerate(islice(self._records, count)):
                if not belongs(record):
                    return max(1, place), True
        return count, most < self._batch_size and count == most

    def _within(self, count: int, overhead: int) -> int:
        """How many of the first `count` records fit into one event (BAT-1c)."""
        if overhead + self.size + RECORD_SEPARATOR * len(self._records) <= EVENT_LIMIT:
            return count
        return _fitting(islice(self._records, count), overhead)


def in_batches(records: Sequence[Record], batch_size: int, overhead: int) -> Iterator[tuple[Record, ...]]:
    """All of them, in order, in batches that a mapping could have had (BAT-1a, BAT-1c): each as full as may be,
    and a record that is too large by itself alone. `overhead` is the bytes of an event around its records (BAT-2).
    """
    begin = 0
    while begin < len(records):
        most = tuple(records[begin : begin + batch_size])
        count = max(1, _fitting(most, overhead))
        yield most[:count]
        begin += count


def _fitting(records: Iterable[Record], overhead: int) -> int:
    """How many of them, from the first on, go into one event (BAT-1c)."""
    size, count = overhead - RECORD_SEPARATOR, 0
    for record in records:
        size += record.size + RECORD_SEPARATOR
        if size > EVENT_LIMIT:
            break
        count += 1
    return count
