"""How far the position of a shard may go: up to the last record before which everything is resolved (STR-30).

Lanes finish in any order; what they have finished above the mark waits here until the mark gets there (STR-42).
"""

from collections.abc import Sequence

from poller.core.records import Record


class CheckpointTracker:
    """The low-water mark over all lanes of a shard, by the offsets of its records."""

    def __init__(self) -> None:
        self._low = 0
        self._next = 0
        self._ahead: dict[int, str] = {}
        self._sequence: str | None = None

    @property
    def sequence(self) -> str | None:
        """The last sequence number up to which everything is resolved; None before the first."""
        return self._sequence

    @property
    def low(self) -> int:
        """The offset of the oldest record that is not resolved, or of the next to come."""
        return self._low

    @property
    def unresolved(self) -> int:
        """Records that were read and are not resolved."""
        return self._next - self._low - len(self._ahead)

    def track(self, count: int) -> None:
        """So many records more were read."""
        self._next += count

    def resolve(self, records: Sequence[Record]) -> bool:
        """These, ascending, need nothing more: they succeeded, were filtered out or discarded. Whether the mark
        moved.
        """
        if not records:
            return False
        first, last = records[0], records[-1]
        before = self._low
        if first.offset == before and last.offset - before + 1 == len(records):  # mostly: one lane, in order
            self._low, self._sequence = last.offset + 1, last.sequence
        else:
            for record in records:
                self._ahead[record.offset] = record.sequence
        while (sequence := self._ahead.pop(self._low, None)) is not None:
            self._low, self._sequence = self._low + 1, sequence
        assert self._low <= self._next, "more was resolved than was read"
        return self._low > before
