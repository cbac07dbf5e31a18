"""ERR-5: an attempt is written down before it begins, where the number of attempts has to outlast the process.

How far each has come is in its lane's `guard`; here is which of them the next Save has in it, and so may begin
with it. When that Save goes out is stream_saving.py's question, what the row says of an attempt stream_lane.py's.
"""

from collections.abc import Sequence

from poller.core.mapping import StreamSettings
from poller.core.stream_lane import Lane
from poller.core.stream_settle import last_chance


class Guards:
    """The attempts of one shard that wait to be written down. `needed`: they have to be, at all."""

    def __init__(self, settings: StreamSettings, lanes: Sequence[Lane], *, needed: bool) -> None:
        self._settings = settings
        self._lanes = lanes
        self.needed = needed

    @property
    def wanted(self) -> bool:
        """Whether an attempt waits for a Save that is not written yet."""
        return self.needed and bool(self._next())

    def begin(self, number: int) -> bool:
        """A Save goes out, and has them in it; whether it has one at its last chance."""
        starting = self._next() if self.needed else []
        alone = any(last_chance(lane.queue[0], self._settings) for lane in starting)
        for lane in starting:
            lane.guard = number
        return alone

    def saved(self, number: int) -> list[Lane]:
        """It is written: the lanes that may begin."""
        begun = []
        for lane in self._lanes:
            if lane.guard == number:
                lane.guard = None
                begun.append(lane)
        return begun

    def failed(self, number: int) -> None:
        """It is not: they wait for the next."""
        for lane in self._lanes:
            if lane.guard == number:
                lane.guard = 0

    def withdraw(self) -> bool:
        """What was about to start does not; whether there was something."""
        waited = any(lane.guard is not None for lane in self._lanes)
        for lane in self._lanes:
            lane.guard = None
        return waited

    def _next(self) -> list[Lane]:
        """The lanes whose attempts are written next: all that wait, or one at its last chance, alone.
        It waits for the others of this shard: they would be written down as running, and end before it begins.
        """
        starting = [lane for lane in self._lanes if lane.guard == 0]
        last = [lane for lane in starting if last_chance(lane.queue[0], self._settings)]
        if not last:
            return starting
        return [] if any(lane.running is not None for lane in self._lanes) else last[:1]
