"""Which records may run side by side: the group gate of FIFO queues (FIFO-1, FIFO-6).

SQS itself keeps the later messages of a group back while earlier ones are in flight. The gate is for the one case
in which it does not: the visibility timeout of an earlier message ran out while its handler was still at work.
"""

from collections.abc import Iterable

from poller.core.batcher import shrunk
from poller.core.model import Batch, Message


class GroupGate:
    """Lets a group into one batch at a time; what comes too early waits here, in order.

    A batch enters with `admit` and leaves with `leave`, which says what may come to `admit` again, in new batches,
    and what must go back to the queue.
    """

    def __init__(self) -> None:
        self._active: set[str] = set()
        self._waiting: dict[str, list[Message]] = {}

    @property
    def active(self) -> int:
        """Groups in a batch that is ready or running."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Groups with messages that wait for an earlier batch."""
        return len(self._waiting)

    @property
    def waiting_messages(self) -> int:
        """Messages that wait for an earlier batch."""
        return sum(map(len, self._waiting.values()))

    def admit(self, batch: Batch) -> Batch:
        """The batch with only what may run now, maybe nothing; the rest waits. Order is kept."""
        entered: list[Message] = []
        entering: set[str] = set()
        for message in batch.messages:
            group = message.group or ""
            if group in self._active:
                self._waiting.setdefault(group, []).append(message)
            else:
                entering.add(group)
                entered.append(message)
        self._active |= entering
        return shrunk(batch, tuple(entered))

    def leave(
        self, messages: Iterable[Message], failed_groups: set[str]
    ) -> tuple[list[Message], tuple[Message, ...]]:
        """A batch is done: (what waited for it and may run now, what waited and must be given back).

        After a failure the earlier message will come again, so a later one must not run before it.
        """
        released: list[Message] = []
        give_back: list[Message] = []
        for group in dict.fromkeys(message.group or "" for message in messages):
            self._active.discard(group)
            waited = self._waiting.pop(group, ())
            if group in failed_groups:
                give_back += waited
            else:
                released += waited
        return released, tuple(give_back)

    def drop_waiting(self) -> tuple[Message, ...]:
        """The mapping stops: everything that waits is given back."""
        dropped = tuple(message for waited in self._waiting.values() for message in waited)
        self._waiting.clear()
        return dropped
