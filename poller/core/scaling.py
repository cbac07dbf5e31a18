"""How many batches may run, and how many receives may be in flight (SQS-3 to SQS-7, SQS-24).

Both climb on evidence and fall on evidence; neither reads a clock.
"""

from poller.core.mapping import EventSourceMapping

START = 5  # SQS-3: concurrent batches in the beginning
CEILING = 1250  # SQS-3
GROWTH = 300 / 60  # SQS-3: invokes that may be added, per second
PROVISIONED_GROWTH = 1000 / 60  # SQS-7
INVOKES_PER_POLLER = 10  # SQS-7
HALVING_PAUSE = 1.0  # SQS-24: at most one halving in a second


class Concurrency:
    """The number of batches that may run at once: climbs while a backlog remains, halves on failures."""

    def __init__(self, mapping: EventSourceMapping) -> None:
        if mapping.provisioned is not None:
            ceiling = mapping.provisioned.maximum * INVOKES_PER_POLLER
            start = mapping.provisioned.minimum * INVOKES_PER_POLLER
            self._growth = PROVISIONED_GROWTH
        else:
            ceiling = CEILING if mapping.maximum_concurrency is None else mapping.maximum_concurrency
            start = START
            self._growth = GROWTH
        self._ceiling = min(ceiling, mapping.handler.concurrency)
        self._start = min(start, self._ceiling)
        self.limit = self._start
        """Batches that may run at once, at least 1; to be read only."""
        self._raised_at: float | None = None
        self._halved_at: float | None = None

    def succeeded(self, now: float, *, backlog: bool) -> None:
        """A batch succeeded: what a failure took comes back, and with a backlog the limit climbs, no faster than
        the growth of SQS-3.
        """
        if self.limit >= self._ceiling or not (backlog or self.limit < self._start):
            return
        if self._raised_at is None:
            self._raised_at = now
        steps = int((now - self._raised_at) * self._growth)
        if steps >= 1:
            # credit of an idle spell is not saved up: one second's growth is the most that a step may take
            self.limit = min(self._ceiling, self.limit + min(steps, max(1, int(self._growth))))
            self._raised_at = now

    def failed(self, now: float) -> None:
        """A batch failed or was throttled: half of it, at least 1, at most once a second (SQS-24)."""
        if self._halved_at is not None and now - self._halved_at < HALVING_PAUSE:
            return
        self._halved_at = self._raised_at = now
        self.limit = max(1, self.limit // 2)

    def idle(self) -> None:
        """The source is empty: back to the start (SQS-5)."""
        self.limit = min(self.limit, self._start)


class Polling:
    """The number of receives that should be in flight: one while idle, more while they come back full."""

    def __init__(self, mapping: EventSourceMapping) -> None:
        provisioned = mapping.provisioned
        self._cap = provisioned.maximum if provisioned is not None else mapping.handler.concurrency
        self.floor = min(provisioned.minimum if provisioned is not None else 1, self._cap)
        """Receives that are in flight while the queue is empty; those above it wait a second only."""
        self.target = self.floor
        """Receives that should be in flight, capacity permitting; to be read only."""

    @property
    def backlog(self) -> bool:
        """Whether the last receives came back full."""
        return self.target > self.floor

    def received(self, asked: int, got: int) -> None:
        """A receive ended: a full one calls for another, one less than half full for fewer."""
        if got >= asked:
            self.target = min(self._cap, self.target + 1)
        elif got * 2 < asked:
            self.target = max(self.floor, self.target // 2)

    def failed(self) -> None:
        """A receive failed: probe with the fewest until the source answers again."""
        self.target = self.floor
