"""Records of a stream that nobody will process any more: given up, or gone before they were read.

Each such loss is counted and has a log line of its own, with what it takes to find the records; none is left out.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from poller.core.cleanup import Lost
from poller.core.failure_document import failure_document
from poller.core.model import Instant
from poller.core.records import Discard, DiscardReason, Position, PositionKind, StreamBatch
from poller.core.stream_messages import Discarded, Gap
from poller.metrics_stats import CallOutcome, DiscardedFor, GapReason, MappingStats
from poller.telling import Teller, one_line

MOST_NAMED: Final = 10
"""Lost shards that a line names."""


class Losses:
    """Tells of those of one mapping."""

    def __init__(self, stats: MappingStats, teller: Teller) -> None:
        assert stats.stream is not None, "queues give nothing up"
        assert stats.mapping.stream is not None
        self._stream = stats.stream
        self._mapping = stats.mapping
        self._settings = stats.mapping.stream
        self._teller = teller

    def discarded(self, shard_id: str, command: Discarded, now: Instant) -> None:
        """MET-6 to MET-8, ERR-31. The document of records whose destination refused it is in the line, whole,
        because nobody else will ever hear of them (DST-30); it has no data of theirs (DST-9).
        """
        del now
        stream, discard = self._stream, command.discard
        count = len(discard.batch.records)
        stream.discarded_events[_reason(discard)] += count
        destination = self._settings.destination
        fields: dict[str, Any] = {
            **batch_fields(shard_id, discard.batch),
            "condition": discard.reason,
            "invocations": discard.invocations,
            "destination": None if destination is None else destination.text,
        }
        of = f"{fields['first_sequence']} to {fields['last_sequence']}"
        text = f"{counted(count)} of shard {shard_id} ({of}) given up ({discard.reason.value})"
        if not count:
            text = f"the final invocation of a window of shard {shard_id} given up ({discard.reason.value})"
        if not command.dropped:
            assert destination is not None, "only a destination takes documents"
            stream.destination_events += count
            stream.destination_deliveries[destination.kind, CallOutcome.SUCCESS] += 1
            text = f"{text}; {destination.text} has their failure document"
            self._teller.tell(logging.WARNING, "discarded", text, **fields)
            return
        if not self._outlived(discard):
            stream.dropped_events += count
        if destination is None:
            text = f"{text}; there is no destination that would be told"
            self._teller.tell(logging.WARNING, "discarded", text, **fields)
            return
        stream.destination_deliveries[destination.kind, CallOutcome.ERROR] += 1
        document = failure_document(discard, self._mapping, shard_id)
        why = f"{destination.text} did not take their failure document: {one_line(command.problem)}"
        text = f"{text}; {why}; it is {json.dumps(document)}"
        self._teller.tell(logging.ERROR, "discarded", text, **fields, document=document)

    def _outlived(self, discard: Discard) -> bool:
        """ERR-15: whether it was the stream's retention that ended, and not MaximumRecordAgeInSeconds: what the
        source has lost is not counted as dropped by us (MET-6).
        """
        if discard.reason is not DiscardReason.AGE:
            return False
        limit = self._settings.maximum_age
        if limit is None:
            return True
        return any(record.arrived_at >= discard.at - limit for record in discard.batch.records)

    def gap(self, shard_id: str, command: Gap, now: Instant) -> None:
        """STR-25: what is known of a loss, which is where it begins and ends."""
        del now
        self._stream.gaps[GapReason.TRIMMED] += 1
        behind = command.resumed_at or "the end of the shard"
        text = (
            f"records of shard {shard_id} were trimmed from the stream before they were read: those between"
            f" {command.position.sequence or place(command.position)} and {behind}; how many is not known"
        )
        fields: dict[str, Any] = {"position": place(command.position), "resumed_at": command.resumed_at}
        self._teller.tell(logging.ERROR, "gap", text, shard=shard_id, **fields)

    def shards_lost(self, lost: Sequence[Lost]) -> None:
        """STR-3: shards are gone with what was not read of them, or are others under the same ids."""
        for remade in (True, False):
            leases = [one.lease for one in lost if one.remade is remade]
            if not leases:
                continue
            self._stream.gaps[GapReason.STREAM_REMADE if remade else GapReason.SHARD_LOST] += len(leases)
            what = "belong to a stream that was deleted and made anew: they are read from their start"
            if not remade:
                what = "are not listed any more: what was not read of them is lost"
            named = ", ".join([f"{lease.key} (at {lease.checkpoint})" for lease in leases[:MOST_NAMED]])
            text = f"{len(leases)} shards {what}: {named}{', ...' if len(leases) > MOST_NAMED else ''}"
            self._teller.tell(logging.ERROR, "shards_lost", text, shards=len(leases), remade=remade)


def _reason(discard: Discard) -> DiscardedFor:
    if discard.oversize:
        return DiscardedFor.OVERSIZE
    return DiscardedFor.AGE if discard.reason is DiscardReason.AGE else DiscardedFor.RETRIES


def batch_fields(shard_id: str, batch: StreamBatch) -> dict[str, Any]:
    """What a line says of a batch; the final invocation of a window has no records."""
    records = batch.records
    return {
        "shard": shard_id,
        "batch": batch.number,
        "events": len(records),
        "first_sequence": records[0].sequence if records else "",
        "last_sequence": records[-1].sequence if records else "",
    }


def counted(count: int) -> str:
    """So many records, for people."""
    return f"{count} record{'' if count == 1 else 's'}"


def place(position: Position) -> str:
    """A position for people and for log fields."""
    match position.kind:
        case PositionKind.AFTER:
            return f"after {position.sequence}"
        case PositionKind.AT_TIMESTAMP:
            return f"AT_TIMESTAMP {position.timestamp:.3f}"
        case _:
            return position.kind.value
