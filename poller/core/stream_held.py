"""What a shard's machine has in its hands, read and not resolved: how many records, how large, since when.

They are counted here, and lie in the lanes (stream_lane.py). How far they let the position go, checkpoint.py says.
"""

from collections import deque
from collections.abc import Sequence

from poller.core.budget import ByteBudget
from poller.core.checkpoint import CheckpointTracker
from poller.core.records import Record
from poller.core.stream_saving import Saving


class HeldRecords:
    """Knows what is held; decides nothing. `next_offset` is the number of the next record that is read.

    `size` is the bytes of their events, taken from the process's budget for as long as they are held.
    `iterator_age` is how old (seconds) the last record was that was handed over or, where nothing is left to hand
    over, that was read.
    """

    def __init__(self, budget: ByteBudget, saving: Saving, *, lanes: int) -> None:
        self._budget = budget
        self._saving = saving
        self._several = lanes > 1
        self._tracker = CheckpointTracker()
        self._pages: deque[tuple[int, float]] = deque()  # the offset behind each, and when it came
        self.next_offset = 0
        self.size = 0
        self.iterator_age = 0.0

    @property
    def unresolved(self) -> int:
        """Records that were read and are not resolved."""
        return self._tracker.unresolved

    @property
    def sequence(self) -> str | None:
        """The last sequence number up to which everything is resolved; None before the first."""
        return self._tracker.sequence

    @property
    def oldest_since(self) -> float | None:
        """When the oldest of them came (monotonic seconds)."""
        return self._pages[0][1] if self._pages else None

    def take(self, records: Sequence[Record]) -> None:
        """They were read."""
        self.next_offset += len(records)
        self._tracker.track(len(records))
        size = sum([record.size for record in records])
        self._budget.take(size)
        self.size += size

    def wait(self, now: float) -> None:
        """Of those that were taken last some are not resolved at once."""
        self._pages.append((self.next_offset, now))

    def resolve(self, records: Sequence[Record]) -> None:
        """These, ascending, need nothing more: they succeeded, were filtered out or discarded."""
        if not records:
            return
        size = sum([record.size for record in records])
        self._budget.give_back(size)
        self.size -= size
        moved = self._tracker.resolve(records)
        while self._pages and self._pages[0][0] <= self._tracker.low:
            self._pages.popleft()
        if moved or self._several:  # what a lane has done ahead of the mark is remembered too (STR-42)
            self._saving.changed()

    def worked_to(self, record: Record, now: float) -> None:
        """The work has come to this record at `now` (epoch seconds)."""
        self.iterator_age = max(0.0, now - record.arrived_at)

    def release(self) -> None:
        """Whatever is held goes back to the budget: nobody will resolve it."""
        self._budget.give_back(self.size)
        self.size = 0
