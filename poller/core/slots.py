"""The batches that are closed and not settled: ready, running, or waiting to be tried again.

A slot is the right to run one batch. A running batch has one, and so has a batch that waits for its next attempt;
a ready one gets the next that is free. How many slots there are is scaling.py's question.
"""

from collections import deque
from collections.abc import Iterable

from poller.core.model import Batch, Message
from poller.core.scaling import Concurrency


class Slots:
    """Keeps the batches and the count of slots; decides nothing about messages."""

    def __init__(self, concurrency: Concurrency) -> None:
        self.concurrency = concurrency
        self.free_since = 0.0
        self._ready: deque[Batch] = deque()
        self._ready_messages = 0
        self._running: dict[int, tuple[Batch, float]] = {}
        self._running_messages = 0
        self._waiting: dict[int, tuple[Batch, float]] = {}

    @property
    def idle(self) -> bool:
        """Whether no batch is running or waiting for its next attempt."""
        return not (self._running or self._waiting)

    @property
    def free(self) -> int:
        """Slots that nobody has; below 0 when the limit fell."""
        return self.concurrency.limit - len(self._running) - len(self._waiting)

    @property
    def unclaimed(self) -> int:
        """Free slots for which no ready batch waits."""
        return self.concurrency.limit - len(self._running) - len(self._waiting) - len(self._ready)

    def enqueue(self, batches: Iterable[Batch]) -> None:
        """These are closed and take the next free slots."""
        for batch in batches:
            self._ready.append(batch)
            self._ready_messages += len(batch.messages)

    def next_ready(self) -> Batch | None:
        """The next batch that can have a slot now."""
        return self._take_ready() if self._ready and self.free > 0 else None

    def start(self, batch: Batch, now: float) -> None:
        """It runs from now on."""
        self._running[batch.number] = (batch, now)
        self._running_messages += len(batch.messages)

    def end(self, batch: Batch) -> bool:
        """It has run; False if it was dropped before."""
        if self._running.pop(batch.number, None) is None:
            return False
        self._running_messages -= len(batch.messages)
        return True

    def retry_at(self, batch: Batch, due: float) -> None:
        """It keeps its slot and is tried again at `due`."""
        self._waiting[batch.number] = (batch, due)

    def retry_due(self) -> float | None:
        """When the next batch is to be tried again; None also while a fallen limit forbids it (SQS-24), since only
        the end of a running batch changes that.
        """
        if not self._waiting or len(self._running) >= self.concurrency.limit:
            return None
        return min(due for _, due in self._waiting.values())

    def next_retry(self, now: float) -> Batch | None:
        """The next batch that is to be tried again now."""
        if not self._waiting:
            return None
        due = self.retry_due()
        if due is None or due > now:
            return None
        number = next(number for number, (_, due) in self._waiting.items() if due <= now)
        return self._waiting.pop(number)[0]

    def drop_unstarted(self) -> list[Message]:
        """Forgets what is ready or waits for its next attempt."""
        dropped: list[Message] = []
        while self._ready:
            dropped += self._take_ready().messages
        for batch, _ in self._waiting.values():
            dropped += batch.messages
        self._waiting.clear()
        return dropped

    def drop_running(self) -> tuple[Message, ...]:
        """Forgets what is running; what it comes to will not matter."""
        dropped = tuple([message for batch, _ in self._running.values() for message in batch.messages])
        self._running.clear()
        self._running_messages = 0
        return dropped

    @property
    def running_ids(self) -> frozenset[str]:
        """The ids of the messages that are running."""
        return frozenset([message.id for batch, _ in self._running.values() for message in batch.messages])

    # --- for the gauges ---

    @property
    def ready_messages(self) -> int:
        """Messages that wait for a slot."""
        return self._ready_messages

    @property
    def ready_bytes(self) -> int:
        """Bytes of the events that wait for a slot."""
        return sum([batch.size for batch in self._ready])

    @property
    def running(self) -> int:
        """Batches that are running."""
        return len(self._running)

    @property
    def running_messages(self) -> int:
        """Messages in batches that are running."""
        return self._running_messages

    @property
    def running_since(self) -> float | None:
        """When the oldest of the running batches was started."""
        oldest = next(iter(self._running.values()), None)
        return None if oldest is None else oldest[1]

    @property
    def groups_waiting(self) -> int:
        """Groups of the batches that wait for their next attempt."""
        return sum([len({message.group for message in batch.messages}) for batch, _ in self._waiting.values()])

    def _take_ready(self) -> Batch:
        batch = self._ready.popleft()
        self._ready_messages -= len(batch.messages)
        return batch
