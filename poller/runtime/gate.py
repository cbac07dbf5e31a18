"""So many at once and no more: what comes later waits its turn, without a task of its own."""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Begin: TypeAlias = Callable[[], bool]
"""Begins; False if that is not wanted any more."""


class Gate:
    """Lets `limit` in at once, the others in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[Begin] = deque()

    def enter(self, begin: Begin) -> None:
        """Calls `begin` as soon as there is a place, perhaps at once. Who has begun must `leave`."""
        if not self._free:
            self._waiting.append(begin)
        elif begin():
            self._free -= 1

    def leave(self) -> None:
        """A place is free again."""
        while self._waiting:
            if self._waiting.popleft()():
                return
        self._free += 1
