"""How a mapping went lately, from sums noted now and then: what leaves it, what fails, how far it is behind."""

from collections import deque
from typing import Final

from poller.core.fact import fact

NOTE_EVERY: Final = 2.0  # seconds between two notes of the sums
RECENT: Final = 10.0  # seconds that rates and ages are told over
MINUTE: Final = 60.0  # seconds that failures are told over
LAG_EVERY: Final = 10.0  # seconds between two points of the lag
LAG_POINTS: Final = 60

_NOTES = int(MINUTE / NOTE_EVERY) + 1


@fact
class Totals:
    """What was counted up to the monotonic second `at`: messages or records that were done with (succeeded,
    filtered out or given up), those in invocations and those of them that failed, and the ages at first dispatch,
    their sum in seconds and how many there were.
    """

    at: float
    done: int = 0
    invoked: int = 0
    failed: int = 0
    ages: float = 0.0
    aged: int = 0


class Trend:
    """`lags` are points of the lag in seconds, LAG_EVERY apart, the newest last."""

    def __init__(self, first: Totals) -> None:
        self.lags: deque[float] = deque(maxlen=LAG_POINTS)
        self._notes: deque[Totals] = deque([first], maxlen=_NOTES)
        self._lag_at = first.at

    def begin_again(self, first: Totals) -> None:
        """Counting began anew, as it does when a mapping's settings are changed; the lag goes on."""
        self._notes.clear()
        self._notes.append(first)

    def note(self, totals: Totals) -> None:
        """To be called every NOTE_EVERY seconds."""
        self._notes.append(totals)

    def lag_due(self, now: float) -> bool:
        """Whether the next point is to be noted at this monotonic second."""
        return now >= self._lag_at

    def note_lag(self, seconds: float, now: float) -> None:
        """A point of the lag."""
        self.lags.append(seconds)
        self._lag_at = now + LAG_EVERY

    def out_per_second(self, totals: Totals) -> float:
        """Messages or records done with, over the last ten seconds."""
        since = self._since(totals.at - RECENT)
        return (totals.done - since.done) / max(1.0, totals.at - since.at)

    def age(self, totals: Totals) -> float:
        """The mean age, in seconds, of what was dispatched in the last ten seconds; 0 without any."""
        since = self._since(totals.at - RECENT)
        aged = totals.aged - since.aged
        return max(0.0, (totals.ages - since.ages) / aged) if aged > 0 else 0.0

    def failing(self, totals: Totals) -> float:
        """The share of what was invoked in the last minute that failed, 0 to 1; 0 without any."""
        since = self._since(totals.at - MINUTE)
        invoked = totals.invoked - since.invoked
        # an attempt that began before the minute may fail within it
        return min(1.0, (totals.failed - since.failed) / invoked) if invoked > 0 else 0.0

    def _since(self, moment: float) -> Totals:
        """The newest note that is as old as this; the oldest, where none is."""
        found = self._notes[0]
        for note in self._notes:
            if note.at > moment:
                break
            found = note
        return found
