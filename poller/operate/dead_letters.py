"""Which dead-letter queues mappings have, and what `poller dlq ls` tells of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import JsonObject, QueueFacts, SourceProblem
from poller.errors import ConfigurationError, SourceError
from poller.operate.borrowed import Tell, borrowing
from poller.operate.dlq import VISIBILITY, dead_letter_arn, peek, refuse_to_peek, told_message
from poller.ports import SendingQueue
from poller.sources import Sources


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """A queue to look at, and the mapping that it was found by, if it was."""

    arn: SourceArn
    queue: SendingQueue
    facts: QueueFacts
    mapping: EventSourceMapping | None


@dataclass(frozen=True, slots=True)
class NotSeen:
    """That of a mapping, and why it cannot be asked; `arn` is None where already its source cannot, which names
    it.
    """

    arn: SourceArn | None
    why: str
    mapping: EventSourceMapping


async def dead_letter_queue(
    sources: Sources, mapping: EventSourceMapping, arn: SourceArn | None = None
) -> DeadLetterQueue:
    """`arn`, or else what the RedrivePolicy of the mapping's source names. Raises SourceError, and
    ConfigurationError when there is none.
    """
    _, source = await sources.queue(mapping)
    place = arn or dead_letter_arn(mapping, source)
    queue, facts = await sources.queue_at(place)
    return DeadLetterQueue(place, queue, facts, mapping)


async def all_dead_letter_queues(
    sources: Sources, mappings: Sequence[EventSourceMapping]
) -> list[DeadLetterQueue | NotSeen]:
    """Each that these mappings of queues have, once. One that is gone or denied hides no other.

    Where a region does not answer, it is waited for once. Raises SourceError for credentials: they would be good
    for none, and ConfigurationError for an endpoint that cannot be used.
    """
    found: dict[str, DeadLetterQueue | NotSeen] = {}
    away: dict[str, str] = {}
    for mapping in mappings:
        arn, region = None, mapping.arn.region
        if region in away:
            found[mapping.uuid] = NotSeen(None, away[region], mapping)
            continue
        try:
            _, source = await sources.queue(mapping)
            if not source.redrive:
                continue
            try:
                arn = dead_letter_arn(mapping, source)
            except ConfigurationError as error:  # what stands in that queue's policy, which AWS would have refused
                found[mapping.uuid] = NotSeen(None, str(error), mapping)
                continue
            if arn.text not in found:
                queue, facts = await sources.queue_at(arn)
                found[arn.text] = DeadLetterQueue(arn, queue, facts, mapping)
        except SourceError as error:
            if error.problem is SourceProblem.CREDENTIALS:
                raise
            if error.problem is SourceProblem.UNREACHABLE:
                away[region] = str(error)
            found[mapping.uuid if arn is None else arn.text] = NotSeen(arn, str(error), mapping)
    return list(found.values())


async def told_queue(one: DeadLetterQueue | NotSeen, most: int, now: float, tell: Tell) -> JsonObject:
    """A queue with its first `most` messages, for `ls`; `now` is in epoch seconds. `note` is why its messages are
    better not looked at, `problem` why they or the queue could not be: then a count is None where nobody told it.
    """
    row: JsonObject = {
        "queue": one.arn and one.arn.text,
        "mapping": one.mapping and one.mapping.name,
        "visible": None,
        "in_flight": None,
        "delayed": None,
        "note": None,
        "problem": None,
        "messages": [],
    }
    match one:
        case NotSeen():
            row["problem"] = one.why
        case DeadLetterQueue():
            row |= {name: getattr(one.facts, name) for name in ("visible", "in_flight", "delayed")}
            if not most:
                return row
            if why := refuse_to_peek(one.arn, one.facts):
                return row | {"note": f"{why}. Counts only."}
            try:
                async with borrowing(one.queue, VISIBILITY, tell) as borrowed:
                    async for wire in peek(borrowed, most):
                        row["messages"].append(told_message(wire, now))
            except SourceError as error:
                row["problem"] = str(error)
        case _:
            assert_never(one)
    return row
