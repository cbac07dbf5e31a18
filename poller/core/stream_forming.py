"""From the buffer of a lane to the next batch: which records, with what window, how large, with whose attempts.

When a batch is full or due is batcher.py's question; here are the things that only a stream has: tumbling windows,
and batches that an earlier process had formed (BAT-6).
"""

from dataclasses import replace

from poller.core.batcher import in_batches
from poller.core.mapping import EventSourceMapping
from poller.core.model import BatchTrigger, Instant
from poller.core.payload import RECORD_SEPARATOR
from poller.core.records import Head, Record, StreamBatch, WindowCall, sequence_value
from poller.core.stream_lane import Lane
from poller.core.stream_payload import event_overhead
from poller.core.stream_settle import shrunk
from poller.core.stream_windows import Windows


class Forming:
    """Makes and numbers the batches of one shard."""

    def __init__(self, mapping: EventSourceMapping, shard_id: str, windows: Windows | None) -> None:
        assert mapping.stream is not None, "a shard belongs to a stream"
        self._mapping = mapping
        self._settings = mapping.stream
        self._shard_id = shard_id
        self._windows = windows
        self._overhead = event_overhead(None, mapping, shard_id)
        self._next = 1

    def batch(
        self, lane: Lane, records: tuple[Record, ...], trigger: BatchTrigger, opened_at: float
    ) -> StreamBatch:
        """A new batch, with a fresh budget of attempts (ERR-22, PBR-22)."""
        number, self._next = self._next, self._next + 1
        return StreamBatch(number, lane.index, records, trigger, opened_at, 0)

    def expired(self, lane: Lane, records: tuple[Record, ...], now: Instant) -> list[StreamBatch]:
        """Records that outlived their age in the buffer (ERR-14), as the batches that they could have been: the
        document of each stands for what one invocation can take, and so does its payload (DST-10, DST-13).
        """
        parts = in_batches(records, self._mapping.batch_size, self._overhead)
        return [self.batch(lane, part, BatchTrigger.IMMEDIATE, now.mono) for part in parts]

    def ready(self, batch: StreamBatch) -> StreamBatch:
        """The batch as it is invoked now: with the state that its window has by now, and its size (BAT-2)."""
        call = batch.call
        if self._windows is not None and (call is None or not call.final):
            call = self._windows.call()
        sizes = sum([record.size for record in batch.records])
        commas = RECORD_SEPARATOR * max(0, len(batch.records) - 1)
        return replace(batch, call=call, size=self._around(call) + sizes + commas)

    def closing(self, lane: Lane, now: Instant, *, early: bool = False) -> StreamBatch:
        """The final invocation of the open window, which has no records (TMB-6, TMB-8)."""
        assert self._windows is not None, "without tumbling windows nothing is closed"
        call = self._windows.call(final=True, early=early)
        batch = replace(self.batch(lane, (), BatchTrigger.WINDOW, now.mono), call=call)
        head = lane.head
        if head is None or head.first:
            return batch
        lane.head = None
        return _inherited(batch, head)

    def next(self, lane: Lane, now: Instant, *, flush: bool, complete: bool) -> StreamBatch | None:
        """The next batch of a lane that has records, if one is due.

        `flush`: it shall not wait for more; `complete`: all that the stream has by now has been read.
        """
        first = lane.buffer.first
        assert first is not None, "an empty lane has no next batch"
        windows = self._windows
        if windows is not None and not windows.open_for(first):
            return self.closing(lane, now)  # a record of a later window has come (TMB-7)
        if lane.head is not None and _passed(lane.head, first):
            lane.head = None
        most = _most(lane, complete=complete)
        if most == 0:
            return None
        cut = lane.buffer.cut(
            now.mono,
            lane.free_since,
            self._overhead if windows is None else self._around(windows.call()),
            flush=flush,
            most=most,
            belongs=None if windows is None else windows.belongs,
        )
        if cut is None:
            return None
        batch = self.batch(lane, cut.records, cut.trigger, cut.opened_at)
        head = lane.head
        if head is None or sequence_value(cut.records[0].sequence) < sequence_value(head.first):
            return batch
        lane.head = None
        # what a smaller BatchSize makes of it are other batches, and none of them has been tried (ERR-22)
        inherits = head.count <= self._mapping.batch_size
        return shrunk(_inherited(batch, head), head.count, self._settings) if inherits else batch

    def _around(self, call: WindowCall | None) -> int:
        return self._overhead if call is None else event_overhead(call, self._mapping, self._shard_id)


def waits(lane: Lane) -> bool:
    """Whether the lane's next batch, formed by an earlier process, waits for the rest of its records."""
    return lane.head is not None and _most(lane, complete=False) == 0


def _passed(head: Head, first: Record) -> bool:
    """Whether what an earlier process left will not come again: it is gone from the stream, or it was the last
    invocation of a window that now goes on.
    """
    return not head.first or sequence_value(first.sequence) > sequence_value(head.last)


def _most(lane: Lane, *, complete: bool) -> int | None:
    """How many records the next batch may have at most; None for no bound but the usual ones, 0 for not yet.

    What an earlier process had formed is formed again, never larger, and smaller only by what is gone meanwhile
    or filtered out meanwhile (BAT-6); what stands before it ends there. `complete`: no more of it is to come.
    """
    head = lane.head
    if head is None or not (head.first and lane.buffer):
        return None
    numbers = [sequence_value(record.sequence) for record in lane.buffer]
    begin, end = sequence_value(head.first), sequence_value(head.last)
    if numbers[0] < begin:
        return next((place for place, number in enumerate(numbers) if number >= begin), None)
    if numbers[0] > end:
        return None
    count = min(head.count, len([number for number in numbers if number <= end]))
    return count if complete or count == head.count or lane.read_to >= end else 0


def _inherited(batch: StreamBatch, head: Head) -> StreamBatch:
    """With the attempts that an earlier process made; one that it did not see the end of was interrupted."""
    return replace(
        batch,
        attempts=head.attempts,
        interrupted=head.interrupted + int(head.running),
        failed_at=head.failed_at,
    )
