"""How far the position of a shard may go: up to the last record before which everything is resolved (STR-30).

Lanes finish in any order; what they have finished above the mark waits here until the mark gets there (STR-42).
It waits as runs without a gap: behind a batch that fails for hours millions may be filtered out, and there are
never more runs than records that are not resolved, whose number is bounded (STR-27).
"""

from collections.abc import Sequence

from poller.core.records import Record


class CheckpointTracker:
    """The low-water mark over all lanes of a shard, by the offsets of its records."""

    def __init__(self) -> None:
        self._low = 0
        self._next = 0
        # A run by its first offset: the one behind it, its last sequence number. And by the one behind: the first.
        self._runs: dict[int, tuple[int, str]] = {}
        self._begins: dict[int, int] = {}
        self._ahead = 0
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
        return self._next - self._low - self._ahead

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
            self._add(records)
        if (run := self._runs.pop(self._low, None)) is not None:
            end, self._sequence = run
            del self._begins[end]
            self._ahead -= end - self._low
            self._low = end
        assert self._low <= self._next, "more was resolved than was read"
        return self._low > before

    def _add(self, records: Sequence[Record]) -> None:
        """Each joined with the runs that it touches."""
        runs, begins = self._runs, self._begins
        self._ahead += len(records)
        for record in records:
            begin, sequence = record.offset, record.sequence
            end = begin + 1
            if end in runs:
                end, sequence = runs.pop(end)
            begin = begins.pop(begin, begin)
            runs[begin] = end, sequence
            begins[end] = begin
