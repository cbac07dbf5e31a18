"""When a shard may be read again: slowly while idle, as fast as the source allows while behind, later after a
failure (STR-20, STR-21, STR-23).
"""

from random import Random

from poller.core.backoff import delay
from poller.core.model import SourceKind, SourceProblem

# seconds between two reads from start to start: at the tip, and while behind
_IDLE = {SourceKind.KINESIS: 1.0, SourceKind.DYNAMODB: 0.25}
# Kinesis allows five a second to all readers of a shard together, so one is left for somebody else.
_BEHIND = {SourceKind.KINESIS: 0.25, SourceKind.DYNAMODB: 0.1}
_BYTES_PER_SECOND = 2 * 1024 * 1024  # Kinesis, for each shard; a larger answer is paid for by a longer pause
_WIRE_GROWTH = 4 / 3  # data comes as base64
_SPREAD = 0.05

FAILURE_FIRST, FAILURE_CAP = 0.2, 3.0  # seconds
LASTING_CAP = 30.0  # where the source has answered, and the answer was no
_LASTING = frozenset({SourceProblem.MISSING, SourceProblem.DENIED, SourceProblem.REFUSED})
_AT_ONCE = frozenset({SourceProblem.EXPIRED, SourceProblem.TRIMMED})


class Pace:
    """The clock of one shard's reads; sends none itself."""

    def __init__(self, source: SourceKind, random: Random) -> None:
        self._idle = _IDLE[source]
        self._behind = _BEHIND[source]
        self._limited = source is SourceKind.KINESIS
        self._random = random
        self._started = 0.0
        self._failures = 0
        self.due = 0.0
        """The monotonic second from which on the next read may start."""

    def started(self, now: float) -> None:
        """A read starts."""
        self._started = now

    def ended(self, *, behind: bool, size: int) -> None:
        """A read brought an answer of `size` bytes; `behind`: there is more, or may be."""
        self._failures = 0
        if behind:
            pause = self._behind
            if self._limited:
                pause = max(pause, size / (_BYTES_PER_SECOND * _WIRE_GROWTH))
        else:
            # a thousand shards that started together shall not be read together for ever
            pause = self._idle * self._random.uniform(1 - _SPREAD, 1 + _SPREAD)
        self.due = self._started + pause

    def failed(self, problem: SourceProblem, now: float) -> None:
        """A read failed. An iterator too old is replaced at the usual pace, once; everything else waits longer."""
        self._failures += 1
        if problem in _AT_ONCE and self._failures == 1:
            self.due = self._started + self._behind
            return
        cap = LASTING_CAP if problem in _LASTING else FAILURE_CAP
        self.due = now + delay(self._failures, FAILURE_FIRST, cap, self._random)
