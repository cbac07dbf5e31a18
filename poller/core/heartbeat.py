"""When which receipts are extended, so that no message returns to its queue while we still hold it.

SQS-9: AWS's own mapping does not do this, so it is off unless asked for (`Poller.Heartbeat`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias, assert_never

from poller.core.messages import Extended, Tick
from poller.core.model import Message

ENTRIES: Final = 10
"""The most receipts that one ChangeMessageVisibilityBatch takes."""

LONGEST: Final = 12 * 3600
"""Seconds after its receive at which SQS shows a message again, whatever was extended."""

LONGEST_MARGIN: Final = 5
"""Seconds taken off that: SQS refuses to pass the limit, and its clock started before ours."""

RETRY_CAP: Final = 5.0
RETRY_FLOOR: Final = 0.1

# What SQS answers for a message that is deleted, visible again or was received anew since.
GONE: Final = frozenset({"MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue"})

Receipt: TypeAlias = tuple[str, str]
"""Message id and receipt handle."""


@dataclass(frozen=True, slots=True)
class Held:
    """These messages were received with a visibility timeout of `seconds`; an id that is held already has a new
    receipt.
    """

    messages: tuple[Message, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """These message ids are deleted, given back or let go."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExtendDone:
    """An Extend ended. `sent_at` is the monotonic second just before the call; `refused` the code for each message
    id that was not extended ("" when the call as a whole failed); `detail` a sentence about why.
    """

    entries: tuple[Receipt, ...]
    seconds: int
    sent_at: float
    refused: Mapping[str, str]
    detail: str = ""


Fact: TypeAlias = Held | Dropped | ExtendDone | Tick


@dataclass(frozen=True, slots=True)
class Extend:
    """ChangeMessageVisibilityBatch of 1 to 10 receipts to `seconds` from now; answered by ExtendDone."""

    entries: tuple[Receipt, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class NotExtended:
    """Told to whoever watches: these were not extended just now. `detail` is why, and what comes of it."""

    ids: tuple[str, ...]
    detail: str


Order: TypeAlias = Extend | Extended | NotExtended


@dataclass(slots=True)
class _Lease:
    """`due` is when to extend it next: never while a call is under way."""

    receipt: str
    seconds: int
    ends_at: float
    latest: float
    due: float


class HeartbeatMachine:
    """Facts and the monotonic time go in, orders come out; `deadline` tells when a Tick is wanted.

    A lease is extended by the visibility timeout as soon as half of what was left of it is over; where an answer
    was noticed late, that is less than the timeout.
    """

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}
        self._next = inf

    def __len__(self) -> int:
        return len(self._leases)

    def deadline(self) -> float | None:
        """When the next Tick is due (monotonic seconds); None when nothing is held."""
        return None if self._next == inf else self._next

    def handle(self, fact: Fact, now: float) -> list[Order]:
        """One step. `now` is the monotonic second of the fact."""
        match fact:
            case Held(messages, seconds):
                for message in messages:
                    self._hold(message, seconds, now)
                return []
            case Dropped(ids):
                for message_id in ids:
                    self._leases.pop(message_id, None)
                return []
            case ExtendDone():
                return self._on_done(fact, now)
            case Tick():
                return self._on_tick(now)
            case _:
                assert_never(fact)

    def _hold(self, message: Message, seconds: int, now: float) -> None:
        left = message.lease_until - now
        if left <= 0:
            self._leases.pop(message.id, None)
            return
        lease = _Lease(
            message.receipt,
            seconds=min(seconds, LONGEST),
            ends_at=message.lease_until,
            latest=message.received_at + LONGEST - LONGEST_MARGIN,
            due=now + left / 2,
        )
        self._leases[message.id] = lease
        self._next = min(self._next, lease.due)

    def _on_tick(self, now: float) -> list[Order]:
        """Looks at every lease, which happens about once in half a lease."""
        due: dict[int, list[Receipt]] = {}
        lost: list[str] = []
        at_limit: list[str] = []
        self._next = inf
        for message_id, lease in self._leases.items():
            # what is due soon goes along, so that tens are filled and the timer rests
            if lease.due - now > min(1.0, lease.seconds / 8):
                if lease.due != inf:
                    self._next = min(self._next, lease.due)
            elif lease.ends_at <= now:
                lost.append(message_id)
            else:
                seconds = min(lease.seconds, int(lease.latest - now))
                if now + seconds <= lease.ends_at:
                    at_limit.append(message_id)
                else:
                    lease.due = inf
                    due.setdefault(seconds, []).append((message_id, lease.receipt))
        for message_id in (*lost, *at_limit):
            del self._leases[message_id]
        orders: list[Order] = [
            Extend(tuple(entries[start : start + ENTRIES]), seconds)
            for seconds, entries in due.items()
            for start in range(0, len(entries), ENTRIES)
        ]
        if lost:
            orders.append(NotExtended(tuple(lost), "they could not be extended in time and are visible again"))
        if at_limit:
            orders.append(NotExtended(tuple(at_limit), "SQS shows a message again 12 hours after its receive"))
        return orders

    def _on_done(self, done: ExtendDone, now: float) -> list[Order]:
        extended: list[str] = []
        failed: list[str] = []
        lost: list[str] = []
        for message_id, receipt in done.entries:
            lease = self._leases.get(message_id)
            if lease is None or lease.receipt != receipt:
                continue  # dropped or received again meanwhile: no business of this call's any more
            code = done.refused.get(message_id)
            if code is None:
                lease.ends_at = done.sent_at + done.seconds
                lease.due = done.sent_at + done.seconds / 2
                extended.append(message_id)
            elif lease.ends_at <= now or code.rpartition(".")[2] in GONE:
                del self._leases[message_id]
                lost.append(message_id)
                continue
            else:
                lease.due = now + max(RETRY_FLOOR, min(RETRY_CAP, (lease.ends_at - now) / 4))
                failed.append(message_id)
            self._next = min(self._next, lease.due)
        orders: list[Order] = []
        if extended:
            orders.append(Extended(tuple(extended), done.sent_at + done.seconds))
        if failed:
            orders.append(
                NotExtended(tuple(failed), f"{done.detail or 'refused'}; tried again while they are ours")
            )
        if lost:
            orders.append(NotExtended(tuple(lost), f"{done.detail or 'refused'}; they are no longer ours"))
        return orders
