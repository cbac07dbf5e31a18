"""The shapes of what is counted: histograms with their bounds, a rate, counts by name. Plain numbers, no lock."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

POLL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0)
# The boundaries of OpenTelemetry's messaging.process.duration, continued to Lambda's longest timeout.
INVOCATION_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 300.0, 900.0),
)
BATCH_EVENTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0)
BATCH_BYTES = tuple(float(1 << bits) for bits in range(10, 24))
WAIT_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
AGE_SECONDS = (
    *(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0),
    *(900.0, 3_600.0, 14_400.0, 86_400.0, 345_600.0),
)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 25.0)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CHECKPOINT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RATE_SECONDS = 10

MOST_NAMES: Final = 20
"""Names beside the fixed ones that a count by name tells apart: every further one is `other`."""

OTHER: Final = "other"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.$:]{0,99}")


class Exemplar(NamedTuple):
    """An observation that can be looked up: the trace it belongs to, its value, and the epoch seconds."""

    trace_id: str
    value: float
    at: float


class Histogram:
    """Counts by upper bound (inclusive) and their sum; `counts` has one place more than `bounds`, for the rest."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """The latest traced observation of each place of `counts` that has one."""

    def observe(self, value: float) -> None:
        """Adds one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_traced(self, value: float, trace_id: str, at: float) -> None:
        """The same for one that has a trace, at these epoch seconds."""
        self.observe(value)
        self.exemplars[bisect_left(self.bounds, value)] = Exemplar(trace_id, value, at)

    def observe_all(self, values: list[float]) -> None:
        """Adds several, at least one, and sorts them for that: the cost is that of the places they fall into,
        mostly one.
        """
        values.sort()
        self.total += sum(values)
        counts, bounds, done = self.counts, self.bounds, 0
        place, last = bisect_left(bounds, values[0]), bisect_left(bounds, values[-1])
        while place < last:
            below = bisect_right(values, bounds[place], done)
            counts[place] += below - done
            done, place = below, place + 1
        counts[last] += len(values) - done

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)


class NamedCounts(dict[str, int]):
    """Counts by a name that others choose, such as an exception's class: the fixed names are there from the start,
    MOST_NAMES more as they come, and the rest, or what is not shaped like a name, is OTHER. So nobody can make
    series without end.
    """

    def __init__(self, fixed: Iterable[str]) -> None:
        super().__init__(dict.fromkeys((*fixed, OTHER), 0))
        self._most = len(self) + MOST_NAMES

    def add(self, name: str) -> None:
        """Counts one."""
        if name not in self and (len(self) >= self._most or _NAME.fullmatch(name) is None):
            name = OTHER
        self[name] = self.get(name, 0) + 1


class Rate:
    """Events a second over the last ten seconds: a ring of one count for each second."""

    __slots__ = ("_counts", "_place", "_seconds", "_since", "_until")

    def __init__(self, since: float) -> None:
        """`since` is the monotonic second at which counting began."""
        self._since = since
        self._seconds = [-1] * RATE_SECONDS
        self._counts = [0] * RATE_SECONDS
        self._place = 0
        self._until = since  # the end of the second that is being counted

    def add(self, count: int, mono: float) -> None:
        """Counts `count` events at this moment; moments never go back."""
        if mono >= self._until:
            second = int(mono)
            self._until = second + 1.0
            self._place = second % RATE_SECONDS
            self._seconds[self._place], self._counts[self._place] = second, 0
        self._counts[self._place] += count

    def per_second(self, mono: float) -> float:
        """The mean over what has passed of the last ten seconds, at least one second."""
        oldest = int(mono) - RATE_SECONDS + 1
        total = sum(
            count for second, count in zip(self._seconds, self._counts, strict=True) if oldest <= second <= mono
        )
        return total / max(1.0, mono - max(float(oldest), self._since))
