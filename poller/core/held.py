"""The messages that a queue's machine has in its hands, each by its id with the newest receipt (SQS-27).

From the receive that brought it until it is deleted, given back or let go, a message is here exactly once; its
bytes are taken from the process's budget for that long.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from poller.core.batcher import earliest_lease
from poller.core.budget import ByteBudget
from poller.core.model import Batch, Message


class Held:
    """Knows receipts and leases; decides nothing."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._messages: dict[str, Message] = {}
        # whose receipt or lease is another than in the copies that batches carry
        self._renewed: set[str] = set()

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._messages

    def __getitem__(self, message_id: str) -> Message:
        return self._messages[message_id]

    @property
    def oldest_received_at(self) -> float | None:
        """When the oldest of them came (monotonic seconds)."""
        first = next(iter(self._messages.values()), None)
        return None if first is None else first.received_at

    def among(self, ids: Mapping[str, object]) -> tuple[str, ...]:
        """Those of the ids that we have already; mostly none."""
        if self._messages.keys().isdisjoint(ids):
            return ()
        return tuple([message_id for message_id in ids if message_id in self._messages])

    def take(self, messages: Mapping[str, Message]) -> None:
        """They (by their ids) were received for the first time."""
        self._messages.update(messages)
        size = 0
        for message in messages.values():
            size += message.size
        self._budget.take(size)

    def take_again(self, message: Message) -> Message:
        """It was received although we have it: its visibility had run out. The copy with the newest receipt."""
        earlier = self._messages[message.id]
        # the first copy's size stays: what was taken from the budget is what goes back to it
        newest = replace(message, size=earlier.size, received_at=earlier.received_at)
        self._messages[message.id] = newest
        self._renewed.add(message.id)
        return newest

    def extend(self, ids: Iterable[str], lease_until: float) -> None:
        """The heartbeat moved the end of these leases; ids that are gone by now are passed over."""
        for message_id in ids:
            if (message := self._messages.get(message_id)) is not None:
                self._messages[message_id] = replace(message, lease_until=lease_until)
                self._renewed.add(message_id)

    def newest(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The same messages with their newest receipts."""
        if not self._renewed:
            return messages
        return tuple([self._messages[message.id] for message in messages])

    def refreshed(self, batch: Batch) -> Batch:
        """The batch with the newest receipts; mostly the batch itself."""
        if not self._renewed or self._renewed.isdisjoint([message.id for message in batch.messages]):
            return batch
        newest = self.newest(batch.messages)
        return replace(batch, messages=newest, lease_until=earliest_lease(newest))

    def stale(self, messages: tuple[Message, ...], now: float) -> tuple[Message, ...]:
        """Those whose receipts have run out. At the very second of its end a lease still holds: a queue whose
        visibility timeout is 0 gives no other.
        """
        return tuple([message for message in self.newest(messages) if message.lease_until < now])

    def lease_until(self, batch: Batch) -> float:
        """Until when all its receipts are good."""
        return earliest_lease(self.newest(batch.messages)) if self._renewed else batch.lease_until

    def forget(self, messages: Collection[Message]) -> None:
        """They left our hands."""
        held, size = self._messages, 0
        for message in messages:
            size += held.pop(message.id).size
        self._budget.give_back(size)
        if self._renewed:
            self._renewed.difference_update([message.id for message in messages])

    def forget_all(self) -> tuple[str, ...]:
        """Everything left our hands at once; the ids."""
        ids = tuple(self._messages)
        self.forget(list(self._messages.values()))
        return ids
