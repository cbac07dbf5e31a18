"""Which message a receive takes next: one answer for standard queues, one for FIFO queues.

Both know only messages that are in the queue; visibility and delays are kept by the queue itself.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from poller.testing.sqs_message import Message, State


class Order(Protocol):
    """The queue tells what happens to its messages and asks for the next ones."""

    def sent(self, message: Message) -> None:
        """A message came in, visible or delayed."""
        ...

    def became_visible(self, message: Message, before: State) -> None:
        """Its delay ended, or it came back."""
        ...

    def removed(self, message: Message, before: State) -> None:
        """It was deleted, moved or ran out of retention; it is no longer among the queue's messages."""
        ...

    def take(self, limit: int) -> list[Message]:
        """Up to `limit` visible messages; from now on they are in flight."""
        ...


class StandardOrder:
    """Roughly first in, first out; what comes back goes to the end."""

    def __init__(self) -> None:
        self._ready: deque[Message] = deque()

    def sent(self, message: Message) -> None:
        """See Order."""
        if message.state is State.VISIBLE:
            self._ready.append(message)

    def became_visible(self, message: Message, before: State) -> None:
        """See Order."""
        self._ready.append(message)

    def removed(self, message: Message, before: State) -> None:
        """See Order. One that was visible stays in line and is passed over when its turn comes."""

    def take(self, limit: int) -> list[Message]:
        """See Order."""
        taken: list[Message] = []
        ready = self._ready
        while ready and len(taken) < limit:
            message = ready.popleft()
            if message.state is State.VISIBLE:
                taken.append(message)
        return taken


@dataclass(slots=True)
class _Group:
    """`waiting` is a heap of the keys not in flight; a group with any message in flight is locked (FIFO-1)."""

    waiting: list[int] = field(default_factory=list)
    in_flight: int = 0


class FifoOrder:
    """Order within a group, groups in turn; as many messages of one group as asked for, then the next group.

    A group that unlocks goes to the end of the line, so that one that keeps failing does not starve the others.
    """

    def __init__(self, messages: Mapping[int, Message]) -> None:
        self._messages = messages
        self._groups: dict[str, _Group] = {}
        self._ready: OrderedDict[str, _Group] = OrderedDict()

    def sent(self, message: Message) -> None:
        """See Order."""
        name = message.group or ""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group()
        heapq.heappush(group.waiting, message.key)
        self._look_at(name, group)

    def became_visible(self, message: Message, before: State) -> None:
        """See Order. A returned message takes its old place in the group."""
        name = message.group or ""
        group = self._groups[name]
        if before is State.IN_FLIGHT:
            group.in_flight -= 1
            heapq.heappush(group.waiting, message.key)
        self._look_at(name, group)

    def removed(self, message: Message, before: State) -> None:
        """See Order."""
        name = message.group or ""
        group = self._groups[name]
        if before is State.IN_FLIGHT:
            group.in_flight -= 1
        self._look_at(name, group)

    def take(self, limit: int) -> list[Message]:
        """See Order (FIFO-1, FIFO-2)."""
        taken: list[Message] = []
        while self._ready and len(taken) < limit:
            _, group = self._ready.popitem(last=False)
            while len(taken) < limit:
                head = self._head(group)
                if head is None or head.state is not State.VISIBLE:
                    break
                heapq.heappop(group.waiting)
                group.in_flight += 1
                taken.append(head)
        return taken

    def _head(self, group: _Group) -> Message | None:
        """The first message of the group that still exists."""
        waiting = group.waiting
        while waiting:
            message = self._messages.get(waiting[0])
            if message is not None:
                return message
            heapq.heappop(waiting)
        return None

    def _look_at(self, name: str, group: _Group) -> None:
        """Puts the group in line, or out of it, or forgets it."""
        head = self._head(group)
        if group.in_flight == 0 and head is not None and head.state is State.VISIBLE:
            self._ready[name] = group  # keeps its place if it is in line already
            return
        self._ready.pop(name, None)
        if head is None and group.in_flight == 0:
            del self._groups[name]


class Deduplication:
    """What a FIFO queue was sent within five minutes, also if it is deleted since."""

    INTERVAL = 300.0

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], tuple[float, str, str]] = OrderedDict()

    def seen(self, mono: float, scope: str, deduplication_id: str) -> tuple[str, str] | None:
        """Message id and sequence number accepted under this id, if that was less than five minutes ago."""
        while self._seen:
            first = next(iter(self._seen))
            if self._seen[first][0] > mono:
                break
            del self._seen[first]
        found = self._seen.get((scope, deduplication_id))
        return found[1:] if found else None

    def remember(self, mono: float, scope: str, deduplication_id: str, message: Message) -> None:
        """Notes an accepted message."""
        self._seen[(scope, deduplication_id)] = (mono + self.INTERVAL, message.id, message.sequence_number)
