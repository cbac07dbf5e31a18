"""Records of a stream read again, beside everybody who reads it: with iterators of our own, and no checkpoint."""

import asyncio
from random import Random
from typing import Final

from poller.clock import SystemClock
from poller.core.failed_batch import FailedBatch
from poller.core.mapping import EventSourceMapping
from poller.core.model import SourceProblem
from poller.core.pace import Pace
from poller.core.records import TRIM_HORIZON, Position, PositionKind, Record, sequence_value
from poller.core.stream_payload import make_records
from poller.errors import SourceError
from poller.ports import StreamSource

READ_DEADLINE: Final = 10.0  # seconds of one call
MOST_RECORDS: Final = 1_000  # of a read: DynamoDB has no more, and it leaves room for other readers of the shard
SILENCE: Final = 30.0  # seconds of nothing but empty pages after which a record is taken for gone (STR-26)
PATIENCE: Final = frozenset({SourceProblem.THROTTLED, SourceProblem.SERVER, SourceProblem.UNREACHABLE})
_TRIES: Final = 8


async def fetch_range(
    stream: StreamSource, failed: FailedBatch, mapping: EventSourceMapping, random: Random
) -> list[Record]:
    """What is still there of a document's range (DST-9), in order. Raises SourceError."""
    clock, pace = SystemClock(), Pace(mapping.source, random)
    last = sequence_value(failed.last)
    records: list[Record] = []
    start, iterator = Position(PositionKind.AT, failed.first), None
    heard, failures = clock.now().mono, 0
    while True:
        now = clock.now().mono
        await asyncio.sleep(max(0.0, pace.due - now))
        pace.started(clock.now().mono)
        try:
            if iterator is None:
                # after an iterator that was too old, from where the last page ended
                at = Position(PositionKind.AFTER, records[-1].sequence) if records else start
                iterator = await stream.iterator(failed.shard_id, at, READ_DEADLINE)
            page = await stream.records(failed.shard_id, iterator, MOST_RECORDS, READ_DEADLINE)
        except SourceError as error:
            if error.problem is SourceProblem.TRIMMED and start != TRIM_HORIZON and not records:
                start, iterator = TRIM_HORIZON, None  # what is left of it
                continue
            if error.problem is SourceProblem.TRIMMED or _is_gone(error):
                return records
            failures += 1
            if failures == _TRIES or not (error.problem in PATIENCE or error.problem is SourceProblem.EXPIRED):
                raise
            if error.problem is SourceProblem.EXPIRED:
                iterator = None
            pace.failed(error.problem, clock.now().mono)
            continue
        failures = 0
        found = make_records(page.records, mapping, failed.shard_id, len(records))
        records += found
        if found:
            heard = clock.now().mono
        beyond = bool(found) and sequence_value(found[-1].sequence) >= last
        at_tip = not found and page.behind is not None and page.behind <= 0
        if beyond or at_tip or page.iterator is None or clock.now().mono - heard > SILENCE:
            return [record for record in records if sequence_value(record.sequence) <= last]
        iterator = page.iterator
        pace.ended(behind=True, size=page.size)


def _is_gone(error: SourceError) -> bool:
    """A shard goes with its last record; a stream that was deleted took all of them with it."""
    return error.problem is SourceProblem.MISSING
