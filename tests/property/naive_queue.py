"""A queue as plain as can be, for the simulation of the machine: visibility, receive counts, group locks.

It is not the embedded AWS on purpose: two readings of the same rules find more than one.
"""

from dataclasses import dataclass
from typing import Any


@dataclass
class Stored:
    """One message; `place` is its place in the queue, `receipts` every handle given out, the newest last."""

    id: str
    place: int
    group: str | None
    body: str
    visible_at: float = 0.0
    count: int = 0
    receipts: list[str] | None = None


class NaiveQueue:
    def __init__(self, *, fifo: bool, visibility: float) -> None:
        self.fifo = fifo
        self.visibility = visibility
        self.stored: dict[str, Stored] = {}
        self.sent = 0
        self.lease_of: dict[str, float] = {}  # receipt -> end of the lease, as the queue itself sees it
        self._by_receipt: dict[str, str] = {}

    def send(self, group: str | None, body: str) -> None:
        self.sent += 1
        identifier = f"m{self.sent}"
        self.stored[identifier] = Stored(identifier, self.sent, group, body, receipts=[])

    def receive(self, maximum: int, visibility: int | None, now: float) -> list[dict[str, Any]]:
        lease = self.visibility if visibility is None else float(visibility)
        locked = {one.group for one in self.stored.values() if one.visible_at > now} if self.fifo else set()
        answer = []
        for one in list(self.stored.values()):
            if len(answer) == maximum:
                break
            if one.visible_at > now or (one.group is not None and one.group in locked):
                continue
            one.count += 1
            one.visible_at = now + lease
            receipt = f"{one.id}#{one.count}"
            one.receipts.append(receipt)
            self._by_receipt[receipt] = one.id
            self.lease_of[receipt] = one.visible_at
            attributes = {"ApproximateReceiveCount": str(one.count), "SentTimestamp": "1000"}
            if one.group is not None:
                attributes["MessageGroupId"] = one.group
            answer.append(
                {"MessageId": one.id, "ReceiptHandle": receipt, "Body": one.body, "Attributes": attributes}
            )
        return answer

    def delete(self, receipt: str, now: float) -> bool:
        one = self.stored.get(self._by_receipt[receipt])
        if one is None:
            return True
        if receipt != one.receipts[-1] or (self.fifo and one.visible_at <= now):
            return False
        del self.stored[one.id]
        return True

    def change(self, receipt: str, seconds: float, now: float) -> bool:
        one = self.stored.get(self._by_receipt[receipt])
        if one is None or receipt != one.receipts[-1] or one.visible_at <= now:
            return False
        one.visible_at = self.lease_of[receipt] = now + seconds
        return True

    @property
    def in_flight(self) -> list[str]:
        return [one.id for one in self.stored.values() if one.visible_at > 0]
