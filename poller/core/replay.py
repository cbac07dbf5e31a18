"""What a failure document asks to be done again: which mapping, which records, and what is left of it afterwards.

The counterpart of failure_document.py, for operators. Who reads documents and records is poller/operate's
business; what an invocation came to is judged where it always is, in stream_settle.py.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poller.core.batcher import in_batches
from poller.core.failed_batch import BATCH_INFOS, FailedBatch
from poller.core.mapping import EventSourceMapping
from poller.core.model import BatchTrigger, JsonObject, SourceKind
from poller.core.payload import record_size, serialise
from poller.core.records import Record, StreamBatch, WindowCall, sequence_value
from poller.core.stream_payload import event_overhead, iso_seconds, stream_event

_SEQUENCE_KEYS: Final = {SourceKind.KINESIS: ("kinesis", "sequenceNumber"),
                         SourceKind.DYNAMODB: ("dynamodb", "SequenceNumber")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """The records of a document that are still there. `problem` says in which way they are not those that it tells
    of; empty when they are.
    """

    records: tuple[Record, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Why a document is no mapping's; `taker` is the one that would handle it if it were asked for, or empty."""

    why: str
    taker: str = ""


def choose_mapping(
    mappings: Sequence[EventSourceMapping], failed: FailedBatch, name: str | None
) -> EventSourceMapping | Unclaimed:
    """Whose document it is: that of its stream and its function (DST-5).

    `name` is the mapping that the user asks for. It gets documents of another function too, because a function may
    have had another name on AWS, but not those that are known to be of another mapping.
    """
    readers = [mapping for mapping in mappings if mapping.arn.text == failed.stream_arn]
    callers = [mapping for mapping in readers if mapping.function_arn == failed.function_arn]
    asked = callers if name is None else [mapping for mapping in callers or readers if mapping.name == name]
    if len(asked) == 1:
        return asked[0]
    if not readers:
        return Unclaimed(f"no mapping reads its stream, {failed.stream_arn}")
    names = ", ".join(mapping.name for mapping in callers or readers)
    if name is not None:
        return Unclaimed(f"it is of the mapping {names}")
    if len(readers) > 1:
        return Unclaimed(f"several mappings read its stream, so say which is meant with --mapping: {names}")
    named = f"names another function, {failed.function_arn}" if failed.function_arn else "names no function"
    return Unclaimed(f"it {named}; --mapping {names} takes it all the same", names)


def find_records(
    read: Sequence[Record],
    failed: FailedBatch,
    mapping: EventSourceMapping,
    passes: Callable[[Record], bool],
    *,
    whole: bool,
) -> Found:
    """Those of the records read from the document's range that were its batch.

    A document has the two ends of a batch and its number of records, and between the ends there may be others:
    of other lanes (STR-40), and those that the filter took out (DST-14). So it is the lane of the ends that
    counts, and the number must come out right. With `whole` all that pass the filter are taken, whatever their
    lane and number; what these cannot be all of is a problem too.
    """
    assert mapping.stream is not None, "documents are of streams"
    first, last = sequence_value(failed.first), sequence_value(failed.last)
    within = tuple(record for record in read if first <= sequence_value(record.sequence) <= last)
    fitting = tuple(record for record in within if passes(record))
    there = {record.sequence: record for record in within}
    gone = [end for end in (failed.first, failed.last) if end not in there]
    ends = {failed.first, failed.last}
    if whole:
        if gone:
            return Found(fitting, _trimmed(len(within), failed))
        missing = len(fitting) < failed.count or not ends <= {record.sequence for record in fitting}
        return Found(fitting, _filtered(len(fitting), failed) if missing else "")
    if gone:
        return Found((), _trimmed(len(within), failed))
    lane = there[failed.last].lane
    batch = tuple(record for record in fitting if record.lane == lane)
    if len(batch) == failed.count and ends <= {record.sequence for record in batch}:
        return Found(batch)
    return Found(
        (),
        f"the document tells of {failed.count} records, and with the mapping's filter and ParallelizationFactor"
        f" {mapping.stream.lanes} the same range has {len(batch)}: replay with the mapping as it was, or"
        " all of the"
        f" range with --whole-range ({len(fitting)} records)",
    )


def payload_records(failed: FailedBatch) -> tuple[Record, ...] | str:
    """The records of a payload, each as the function had it; or why it cannot be replayed."""
    assert failed.event is not None, "only what S3 has"
    if "window" in failed.event and not _is_final(failed.event):
        return (
            "it is of the middle of a tumbling window, and nobody would take the state that the function returns:"
            " give the payload to `poller invoke --event`, which shows it"
        )
    if failed.count and len(failed.event["Records"]) != failed.count:
        return f"its payload has {len(failed.event['Records'])} records, and it tells of {failed.count}"
    outer, inner = _SEQUENCE_KEYS[failed.kind]
    records: list[Record] = []
    for offset, shown in enumerate(failed.event["Records"]):
        try:
            sequence = str(shown[outer][inner])
        except (KeyError, TypeError):
            return f"record {offset + 1} of the payload has no sequence number"
        records.append(Record(sequence, offset, 0, 0.0, record_size(shown), shown))
    return tuple(records)


def plain_batch(records: tuple[Record, ...], call: WindowCall | None = None) -> StreamBatch:
    """Records that somebody brings together by hand, for a first attempt."""
    return StreamBatch(0, 0, records, BatchTrigger.IMMEDIATE, 0.0, 0, call=call)


def batch_of(failed: FailedBatch, records: tuple[Record, ...]) -> StreamBatch:
    """What the ladder of stream_settle.py judges."""
    call = None
    if failed.event is not None and "window" in failed.event:
        call = WindowCall(0, 0, {}, final=_is_final(failed.event))
    return plain_batch(records, call)


def event_of(failed: FailedBatch, mapping: EventSourceMapping, records: tuple[Record, ...]) -> JsonObject:
    """What the function is called with: a payload as it was, with the records that are left, or the event that a
    mapping of the stream makes. It shares nothing with the records that a function could change (BAT-6).
    """
    if failed.event is None:
        return stream_event(batch_of(failed, records), mapping, failed.shard_id)
    copy: JsonObject = json.loads(serialise({**failed.event, "Records": [record.source for record in records]}))
    return copy


def batches_of(
    failed: FailedBatch, mapping: EventSourceMapping, records: tuple[Record, ...]
) -> tuple[tuple[Record, ...], ...]:
    """The records of the invocations that it takes, in order: what the mapping could have as a batch is not more
    than that (BAT-1, BAT-2). A document may hold more: all of a range, what had expired together (earlier versions
    cut that nowhere), or a batch of when BatchSize was larger. A window's end is one, with whatever it has.
    """
    event = failed.event
    if not records or (event is not None and "window" in event):
        return (records,)
    if event is None:
        overhead = event_overhead(None, mapping, failed.shard_id)
    else:
        overhead = len(serialise({**event, "Records": []}))
    return tuple(in_batches(records, mapping.batch_size, overhead))


def shortened(failed: FailedBatch, left: Sequence[Record]) -> JsonObject:
    """The document of what is left of it, as DST-2 has it; with the payload of just that, where it had one."""
    name = next(name for name, kind in BATCH_INFOS.items() if kind is failed.kind)
    info: JsonObject = {**failed.document[name]}
    info["startSequenceNumber"], info["endSequenceNumber"] = left[0].sequence, left[-1].sequence
    info["batchSize"] = len(left)
    if left[0].arrived_at and failed.event is None:
        seconds = iso_seconds(left[0].arrived_at)
        fraction = f".{int(left[0].arrived_at * 1000) % 1000:03}Z"
        shown = seconds if failed.kind is SourceKind.DYNAMODB else seconds.removesuffix("Z") + fraction
        info["approximateArrivalOfFirstRecord"] = shown
    document = {**failed.document, name: info}
    if failed.event is not None:
        event = {**failed.event, "Records": [record.source for record in left]}
        document["payload"] = serialise(event).decode()
    return document


def once(mapping: EventSourceMapping) -> EventSourceMapping:
    """The mapping for an attempt that somebody watches: whoever replays decides what is tried again, so a failure
    is neither halved nor given up.
    """
    assert mapping.stream is not None, "documents are of streams"
    return replace(mapping, stream=replace(mapping.stream, bisect=False, retries=None))


def _is_final(event: JsonObject) -> bool:
    return event.get("isFinalInvokeForWindow") is True


def _filtered(passing: int, failed: FailedBatch) -> str:
    return (
        f"the mapping's filter lets {passing} records of the range through, and not all of the {failed.count} that"
        " the document tells of"
    )


def _trimmed(there: int, failed: FailedBatch) -> str:
    return (
        f"the stream no longer has all of them: {there} of the range are still there, the document tells of"
        f" {failed.count}"
    )
