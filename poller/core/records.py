"""The nouns of streams: records, their batches, positions, what is remembered of a shard, what was given up.

Queues have theirs in model.py. Only data that more than one room needs belongs here; a decision never does.
"""

from typing import NamedTuple

from poller.core.fact import Word, fact
from poller.core.model import BatchTrigger, InvocationResult, JsonObject


class Record(NamedTuple):
    """One record of a shard in our hands: a tuple, because one is made for each record read.

    `sequence` is the sequence number as the source wrote it, decimal digits: compared by `sequence_value` only
    (STR-28). `offset` counts the records of this shard in the order of reading, from 0 at each start. `lane` is
    where it is kept in order (STR-40). `arrived_at` is epoch seconds, `size` the exact bytes that it has in the
    serialised event. `source` is what stream_payload.py makes that of, at each invocation anew.
    """

    sequence: str
    offset: int
    lane: int
    arrived_at: float
    size: int
    source: JsonObject


def sequence_value(sequence: str) -> int:
    """What sequence numbers are compared by (STR-28). Raises ValueError for what is none."""
    return int(sequence)


# --- positions ---


class PositionKind(Word):
    """Where in a shard reading goes on; the values are those of the APIs and of KCL's rows."""

    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"
    AT_TIMESTAMP = "AT_TIMESTAMP"
    AFTER = "AFTER_SEQUENCE_NUMBER"
    AT = "AT_SEQUENCE_NUMBER"
    SHARD_END = "SHARD_END"


@fact
class Position:
    """A place in a shard. `sequence` is for AFTER (everything up to it is resolved, STR-30) and for AT, which
    begins with that record and is nobody's checkpoint, `timestamp`, in epoch seconds, for AT_TIMESTAMP, and for
    LATEST the moment at which it was pinned (STR-11): a restart goes on from there.
    """

    kind: PositionKind
    sequence: str = ""
    timestamp: float = 0.0


TRIM_HORIZON = Position(PositionKind.TRIM_HORIZON)
SHARD_END = Position(PositionKind.SHARD_END)


def after(sequence: str) -> Position:
    """Everything up to this record is resolved."""
    return Position(PositionKind.AFTER, sequence)


@fact
class Head:
    """What is remembered of the failing batch at the head of a lane, so that a restart neither forgets its
    attempts nor forms it anew (BAT-6, ERR-5): the sequence numbers of its first and last record, how many records
    it has on this lane, its attempts that reached the function and failed, those that a process did not live to
    see the end of, and the epoch second of the first failure.
    `running`: an attempt had begun when this was written.
    """

    lane: int
    first: str
    last: str
    count: int
    attempts: int
    interrupted: int
    failed_at: float | None
    running: bool


@fact
class WindowState:
    """The open tumbling window of a shard (TMB-1, TMB-12): epoch seconds, and the state that the last invocation
    returned. `last_arrival` is the arrival of its newest record, epoch seconds.
    """

    start: int
    end: int
    state: JsonObject
    last_arrival: float


@fact
class Progress:
    """All that is remembered of a shard between two runs, written in one piece. `lanes` is how many lanes there
    were when the rest was written: with another number the same key is in another lane (STR-43). `starts` has,
    for each of several lanes, and for a single one while the position is a time (STR-11), the sequence number from
    which on its records are not resolved: what it had finished beyond the position is not done again (STR-42).
    """

    position: Position
    heads: tuple[Head, ...] = ()
    window: WindowState | None = None
    lanes: int = 0
    starts: tuple[str, ...] = ()


# --- batches ---


@fact
class WindowCall:
    """What a tumbling window adds to an invocation (TMB-2); `start` and `end` are epoch seconds."""

    start: int
    end: int
    state: JsonObject
    final: bool = False
    early: bool = False


@fact
class StreamBatch:
    """Records of one lane that travel to the handler together; once formed it may shrink, never grow (BAT-6).

    `attempts` counts its invocations that reached the function and failed (ERR-5), `not_reached` those in a row
    that did not (ERR-1), `interrupted` those that an earlier process began and did not see the end of.
    `failed_at` is the epoch second of its first failure. `opened_at` is the monotonic second at which its first
    record was buffered. `size` is the bytes of the serialised event. With a tumbling window `call` says how it is
    invoked; the final invocation of a window has no records (TMB-8).
    """

    number: int
    lane: int
    records: tuple[Record, ...]
    trigger: BatchTrigger
    opened_at: float
    size: int
    attempts: int = 0
    not_reached: int = 0
    interrupted: int = 0
    failed_at: float | None = None
    call: WindowCall | None = None


class DiscardReason(Word):
    """Why records were given up, in the words of the failure document (DST-4)."""

    RETRIES = "RetryAttemptsExhausted"
    AGE = "RecordAgeExceeded"


@fact
class Discard:
    """Records that are given up, before the position may pass them (ERR-33).

    `batch` has just these records. `invocations` is how often this very batch was invoked (DST-8 makes 0 a 1).
    `result` is what the last invocation came to; None where there was none, or where the document says nothing of
    it (DST-7). `at` is epoch seconds. `request_id` is that of the last invocation, empty without one. `oversize`:
    it was given up because its event is larger than an invocation may be (ERR-8).
    """

    number: int
    batch: StreamBatch
    reason: DiscardReason
    at: float
    invocations: int
    result: InvocationResult | None = None
    request_id: str = ""
    oversize: bool = False


# --- shards ---


@fact
class Shard:
    """A shard as the source lists it. `parents`: one, for a Kinesis merge two, none for the oldest. Sequence
    numbers are as the source wrote them, `ending` None while it is open; the hash range is Kinesis's (decimal).
    """

    id: str
    parents: tuple[str, ...] = ()
    starting: str = ""
    ending: str | None = None
    hash_start: str = ""
    hash_end: str = ""


@fact
class StreamFacts:
    """What describing a stream told. `reading`: it can be read now; `status` is the service's word (ACTIVE,
    ENABLED, DISABLED, ...). `retention` is seconds.
    """

    status: str
    reading: bool
    retention: float


@fact
class Listing:
    """Shards of a stream, in the order of the source. `complete`: all that it has, not only those after some.
    `told_at` is the service's own time (its Date header), epoch seconds: what LATEST is pinned by (STR-11).
    """

    shards: tuple[Shard, ...]
    complete: bool
    told_at: float

    def shows_open(self, shard_id: str) -> bool:
        """Whether it lists this shard, and neither an end nor a child of it."""
        return any(shard.id == shard_id and shard.ending is None for shard in self.shards) and not any(
            shard_id in shard.parents for shard in self.shards
        )


@fact
class Page:
    """One GetRecords: records in wire form, the next iterator (None: the shard has ended, STR-4), seconds behind
    the newest record where the source tells, bytes of the answer, and the children that the end names.
    """

    records: list[JsonObject]
    iterator: str | None
    behind: float | None
    size: int
    children: tuple[Shard, ...] = ()


@fact
class ShardGauges:
    """How one shard's machine stands right now; read at scrape time, never kept up to date for its own sake.

    `behind` is seconds behind the newest record (Kinesis tells, else None). `iterator_age` is the age, in seconds,
    that the last record handed to the function had then, or, while nothing is left to hand over, the last one
    read; 0 when caught up and idle. `blocked_since`, `oldest_pending_since` and `invoking_since` are monotonic
    seconds: since when the head batch has been failing, the arrival in our hands of the oldest unresolved record,
    the start of the oldest running invocation.
    """

    buffered: int
    buffered_bytes: int
    in_flight_batches: int
    in_flight_records: int
    behind: float | None
    iterator_age: float
    blocked_since: float | None
    oldest_pending_since: float | None
    invoking_since: float | None
    polling: bool
