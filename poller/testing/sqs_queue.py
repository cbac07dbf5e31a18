"""One queue as a state machine: every call is told the time and does its work at once.

Deadlines are monotonic seconds; the wall clock only writes timestamps.
"""

import base64
import hashlib
import heapq
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from poller.core.model import Instant
from poller.testing.sqs_errors import SqsError, bad_receipt, expired_receipt, invalid, invalid_value
from poller.testing.sqs_message import Message, State
from poller.testing.sqs_order import Deduplication, FifoOrder, Order, StandardOrder
from poller.testing.sqs_settings import QueueSettings

LONGEST_VISIBILITY: Final = 43_200
_MOST_IN_FLIGHT: Final = 120_000
_FIRST_SEQUENCE: Final = 18_849_496_460_467_696_128  # as high as AWS's, so that nobody reads them as small ints
_SEQUENCE_STEP: Final = 256
_PREFIX: Final = "AQEB"


class Queue:
    """A standard or FIFO queue: its messages, who may have them, and until when."""

    def __init__(self, name: str, arn: str, settings: QueueSettings, now: Instant) -> None:
        self.name = name
        self.arn = arn
        self.settings = settings
        self.created = self.modified = int(now.wall)
        self.tags: dict[str, str] = {}
        self.messages: OrderedDict[int, Message] = OrderedDict()
        self.deduplication = Deduplication()
        self.purged_at: float | None = None
        self.adopted = 0  # dead letters taken in so far
        self._order: Order = FifoOrder(self.messages) if settings.fifo else StandardOrder()
        self._due: list[tuple[float, int]] = []
        self._counts = dict.fromkeys(State, 0)
        self._sequence = _FIRST_SEQUENCE
        # Constant filling: receipts as long as AWS's, recognisable as this queue's, and cheap to make.
        seal = hashlib.sha512(f"{arn}{now.mono}".encode()).digest()
        self._seal = base64.b64encode(seal).decode()

    # --- what is there ---

    def count(self, now: Instant, state: State) -> int:
        """How many messages stand so."""
        self.advance(now)
        return self._counts[state]

    def next_change(self) -> float | None:
        """The monotonic second at which a message becomes visible if nobody does anything."""
        while self._due:
            due, key = self._due[0]
            message = self.messages.get(key)
            if message is not None and message.due == due and message.state in {State.DELAYED, State.IN_FLIGHT}:
                return due
            heapq.heappop(self._due)
        return None

    def advance(self, now: Instant) -> None:
        """Lets happen what time alone brings: delays and visibility timeouts end, retention runs out."""
        while (due := self.next_change()) is not None and due <= now.mono:
            message = self.messages[heapq.heappop(self._due)[1]]
            self._make_visible(message)
        horizon = now.mono - self.settings.retention
        while self.messages:
            oldest = self.messages[next(iter(self.messages))]
            if oldest.enqueued > horizon:
                break
            self._remove(oldest)

    # --- sends ---

    def next_key(self) -> int:
        """The key of the next message; sequence numbers grow (but are not dense, as at AWS)."""
        self._sequence += _SEQUENCE_STEP
        return self._sequence

    def add(self, now: Instant, message: Message, delay: float) -> None:
        """Takes in a message, invisible for `delay` seconds."""
        self.messages[message.key] = message
        message.fifo = self.settings.fifo
        message.state = State.VISIBLE
        if delay > 0:
            message.state = State.DELAYED
            self._wait_until(message, now.mono + delay)
        self._counts[message.state] += 1
        self._order.sent(message)

    # --- receives ---

    def take(self, now: Instant, maximum: int, visibility: int, dead_letters: "Queue | None") -> list[Message]:
        """Receives up to `maximum` messages; one whose receives are used up moves to `dead_letters` (SQS-25)."""
        self.advance(now)
        limit = self.settings.redrive.maximum if self.settings.redrive and dead_letters else None
        received: list[Message] = []
        while len(received) < maximum:
            found = self._order.take(maximum - len(received))
            if not found:
                break
            for message in found:
                self._set_state(message, State.IN_FLIGHT)
                if limit is not None and dead_letters and message.receives - message.base_receives >= limit:
                    self._remove(message)
                    dead_letters.adopt(now, message, self.arn)
                else:
                    received.append(message)
        for message in received:
            message.receives += 1
            message.received = now.mono
            if message.first_received_ms is None:
                message.first_received_ms = int(now.wall * 1000)
            self._wait_until(message, now.mono + visibility)
        return received

    def adopt(self, now: Instant, message: Message, source_arn: str) -> None:
        """Takes in a dead letter: same id, its receives go on counting, its age too unless FIFO (FIFO-11)."""
        fifo = self.settings.fifo
        moved = replace(
            message,
            key=self.next_key(),
            base_receives=message.receives,
            source_arn=source_arn,
            enqueued=now.mono if fifo else message.enqueued,
            deduplication_id=message.id if fifo else None,
        )
        self.add(now, moved, delay=0)
        self.adopted += 1

    def over_limit(self) -> bool:
        """Whether so many messages are in flight that SQS gives out no more."""
        return self._counts[State.IN_FLIGHT] >= _MOST_IN_FLIGHT

    # --- receipts ---

    def receipt(self, message: Message) -> str:
        """A handle for this receive of the message; the next receive makes another."""
        return f"{_PREFIX}{message.key:020d}{message.receives:06d}{self._seal}"

    def _resolve(self, handle: str) -> tuple[Message | None, bool]:
        """The message (None when it is gone) and whether the handle is its latest."""
        if not handle.startswith(_PREFIX) or handle[30:] != self._seal:
            raise bad_receipt(handle)
        message = self.messages.get(int(handle[4:24]))
        return message, message is not None and message.receives == int(handle[24:30])

    def delete(self, now: Instant, handle: str) -> None:
        """DeleteMessage. Twice is no error. On a standard queue an older handle is accepted and deletes nothing,
        a handle whose visibility ended still deletes; on FIFO queues both are refused (AWS API reference).
        """
        self.advance(now)
        message, latest = self._resolve(handle)
        if message is None:
            return
        if self.settings.fifo and (not latest or message.state is not State.IN_FLIGHT):
            raise expired_receipt(handle)
        if latest:
            self._remove(message)

    def change_visibility(self, now: Instant, handle: str, seconds: int) -> None:
        """ChangeMessageVisibility: so many seconds from now, 0 gives the message back at once."""
        if not 0 <= seconds <= LONGEST_VISIBILITY:
            reason = f"VisibilityTimeout must be an integer between 0 and {LONGEST_VISIBILITY}."
            raise invalid_value(seconds, "VisibilityTimeout", reason)
        self.advance(now)
        message, latest = self._resolve(handle)
        if message is None:
            reason = "Message does not exist or is not available for visibility timeout change."
            raise invalid_value(handle, "ReceiptHandle", reason)
        if self.settings.fifo and (not latest or message.state is not State.IN_FLIGHT):
            raise expired_receipt(handle)
        if message.state is not State.IN_FLIGHT:
            raise SqsError("MessageNotInflight", "The message referred to is not in flight.")
        if now.mono + seconds > message.received + LONGEST_VISIBILITY:
            raise invalid(
                f"Total VisibilityTimeout for the message is beyond the limit [{LONGEST_VISIBILITY} seconds]"
            )
        if seconds == 0:
            self._make_visible(message)
        else:
            self._wait_until(message, now.mono + seconds)

    def purge(self, now: Instant) -> None:
        """PurgeQueue: empties the queue, in flight and delayed messages included."""
        if self.purged_at is not None and now.mono < self.purged_at + 60:
            text = f"Only one PurgeQueue operation on {self.name} is allowed every 60 seconds."
            raise SqsError("PurgeQueueInProgress", text)
        self.purged_at = now.mono
        for message in list(self.messages.values()):
            self._remove(message)

    # --- the few ways in which a message's state changes ---

    def _set_state(self, message: Message, state: State) -> None:
        self._counts[message.state] -= 1
        self._counts[state] += 1
        message.state = state

    def _make_visible(self, message: Message) -> None:
        before = message.state
        self._set_state(message, State.VISIBLE)
        self._order.became_visible(message, before)

    def _remove(self, message: Message) -> None:
        before = message.state
        self._counts[before] -= 1
        message.state = State.GONE
        del self.messages[message.key]
        self._order.removed(message, before)

    def _wait_until(self, message: Message, due: float) -> None:
        message.due = due
        heapq.heappush(self._due, (due, message.key))
        waiting = self._counts[State.IN_FLIGHT] + self._counts[State.DELAYED]
        if len(self._due) > 2 * waiting + 1_000:
            # Most entries are of messages deleted long before their time: without this the heap keeps them all.
            self._due = [
                (other.due, key)
                for key in {key for _, key in self._due}
                if (other := self.messages.get(key)) and other.state in {State.DELAYED, State.IN_FLIGHT}
            ]
            heapq.heapify(self._due)
