"""What AWS says of a mapping before it runs, of its source, destination and function: the looks of
`poller check --online`.

Each look ends in remarks. Nothing is changed; a stream is read once, as only that tells whether it may be read.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from poller.core.mapping import EventSourceMapping, StreamSettings, visibility_conflict
from poller.core.model import QueueFacts, SourceKind, SourceProblem
from poller.core.records import Listing, Position, PositionKind, StreamFacts
from poller.errors import ConfigurationError, DestinationError, SourceError
from poller.ports import Destination, QueueSource, StreamSource

READ_DEADLINE: Final = 10.0  # seconds
_ADVISED_RECEIVES = 5
_NO_QUEUE = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    " SQS Error Message: The specified queue does not exist."
)
_NO_PERMISSION = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
# Others read it too (STR-21), or it goes on without us: it may be read, and that was the question.
_MAY_BE_READ = frozenset(
    {SourceProblem.THROTTLED, SourceProblem.EXPIRED, SourceProblem.TRIMMED, SourceProblem.MISSING}
)

Level: TypeAlias = Literal["error", "warning", "info"]


class Remark(NamedTuple):
    """One thing to tell; `info` is no reason to do anything."""

    level: Level
    sentence: str


class Sources(Protocol):
    """How what a mapping names is opened; raises SourceError and ConfigurationError, and DestinationError."""

    async def queue(self, mapping: EventSourceMapping) -> tuple[QueueSource, QueueFacts]:
        """The queue, and what it tells of itself."""
        ...

    def stream(self, mapping: EventSourceMapping) -> StreamSource:
        """The stream."""
        ...

    async def destination(self, mapping: EventSourceMapping) -> Destination | None:
        """What takes the mapping's failure documents, if it names something."""
        ...

    async def function(self, mapping: EventSourceMapping) -> "list[Remark]":
        """What Lambda says of the mapping's function, if it is Lambda's (CFG-38)."""
        ...


async def look(mapping: EventSourceMapping, sources: Sources) -> list[Remark]:
    """Everything about one mapping; what was found before an error is told too."""
    found: list[Remark] = []
    for part in (_queue, _function) if mapping.stream is None else (_stream, _destination, _function):
        try:
            async for remark in part(mapping, sources):
                found.append(remark)  # noqa: PERF401 - a comprehension would lose all of them with the error
        except SourceError as error:
            found.append(Remark("error", _refusal(mapping, error)))
        except ConfigurationError as error:
            found += [Remark("error", line) for line in str(error).splitlines()]
    return found


def _refusal(mapping: EventSourceMapping, error: SourceError) -> str:
    """AWS's sentence first where it has one; the adapter may have put it there already."""
    text, arn = str(error), mapping.arn.text
    match error.problem:
        case SourceProblem.MISSING:
            known = _NO_QUEUE if mapping.stream is None else f"Stream not found: {arn}"
        case SourceProblem.DENIED:
            known = _NO_PERMISSION if mapping.stream is None else f"Cannot access stream {arn}"
        case _:
            return text
    return text if known in text else f"{known.removesuffix('.')}. {text}"


async def _function(mapping: EventSourceMapping, sources: Sources) -> AsyncIterator[Remark]:
    for remark in await sources.function(mapping):
        yield remark


# --- queues ---


async def _queue(mapping: EventSourceMapping, sources: Sources) -> AsyncIterator[Remark]:
    """CFG-40, CFG-42, CFG-44, and advice on the redrive policy."""
    _, facts = await sources.queue(mapping)
    conflict = visibility_conflict(facts.visibility_timeout, mapping)
    if conflict is not None:
        advice = "raise the queue's visibility timeout, lower Handler.TimeoutInSeconds, or set Poller.Heartbeat"
        yield Remark("error", f"{conflict}; {advice}.")
    for text in _queue_advice(mapping, facts):
        yield Remark("warning", text)


def _queue_advice(mapping: EventSourceMapping, facts: QueueFacts) -> Iterator[str]:
    """What will surprise the owner of this queue one day (SQS-25, FIFO-11)."""
    queue = mapping.arn.name
    if facts.redrive is None:
        yield (
            f"queue {queue} has no redrive policy: a message that always fails comes back until its retention"
            " ends; give the queue a dead-letter queue."
        )
        return
    receives = _max_receives(facts.redrive)
    if receives is None:
        yield f"the redrive policy of queue {queue} has no maxReceiveCount that can be read."
    elif receives < _ADVISED_RECEIVES:
        yield (
            f"queue {queue} moves messages to its dead-letter queue after {receives} receives; AWS advises"
            f" {_ADVISED_RECEIVES} or more, because throttled and interrupted batches count too."
        )
    if mapping.arn.fifo:
        yield (
            f"queue {queue} is FIFO and has a dead-letter queue: later messages of a group go on without those"
            " that were moved there, so the order of the group is broken at that point."
        )


def _max_receives(redrive: Mapping[str, Any]) -> int | None:
    """Some servers write it as text."""
    try:
        return int(redrive["maxReceiveCount"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


# --- streams ---


async def _stream(mapping: EventSourceMapping, sources: Sources) -> AsyncIterator[Remark]:
    """CFG-41, CFG-43, and what its status, retention and shards mean for the mapping."""
    assert mapping.stream is not None, "a queue has no shards"
    stream = sources.stream(mapping)
    facts = await stream.describe()
    for text in _stream_advice(mapping, mapping.stream, facts):
        yield Remark("warning", text)
    if not facts.reading:
        text = f"stream {mapping.arn.name} is {facts.status} and cannot be read now"
        known = {"DELETING": Remark("error", f"{text}.")}
        yield known.get(facts.status, Remark("warning", f"{text}; `poller run` waits for it."))
        return
    listing = await stream.list_shards()
    yield Remark("info", _concurrency(mapping, mapping.stream, listing))
    await _read_once(stream, listing)


async def _read_once(stream: StreamSource, listing: Listing) -> None:
    """Whether GetShardIterator and GetRecords are allowed, as AWS finds out when a mapping is made (IAM-2, IAM-4).

    Raises SourceError. What one read brings stays in the stream.
    """
    if not listing.shards:
        return
    shard = next((shard for shard in listing.shards if shard.ending is None), listing.shards[-1])
    kind = PositionKind.LATEST if shard.ending is None else PositionKind.TRIM_HORIZON
    try:
        iterator = await stream.iterator(shard.id, Position(kind), READ_DEADLINE)
        await stream.records(shard.id, iterator, 1, READ_DEADLINE)
    except SourceError as error:
        if error.problem not in _MAY_BE_READ:
            raise


def _stream_advice(mapping: EventSourceMapping, settings: StreamSettings, facts: StreamFacts) -> Iterator[str]:
    """What will surprise the owner of this stream one day (DDB-7, DDB-9, SUR-3, ERR-31)."""
    name, age, kept = mapping.arn.name, settings.maximum_age, facts.retention
    if mapping.source is SourceKind.DYNAMODB and facts.status in {"DISABLING", "DISABLED"}:
        yield (
            f"the stream of table {name} is {facts.status} and runs dry: what it has can be read for a day, and"
            " nothing new comes; if the table's stream was switched on again, that is another one: name its"
            " LatestStreamArn."
        )
    if age is not None and age > kept:
        yield (
            f"MaximumRecordAgeInSeconds {age:g} has no effect: stream {name} keeps its records for {kept:g}"
            " seconds."
        )
    if age is None and settings.retries is None:
        yield (
            "neither MaximumRetryAttempts nor MaximumRecordAgeInSeconds is set: a record that always fails holds"
            f" up its shard until the stream drops it, which is after {kept / 3600:g} hours."
        )
    elif settings.destination is None:
        yield (
            "records that are given up leave a line in the log and nothing else; name a"
            " DestinationConfig.OnFailure.Destination that takes their failure documents."
        )


def _concurrency(mapping: EventSourceMapping, settings: StreamSettings, listing: Listing) -> str:
    """STR-41."""
    shards = sum(shard.ending is None for shard in listing.shards)
    most, cap = shards * settings.lanes, mapping.handler.concurrency
    told = (
        f"stream {mapping.arn.name} has {_many(shards, 'open shard')}, ParallelizationFactor is {settings.lanes}"
    )
    if cap < most:
        return f"{told}: {most} batches could run at once, Handler.Concurrency allows {cap}."
    return f"{told}: up to {_many(most, 'batch', 'batches')} at once."


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


async def _destination(mapping: EventSourceMapping, sources: Sources) -> AsyncIterator[Remark]:
    """DST-31: whether failure documents have somewhere to go. A topic or bucket is not looked for."""
    try:
        await sources.destination(mapping)
    except (SourceError, DestinationError) as error:
        yield Remark("error", str(error))
