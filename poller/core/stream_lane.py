"""One lane of a shard: what is buffered, formed, running or being given up; at most one batch at a time (STR-40).

It keeps things in order and decides nothing about them: that is stream_settle.py's and batcher.py's business.
"""

from collections import deque
from dataclasses import replace

from poller.core.batcher import LaneBuffer
from poller.core.records import Discard, Head, StreamBatch


class Lane:
    """`queue` has the batches that are formed and not resolved, the next one first; `sending` the discards whose
    documents are not handed over, the first of them under way; `due` is the monotonic second from which on the
    next batch may be invoked. `guard` is the number of the Save that the next invocation waits for, 0 while that
    Save is not written yet, None when it waits for none. `head` is what an earlier process left to say of a batch.
    `read_to` is the last sequence number that was read of the shard, whether or not its record came here.
    """

    __slots__ = (
        "blocked_since",
        "buffer",
        "due",
        "free_since",
        "guard",
        "head",
        "index",
        "queue",
        "read_to",
        "running",
        "running_since",
        "sending",
        "start",
    )

    def __init__(self, index: int, batch_size: int, window: float, head: Head | None, start: int | None) -> None:
        """`start` is the sequence number before which an earlier process has resolved all of this lane."""
        self.index = index
        self.start = start
        self.read_to = 0
        self.buffer = LaneBuffer(batch_size, window)
        self.queue: deque[StreamBatch] = deque()
        self.running: StreamBatch | None = None
        self.running_since = 0.0
        self.sending: deque[Discard] = deque()
        self.due = 0.0
        self.free_since = 0.0
        self.guard: int | None = None
        self.head = head
        self.blocked_since: float | None = None

    @property
    def busy(self) -> bool:
        """Whether something is under way that has to end before the next batch."""
        return self.running is not None or bool(self.sending) or self.guard is not None

    @property
    def empty(self) -> bool:
        """Whether nothing is left in it."""
        return not (self.busy or self.queue or self.buffer)

    def oldest(self) -> str | None:
        """The sequence number of its oldest record that is not resolved."""
        batches = [discard.batch for discard in self.sending]
        batches += [self.running] if self.running is not None else []
        firsts = [batch.records[0] for batch in (*batches, *self.queue) if batch.records]
        if (first := self.buffer.first) is not None:
            firsts.append(first)
        return min(firsts, key=lambda record: record.offset).sequence if firsts else None

    def blocked(self, now: float) -> None:
        """Its head batch has failed."""
        if self.blocked_since is None:
            self.blocked_since = now

    def remembered(self, *, counted: bool) -> Head | None:
        """What a restart has to know of the batch at its head; None when that is nothing.

        `counted`: the number of attempts is bounded. Where it is not, records have their age from the stream; only
        of a window's last call, which has none, it has to be known since when it has failed (TMB-9).
        """
        head = self._first()
        if counted or head is None:
            return head
        if head.first or head.failed_at is None:
            return None
        return replace(head, attempts=0, interrupted=0, running=False)  # a bound set later begins to count then

    def _first(self) -> Head | None:
        starting = bool(self.guard)
        running = starting or self.running is not None
        if self.sending:
            batch = self.sending[0].batch
        elif self.running is not None:
            batch = self.running
        elif self.queue:
            batch = self.queue[0]
        else:
            return self.head
        ages = not batch.records and batch.failed_at is not None  # by being throttled, too (TMB-9, ERR-1)
        tried = bool(batch.attempts or batch.interrupted or ages)
        if self.head is not None and not tried:
            return self.head  # what runs before it had succeeded in an earlier process
        if not (running or tried):
            return None
        records = batch.records
        return Head(
            lane=self.index,
            first=records[0].sequence if records else "",
            last=records[-1].sequence if records else "",
            count=len(records),
            attempts=batch.attempts,
            interrupted=batch.interrupted,
            failed_at=batch.failed_at,
            running=running,
        )
