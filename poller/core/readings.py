"""What the queue tells of itself, and when to ask: now and then, and while draining to know that it is empty.

The counts of SQS are approximate, so a queue is empty only when two readings in a row say so, with an empty
receive before each.
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

    def described(self, facts: QueueFacts, now: float, *, resting: bool) -> None:
        """A reading came. The next one counts only after another empty receive."""
        self.visibility = facts.visibility_timeout
        self._next_at = now + EVERY
        nothing = facts.visible == facts.in_flight == facts.delayed == 0
        self._empty = self._empty + 1 if nothing and resting else 0
        self._nothing_came = False

    def due(self, *, resting: bool) -> float:
        """When to ask next."""
        return min(self._next_at, self._empty_at) if resting else self._next_at

    def ask(self, now: float, *, resting: bool) -> bool:
        """Whether to ask now; if so, that is taken as done."""
        if now < (self.due(resting=True) if resting else self._next_at):
            return False
        self._empty_at = now + EMPTY_EVERY
        self._next_at = now + EVERY
        return True
