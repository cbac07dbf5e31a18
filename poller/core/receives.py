"""The receives in flight: whether one more should go out now, how long it waits, and when to ask again after a
failure (SQS-1, BAT-9; the count itself is scaling.py's).

While a source fails there is one probe at a time: it does not wait for messages, and its deadline is short, so
that the source's return is noticed within seconds; every few probes one gets the full time, for a slow line.
"""

from random import Random

from poller.core.backoff import delay
from poller.core.mapping import EventSourceMapping
from poller.core.scaling import Polling

LONG_POLL = 20  # SQS-1: seconds
BACKLOG_POLL = 1  # seconds that receives beyond the first may wait: they exist because messages are waiting
CALL_MARGIN = 10.0  # seconds that a receive may last beyond its wait
PROBE_DEADLINE = 3.0
PROBE_PATIENCE = 4  # every so manyth probe gets the full margin
FAILURE_FIRST, FAILURE_CAP = 0.2, 2.0  # seconds between probes, from start to start
FAILURE_PAUSE = 0.1  # and at least this after the failure


class Receives:
    """Counts receives; sends none itself."""

    def __init__(self, mapping: EventSourceMapping, random: Random, longest_wait: int) -> None:
        self._random = random
        self._longest_wait = min(LONG_POLL, longest_wait)
        self._polling = Polling(mapping)
        self._polls: dict[int, int] = {}
        self._asked = 0
        self._next = 1
        self._failures = 0
        self._probe: int | None = None
        self._probe_started = 0.0
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._polls)

    @property
    def asked(self) -> int:
        """Messages that the receives in flight may bring."""
        return self._asked

    @property
    def backlog(self) -> bool:
        """Whether messages are waiting in the queue, as far as the last receives tell."""
        return self._polling.backlog

    def wanted(self, now: float) -> bool:
        """Whether one more receive should go out, if there is room for its messages."""
        if self._failures:
            return self._probe is None and now >= self._not_before
        return len(self._polls) < self._polling.target

    def due(self) -> float | None:
        """When the next probe may go out; None when the source does not fail or a probe is under way."""
        return self._not_before if self._failures and self._probe is None else None

    def wait(self, *, draining: bool, window_left: float | None) -> int | None:
        """WaitTimeSeconds of the next receive; None when none should go out until the window closes (BAT-9)."""
        if self._failures:
            return 0
        spare = draining or len(self._polls) >= self._polling.floor
        wait = min(BACKLOG_POLL if spare else LONG_POLL, self._longest_wait)
        if window_left is None:
            return wait
        return min(wait, int(window_left)) if window_left >= 1.0 else None

    def start(self, maximum: int, wait: int, now: float) -> tuple[int, float]:
        """One goes out: (its number, its deadline in seconds)."""
        poll = self._next
        self._next += 1
        self._polls[poll] = maximum
        self._asked += maximum
        if not self._failures:
            return poll, wait + CALL_MARGIN
        self._probe, self._probe_started = poll, now
        return poll, wait + (CALL_MARGIN if self._failures % PROBE_PATIENCE == 0 else PROBE_DEADLINE)

    def received(self, poll: int, got: int) -> None:
        """One came back with `got` messages."""
        self._polling.received(self._end(poll), got)
        self._failures = 0

    def failed(self, poll: int, now: float) -> None:
        """One failed. What was in flight before the first failure says nothing new by failing too."""
        probe = poll == self._probe
        self._end(poll)
        self._polling.failed()
        if self._failures and not probe:
            return
        self._failures += 1
        pause = delay(self._failures, FAILURE_FIRST, FAILURE_CAP, self._random)
        self._not_before = max(now + FAILURE_PAUSE, (self._probe_started if probe else now) + pause)

    def _end(self, poll: int) -> int:
        if poll == self._probe:
            self._probe = None
        asked = self._polls.pop(poll)
        self._asked -= asked
        return asked
