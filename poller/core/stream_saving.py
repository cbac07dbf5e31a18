"""When a shard's progress is written: one write at a time, durable once a second while there is something new."""

from random import Random
from typing import Final

from poller.core.backoff import delay

SAVE_EVERY: Final = 1.0  # seconds between two durable writes of a position that moves
SAVE_FIRST, SAVE_CAP = 0.5, 10.0  # seconds before a failed write is tried again


class Saving:
    """Knows whether there is something to write; what it is, the machine says at that moment."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._next = 1
        self._failures = 0
        self._due = 0.0
        self.dirty = False
        """Whether there is something that no write under way or done has in it."""
        self.under_way: int | None = None
        """The number of the write that is under way."""

    def due(self, *, wanted: bool) -> float | None:
        """When the next write is to start; `wanted`: something waits for it, beyond what is merely new."""
        if self.under_way is not None or not (self.dirty or wanted):
            return None
        return self._due if not wanted or self._failures else 0.0

    def changed(self) -> None:
        """There is something new."""
        self.dirty = True

    def hurry(self) -> None:
        """What is new is to be written at once."""
        if not self._failures:
            self._due = 0.0

    def begin(self, now: float, *, wanted: bool) -> tuple[int, bool] | None:
        """The number of the write that starts now, and whether it has to be durable; None when none starts."""
        due = self.due(wanted=wanted)
        if due is None or now < due:
            return None
        durable = self.dirty and now >= self._due
        if durable:
            self.dirty = False
            self._due = now + SAVE_EVERY
        self.under_way, self._next = self._next, self._next + 1
        return self.under_way, durable

    def saved(self, number: int) -> bool:
        """It is written; False for a number that is not under way."""
        if number != self.under_way:
            return False
        self.under_way = None
        self._failures = 0
        return True

    def failed(self, number: int, now: float) -> bool:
        """It is not written, and is tried again; False for a number that is not under way."""
        if number != self.under_way:
            return False
        self.under_way = None
        self.dirty = True
        self._failures += 1
        self._due = now + delay(self._failures, SAVE_FIRST, SAVE_CAP, self._random)
        return True
