"""What the queue tells of itself, and when to ask: now and then, and while draining to know that it is empty.

The counts of SQS are approximate, so a queue is empty only when two readings in a row say so, with an empty
receive before each is asked. One is under way at a time, however long it takes.
"""

from poller.core.model import QueueFacts

EVERY = 60.0  # seconds: the visibility timeout may be changed while we run
EMPTY_EVERY = 0.5  # seconds between two questions whether the queue is empty
EMPTY_ENOUGH = 2  # empty readings in a row


class Readings:
    """`resting` is told by the machine: it drains, and holds and awaits nothing more."""

    def __init__(self) -> None:
        self.visibility: float | None = None
        """The queue's visibility timeout in seconds, to be read only; None before the first reading."""
        self._next_at = 0.0
        self._empty_at = 0.0
        self._nothing_came = False
        self._empty = 0
        self._under_way = False
        self._may_count = False  # the one under way was asked at rest, and no receive has ended since

    @property
    def nothing_came(self) -> bool:
        """Whether the last receive was empty and no reading has followed it."""
        return self._nothing_came

    @property
    def empty(self) -> bool:
        """Whether the queue is empty, as far as anyone can know."""
        return self._empty >= EMPTY_ENOUGH

    def begin_drain(self) -> None:
        """What was seen before counts no more."""
        self._nothing_came = False
        self._empty = 0

    def received(self, got: int) -> None:
        """A receive brought `got` messages."""
        self._nothing_came = got == 0
        self._may_count = False

    def described(self, facts: QueueFacts, now: float, *, resting: bool) -> None:
        """A reading came. The next one counts only if it is asked after another empty receive."""
        self._under_way = False
        self.visibility = facts.visibility_timeout
        self._next_at = now + EVERY
        nothing = facts.visible == facts.in_flight == facts.delayed == 0
        self._empty = self._empty + 1 if nothing and resting and self._may_count else 0
        self._nothing_came = False

    def failed(self) -> None:
        """No reading came of it; the next is asked as if this one had not been under way."""
        self._under_way = False

    def due(self, *, resting: bool) -> float | None:
        """When to ask next; None while a reading is under way."""
        if self._under_way:
            return None
        return min(self._next_at, self._empty_at) if resting else self._next_at

    def ask(self, now: float, *, resting: bool) -> bool:
        """Whether to ask now; if so, it is under way until `described` or `failed`."""
        due = self.due(resting=resting)
        if due is None or now < due:
            return False
        self._under_way = True
        self._may_count = resting
        self._empty_at = now + EMPTY_EVERY
        self._next_at = now + EVERY
        return True
