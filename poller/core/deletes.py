"""Which delete goes out when: in tens, never empty, never one id twice, each failed entry again while its lease
lasts (SQS-20, SQS-26).

On a standard queue an acknowledgement waits while another delete is under way, until ten have gathered: small
batches at high concurrency then cost a tenth of the calls and an idle queue still deletes at once. On a FIFO queue
nothing waits, because the delete is what unlocks the group.
"""

from itertools import islice
from random import Random

from poller.core.backoff import delay
from poller.core.model import Message

ENTRIES = 10  # SQS: entries of one DeleteMessageBatch
QUIET_MAX = 1_000  # far below the number at which permits.py lets nothing new in
RETRY_FIRST = 0.2
RETRY_CAP = 5.0


class Deletes:
    """Messages that succeeded and are not deleted yet."""

    def __init__(self, *, eager: bool, random: Random) -> None:
        self._eager = eager
        self._random = random
        self._pending: dict[str, Message] = {}
        self._under_way: set[str] = set()
        self._calls = 0
        self._attempts: dict[str, int] = {}
        self._later: dict[str, tuple[float, Message]] = {}

    def __len__(self) -> int:
        return len(self._pending) + len(self._under_way) + len(self._later)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be sent or tried again, and few are under way."""
        return not (self._pending or self._later) and len(self._under_way) <= QUIET_MAX

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._pending or message_id in self._under_way or message_id in self._later

    def acknowledge(self, messages: tuple[Message, ...]) -> None:
        """These succeeded (or came again after they had succeeded: the newest receipt wins, SQS-27)."""
        if self._later:
            for message in messages:
                self._later.pop(message.id, None)
        pending = self._pending
        for message in messages:
            pending[message.id] = message

    def due(self) -> float | None:
        """When a failed entry is to be tried again."""
        return min([when for when, _ in self._later.values()]) if self._later else None

    def next_call(self, now: float) -> tuple[Message, ...]:
        """The next DeleteMessageBatch to send, 1 to 10 messages; empty when there is nothing to send now.

        Ask until it is empty.
        """
        if self._later:
            for message_id, (when, message) in list(self._later.items()):
                if when <= now:
                    del self._later[message_id]
                    self._pending[message_id] = message
        if not self._pending or not (self._eager or self._calls == 0 or len(self._pending) >= ENTRIES):
            return ()
        pending, under_way = self._pending, self._under_way
        # the same id is never in two calls at once: the later answer could belong to the older receipt
        if len(pending) <= ENTRIES and under_way.isdisjoint(pending):
            taken = tuple(pending.values())
            under_way.update(pending)
            pending.clear()
        else:
            taken = tuple(
                islice((message for message in pending.values() if message.id not in under_way), ENTRIES)
            )
            if not taken:
                return ()
            for message in taken:
                del pending[message.id]
                under_way.add(message.id)
        self._calls += 1
        return taken

    def answered(
        self, messages: tuple[Message, ...], failed: tuple[Message, ...], lease_until: dict[str, float], now: float
    ) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """A delete ended: (deleted for good, given up because the lease is over).

        `lease_until` has the failed ids' present deadlines; entries still inside them are tried again.
        """
        self._calls -= 1
        under_way = self._under_way
        for message in messages:
            under_way.discard(message.id)
        if not (failed or self._pending or self._attempts):
            return messages, ()
        given_up: list[Message] = []
        refused = {message.id for message in failed}
        done: list[Message] = []
        for message in messages:
            if message.id in refused:
                continue
            self._attempts.pop(message.id, None)
            if message.id not in self._pending:
                done.append(message)
        # entries that failed together come again together: one call, not ten
        again: dict[int, float] = {}
        for message in failed:
            if message.id in self._pending:
                continue  # a newer receipt is about to be sent
            attempts = self._attempts.get(message.id, 0) + 1
            if attempts not in again:
                again[attempts] = now + delay(attempts, RETRY_FIRST, RETRY_CAP, self._random)
            when = again[attempts]
            if when < lease_until[message.id]:
                self._attempts[message.id] = attempts
                self._later[message.id] = (when, message)
            else:
                self._attempts.pop(message.id, None)
                given_up.append(message)
        return tuple(done), tuple(given_up)
