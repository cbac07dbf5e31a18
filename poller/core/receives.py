"""The receives in flight: whether one more should go out now, how long it waits, and when to ask again after a
failure (SQS-1, BAT-9; the count itself is scaling.py's).

While a source fails there is one probe at a time: it does not wait for messages, and its deadline is short, so
that the source's return is noticed within seconds. A slow line may need longer than that, so now and then a
patient probe with the full time goes out beside it.
"""

from random import Random

from poller.core.backoff import delay
from poller.core.fact import fact
from poller.core.mapping import EventSourceMapping
from poller.core.scaling import Polling

LONG_POLL = 20  # SQS-1: seconds
BACKLOG_POLL = 1  # seconds that receives beyond the first may wait: they exist because messages are waiting
ON_ITS_WAY = 1.0  # seconds that a receive without a wait may take to reach the source
CALL_MARGIN = 10.0  # seconds that a receive may last beyond its wait
PROBE_DEADLINE = 3.0
PATIENCE_FIRST = 4  # after so many failed probes one gets the full margin, then after 8, 16, 32, ...
FAILURE_FIRST, FAILURE_CAP = 0.2, 2.0  # seconds between probes, from start to start
FAILURE_PAUSE = 0.1  # and at least this after the failure


@fact
class Asked:
    """A receive in flight: how many messages it may bring, with which visibility (None: the queue's own), and the
    monotonic second by which the source has answered it, whenever we notice.
    """

    maximum: int
    visibility: int | None
    answered_by: float


def answered_by(wait: int, now: float) -> float:
    """When a receive that starts now hands its messages over at the latest.

    The way there comes out of the wait, not on top of it: taken for longer than it was, it would have us trust
    receipts that are over; taken for shorter, it costs a part of the lease. Without a wait it could cost all of a
    short one, and what comes would be let go and received again for ever, so there it has a second.
    """
    return now + max(float(wait), ON_ITS_WAY)


class Receives:
    """Counts receives; sends none itself."""

    def __init__(self, mapping: EventSourceMapping, random: Random, longest_wait: int) -> None:
        self._random = random
        self._longest_wait = min(LONG_POLL, longest_wait)
        self._window = mapping.window
        self._polling = Polling(mapping)
        self._polls: dict[int, Asked] = {}
        self.asked = 0
        """Messages that the receives in flight may bring; to be read only."""
        self._next = 1
        self._suspect: set[int] = set()
        self._failures = 0
        self._probe: int | None = None
        self._probe_started = 0.0
        self._patient_after = 0
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._polls)

    @property
    def backlog(self) -> bool:
        """Whether messages are waiting in the queue, as far as the last receives tell."""
        return self._polling.backlog

    def wanted(self, now: float) -> bool:
        """Whether one more receive should go out, if there is room for its messages."""
        if self._failures:
            return self._probe is None and now >= self._not_before
        return self._live() < self._polling.target

    def due(self) -> float | None:
        """When the next probe may go out; None when the source does not fail or a probe is under way."""
        return self._not_before if self._failures and self._probe is None else None

    def wait(self, *, draining: bool, window_left: float | None) -> int | None:
        """WaitTimeSeconds of the next receive; None when none should go out until the window closes (BAT-9)."""
        if self._failures:
            return 0
        spare = draining or self._live() >= self._polling.floor
        wait = min(BACKLOG_POLL if spare else LONG_POLL, self._longest_wait)
        if window_left is not None:
            return min(wait, int(window_left)) if window_left >= 1.0 else None
        if self._window and self._polling.target > 1:
            # another receive may open a batch while this one waits and keeps a slot from it
            wait = min(wait, int(self._window))
        return wait

    def start(self, asked: Asked, wait: int, now: float) -> tuple[int, float]:
        """One goes out: (its number, its deadline in seconds)."""
        poll = self._next
        self._next += 1
        self._polls[poll] = asked
        self.asked += asked.maximum
        if not self._failures:
            return poll, wait + CALL_MARGIN
        if self._is_patient():
            self._suspect.add(poll)
            return poll, wait + CALL_MARGIN
        self._probe, self._probe_started = poll, now
        return poll, wait + PROBE_DEADLINE

    def received(self, poll: int, got: int) -> Asked:
        """One came back with `got` messages; what it had asked for."""
        asked = self._end(poll)
        self._polling.received(asked.maximum, got)
        self._failures = self._patient_after = 0
        return asked

    def failed(self, poll: int, now: float) -> None:
        """One failed. What was in flight before the first failure says nothing new by failing too, and neither
        does a patient probe.
        """
        probe = poll == self._probe
        self._end(poll)
        self._polling.failed()
        self._suspect.update(self._polls)
        if self._failures and not probe:
            return
        self._failures += 1
        pause = delay(self._failures, FAILURE_FIRST, FAILURE_CAP, self._random)
        self._not_before = max(now + FAILURE_PAUSE, (self._probe_started if probe else now) + pause)

    def _live(self) -> int:
        """Those that may be relied on. What was in flight when the source failed may hang until its deadline, and
        must not stand in for a receive that works once the source is back.
        """
        return len(self._polls) - len(self._suspect)

    def _is_patient(self) -> bool:
        """Whether the probe that goes out now is a patient one: the first after 4, 8, 16, ... failures."""
        failures = self._failures
        if failures < PATIENCE_FIRST or failures & (failures - 1) or failures == self._patient_after:
            return False
        self._patient_after = failures
        return True

    def _end(self, poll: int) -> Asked:
        if poll == self._probe:
            self._probe = None
        self._suspect.discard(poll)
        asked = self._polls.pop(poll)
        self.asked -= asked.maximum
        return asked
