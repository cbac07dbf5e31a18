"""Messages and time become batches: size, bytes, window, flush (BAT-1 to BAT-8). Nothing else closes a batch.

The machine asks `due` when to come back, `add`s what was received, and takes what `close_due` or `flush` gives.
"""

from collections.abc import Sequence
from dataclasses import replace

from poller.core.model import Batch, BatchTrigger, Message
from poller.core.payload import EVENT_LIMIT, EVENT_OVERHEAD, RECORD_SEPARATOR, event_size


class Batcher:
    """The one open batch of a mapping, and the rule that closes it."""

    def __init__(self, batch_size: int, window: float) -> None:
        self._batch_size = batch_size
        self._window = window
        self._open: list[Message] = []
        self._size = EVENT_OVERHEAD
        self._opened_at = 0.0
        self._next_number = 1

    @property
    def count(self) -> int:
        """Messages in the open batch."""
        return len(self._open)

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
            size = event_size([message.size for message in messages])
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
            self._size += added
            if len(opened) >= self._batch_size:
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
    return min([message.lease_until for message in messages], default=0.0)
