"""`poller invoke`: some records of a mapping's source, or an event of a file, to its handler, once.

What the answer would mean to the daemon is told; done is none of it, unless messages are to be acknowledged. The
position of a stream is never moved: it says that everything before it is resolved, which one invocation cannot
know, and it belongs to the daemon, whose lanes and retries are counted from it. `poller checkpoint set` moves
it.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, assert_never

from poller.clock import SystemClock
from poller.config import Configuration
from poller.core.batcher import in_batches
from poller.core.filter import make_filter
from poller.core.leases import position_of
from poller.core.mapping import EventSourceMapping
from poller.core.model import (
    Batch,
    BatchTrigger,
    FunctionError,
    InvocationResult,
    JsonObject,
    Message,
    NotInvoked,
    SourceKind,
    Succeeded,
    Throttled,
)  # fmt: skip
from poller.core.pace import Pace
from poller.core.payload import EVENT_LIMIT, event_size, queue_event
from poller.core.records import SHARD_END, TRIM_HORIZON, Position, Record
from poller.core.replay import once, plain_batch
from poller.core.settle import Ack, settle_queue
from poller.core.stream_payload import event_overhead, make_records, stream_event
from poller.core.stream_settle import Ack as Resolved
from poller.core.stream_settle import settle_stream
from poller.errors import ConfigurationError, StoreError
from poller.operate.borrowed import TEN, Borrowed
from poller.operate.calling import Called, told
from poller.operate.dlq import event_record
from poller.ports import StreamSource
from poller.store.sqlite_file import read_rows

MARGIN: Final = 60  # seconds beyond the handler's timeout for which messages are ours
_MOST_HELD: Final = 43_200  # SQS: 12 hours
_READ_DEADLINE: Final = 10.0
_MOST_PAGES: Final = 50  # of a shard: empty ones may stand before records (STR-26)
MOST_PASSED_OVER: Final = 100  # messages that are taken from their consumers to find those that pass the filters


@dataclass(frozen=True, slots=True)
class Judged:
    """What an invocation came to: the word of the metrics, the ids that are done and those that are not, and
    why.
    """

    outcome: str
    done: tuple[str, ...]
    failed: tuple[str, ...]
    detail: str


def visibility(mapping: EventSourceMapping) -> int:
    """Seconds for which messages are hidden from others: until the handler must have answered."""
    return min(math.ceil(mapping.handler.timeout) + MARGIN, _MOST_HELD)


def check_count(mapping: EventSourceMapping, count: int) -> None:
    """Raises ConfigurationError for more than an invocation of the mapping can have."""
    if count > mapping.batch_size:
        raise ConfigurationError(
            f"--n {count}: an invocation of {mapping.name!r} has at most {mapping.batch_size} records (BatchSize)."
        )


async def take_messages(borrowed: Borrowed, mapping: EventSourceMapping, count: int) -> tuple[list[Message], int]:
    """At most so many that pass the mapping's filters and fit in one event; and how many did not pass. Those wait
    with the others until they are given back: the daemon would delete them (FLT-40), a trial does not. So after a
    hundred of them it is enough.
    """
    wanted = make_filter(mapping.filters, SourceKind.SQS)
    messages: list[Message] = []
    passed_over = 0
    while len(messages) < count and passed_over < MOST_PASSED_OVER:
        wires = await borrowed.take(min(TEN, count - len(messages)))
        if not wires:
            break
        for message in (event_record(wire, mapping.arn, null_md5=mapping.window > 0) for wire in wires):
            if not wanted.passes_message(message.record):
                passed_over += 1
            elif event_size([*(one.size for one in messages), message.size]) > EVENT_LIMIT:
                return messages, passed_over
            else:
                messages.append(message)
    return messages, passed_over


async def read_records(
    stream: StreamSource, mapping: EventSourceMapping, count: int, starts: dict[str, Position], shard: str | None
) -> tuple[str, list[Record]]:
    """Up to so many records of one shard that pass the filters: of `shard`, or of the first one that has any,
    each from its place in `starts` or else from its oldest record. What the daemon is done with is read only when
    `shard` says so. Raises SourceError, and ConfigurationError for a shard that the stream does not have.
    """
    await stream.describe()
    ids = [one.id for one in (await stream.list_shards()).shards]
    if shard is not None and shard not in ids:
        raise ConfigurationError(
            f"--shard: {mapping.arn.text} has no shard {shard!r}; it has {', '.join(ids[:8])}."
        )
    wanted = make_filter(mapping.filters, mapping.source)
    for shard_id in [shard] if shard is not None else ids:
        start = starts.get(shard_id, TRIM_HORIZON)
        if start == SHARD_END:
            if shard is None:
                continue
            start = TRIM_HORIZON
        found: list[Record] = []
        size = 0
        async for record in _read(stream, mapping, shard_id, start, min(1_000, max(count, 100))):
            if wanted.passes_record(record, mapping.arn, shard_id):
                found.append(record)
                size += record.size
            if len(found) == count or size > EVENT_LIMIT:
                break
        if found:
            overhead = event_overhead(None, mapping, shard_id)
            return shard_id, list(next(in_batches(found, mapping.batch_size, overhead)))
    return shard or "", []


async def _read(
    stream: StreamSource, mapping: EventSourceMapping, shard_id: str, start: Position, most: int
) -> AsyncIterator[Record]:
    """The records of a shard, at most so many a read, until there are no more for now; at the pace of a mapping,
    because the shard has other readers.
    """
    clock, pace = SystemClock(), Pace(mapping.source, Random())  # noqa: S311 - jitter, not a secret
    iterator: str | None = await stream.iterator(shard_id, start, _READ_DEADLINE)
    for _ in range(_MOST_PAGES):
        await asyncio.sleep(max(0.0, pace.due - clock.now().mono))
        pace.started(clock.now().mono)
        assert iterator is not None, "else there is nothing behind it"
        page = await stream.records(shard_id, iterator, most, _READ_DEADLINE)
        for record in make_records(page.records, mapping, shard_id, 0):
            yield record
        iterator = page.iterator
        if iterator is None or (not page.records and not page.behind):
            return
        pace.ended(behind=True, size=page.size)


def stored_places(configuration: Configuration, mapping: EventSourceMapping) -> dict[str, Position]:
    """Where the daemon goes on in each shard, as far as its state file tells; also while it runs."""
    state = configuration.settings.state
    if not state.lasting:
        return {}
    try:
        rows = read_rows(state.path, [mapping.uuid])[mapping.uuid]
    except StoreError:
        return {}  # no daemon has worked on it yet
    places: dict[str, Position] = {}
    for row in rows:
        try:
            if row.checkpoint.isdecimal() or row.checkpoint == SHARD_END.kind:
                places[row.key] = position_of(row)
        except ValueError:
            continue  # `poller checkpoint show` tells of it
    return places


def judge_messages(messages: Sequence[Message], called: Called, mapping: EventSourceMapping) -> Judged:
    """By the rules of settle.py: what the daemon would delete."""
    batch = Batch(0, tuple(messages), BatchTrigger.IMMEDIATE, 0.0, 0, math.inf)
    verdict = settle_queue(batch, called.result, mapping, 0.0, Random(0))  # noqa: S311 - jitter, not a secret
    acks = [one.messages for one in verdict.dispositions if isinstance(one, Ack)]
    done = tuple(message.id for some in acks for message in some)
    failed = tuple(message.id for message in messages if message.id not in set(done))
    return Judged(verdict.outcome.value, done, failed, verdict.detail or told(called.result))


def judge_records(records: Sequence[Record], called: Called, mapping: EventSourceMapping) -> Judged:
    """By the ladder of stream_settle.py: how far the daemon's position would go."""
    batch = plain_batch(tuple(records))
    verdict = settle_stream(batch, called.result, once(mapping), 0.0, Random(0))  # noqa: S311 - as above
    resolved = [one.records for one in verdict.dispositions if isinstance(one, Resolved)]
    done = tuple(record.sequence for some in resolved for record in some)
    failed = tuple(record.sequence for record in records[len(done) :])
    return Judged(verdict.outcome.value, done, failed, verdict.detail or told(called.result))


def judge_event(event: JsonObject, called: Called, mapping: EventSourceMapping) -> Judged:
    """The same for an event of a file, by the ids of its records; one without records has none."""
    shown = event.get("Records")
    records = [one for one in shown if isinstance(one, dict)] if isinstance(shown, list) else []
    if mapping.source is SourceKind.SQS:
        messages = [Message(str(one.get("messageId")), "", None, 1, 0.0, 0, math.inf, one) for one in records]
        return judge_messages(messages, called, mapping)
    level, key = (
        ("kinesis", "sequenceNumber") if mapping.source is SourceKind.KINESIS else ("dynamodb", "SequenceNumber")
    )
    numbered = [Record(_number(one, level, key), place, 0, 0.0, 0, one) for place, one in enumerate(records)]
    return judge_records(numbered, called, mapping)


def event_of_messages(messages: Sequence[Message]) -> JsonObject:
    """What the function is called with (SQS-40)."""
    return queue_event([message.record for message in messages])


def event_of_records(records: Sequence[Record], mapping: EventSourceMapping, shard_id: str) -> JsonObject:
    """What the function is called with, without the fields of a tumbling window: nothing knows its state here."""
    return stream_event(plain_batch(tuple(records)), mapping, shard_id)


def to_json(called: Called, judged: Judged, count: int, acknowledged: Sequence[str]) -> JsonObject:
    """What `--json` prints."""
    return {
        "result": _class_of(called.result),
        "seconds": round(called.seconds, 6),
        "request_id": called.request_id,
        "response": response_of(called.result),
        "outcome": judged.outcome,
        "detail": judged.detail,
        "records": count,
        "would_be_done": list(judged.done),
        "would_be_tried_again": list(judged.failed),
        "acknowledged": list(acknowledged),
    }


def response_of(result: InvocationResult) -> Any:
    """What the function returned: as values where it is JSON, else as text; None where it returned nothing."""
    if not isinstance(result, Succeeded):
        return None
    try:
        return json.loads(result.payload, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return result.payload.decode("utf-8", "replace")


def received_too_often(messages: Sequence[Message], most: object) -> int:
    """How many of them the queue moves to its dead-letter queue at the next receive, because this was one."""
    if not isinstance(most, int | str) or not str(most).isdecimal():
        return 0
    return sum(message.receive_count >= int(most) for message in messages)


def _class_of(result: InvocationResult) -> str:
    match result:
        case Succeeded():
            return "succeeded"
        case FunctionError():
            return "function_error"
        case Throttled():
            return "throttled"
        case NotInvoked():
            return "not_invoked"
        case _:
            assert_never(result)


def _no_json(word: str) -> None:
    raise ValueError(word)  # NaN, Infinity: Python takes them, whoever reads our JSON does not


def _number(record: JsonObject, level: str, key: str) -> str:
    inner = record.get(level)
    return str(inner.get(key)) if isinstance(inner, dict) else ""
