"""From what was read into the lanes, less the records that need no function: those that are older than the start,
that the filter takes out, or that an earlier process had done.

Which are new, and which older than the start, stream_reading.py has said before.
"""

from collections.abc import Sequence

from poller.core.filter import RecordFilter, make_filter
from poller.core.mapping import EventSourceMapping
from poller.core.records import Record, sequence_value
from poller.core.stream_held import HeldRecords
from poller.core.stream_lane import Lane
from poller.core.stream_messages import Filtered, StreamCommand


class Intake:
    """Fills the lanes of one shard."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        shard_id: str,
        lanes: Sequence[Lane],
        held: HeldRecords,
        commands: list[StreamCommand],
    ) -> None:
        """`commands` is where the machine gathers its orders."""
        self._arn = mapping.arn
        self._shard_id = shard_id
        self._filter = make_filter(mapping.filters, mapping.source) if mapping.filters else None
        self._lanes = lanes
        self._held = held
        self._commands = commands

    def take(self, records: list[Record], older: int, now: float) -> None:
        """Into their lanes (STR-40); those `older` than the start, which come first, need no function (STR-11)."""
        if not records:
            return
        held = self._held
        unresolved = held.unresolved
        read_to = sequence_value(records[-1].sequence)
        held.take(records)
        if older:
            held.resolve(records[:older])
            records = records[older:]
        if self._filter is not None:
            records = self._passing(records, self._filter)
        for lane in self._lanes:
            lane.read_to = read_to
            own = records if len(self._lanes) == 1 else [one for one in records if one.lane == lane.index]
            if own and lane.start is not None:
                own = self._not_done(lane, own)
            if own:
                lane.buffer.add(own, now)
        if held.unresolved > unresolved:
            held.wait(now)

    def _passing(self, records: list[Record], criteria: RecordFilter) -> list[Record]:
        """BAT-5, FLT-41: the others are done with. No age limit and no failure document hears of them (DST-14)."""
        arn, shard = self._arn, self._shard_id
        passing = [record for record in records if criteria.passes_record(record, arn, shard)]
        if len(passing) < len(records):
            kept = {record.offset for record in passing}
            self._held.resolve([record for record in records if record.offset not in kept])
            self._commands.append(Filtered(len(records) - len(passing)))
        return passing

    def _not_done(self, lane: Lane, records: list[Record]) -> list[Record]:
        """STR-42: what an earlier process had resolved in this lane needs nothing, though others were behind."""
        start = lane.start
        assert start is not None, "only a lane that was there before has a start"
        fresh = next((n for n, one in enumerate(records) if sequence_value(one.sequence) >= start), len(records))
        self._held.resolve(records[:fresh])
        if fresh < len(records):
            lane.start = None
        return records[fresh:]
