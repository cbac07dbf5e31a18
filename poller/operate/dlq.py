"""What is in a dead-letter queue, or in another that somebody looks at. Its way back to work is redrive.py's."""

from collections.abc import AsyncIterator
from typing import Any, Final

from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.mapping_arns import parse_source_arn
from poller.core.mapping_shapes import FieldProblem
from poller.core.model import JsonObject, Message, QueueFacts
from poller.core.payload import make_messages
from poller.core.redrive import came_from
from poller.errors import ConfigurationError
from poller.operate.borrowed import TEN, Borrowed

VISIBILITY: Final = 120  # seconds that a look or a redrive hides a message for, at most
MOST_LOOKED_AT: Final = 10_000  # messages that `show` hides at once to find one


def dead_letter_arn(mapping: EventSourceMapping, facts: QueueFacts) -> SourceArn:
    """The queue that the source's RedrivePolicy names. Raises ConfigurationError when there is none."""
    target = (facts.redrive or {}).get("deadLetterTargetArn")
    if not isinstance(target, str):
        raise ConfigurationError(
            f"The queue of the mapping {mapping.name!r}, {mapping.arn.text}, has no RedrivePolicy, so no"
            " dead-letter"
            " queue: name a queue with --queue."
        )
    return queue_arn(target, "RedrivePolicy")


def queue_arn(text: str, option: str) -> SourceArn:
    """The ARN of a queue. Raises ConfigurationError for anything else."""
    parts = parse_source_arn(text)
    if isinstance(parts, FieldProblem):
        raise ConfigurationError(f"{option}: {parts.detail}")
    arn = SourceArn(text, *parts[1:])
    if ":sqs:" not in text:
        raise ConfigurationError(f"{option}: {text} is not a queue: write arn:aws:sqs:<region>:<account>:<queue>.")
    return arn


def refuse_to_peek(arn: SourceArn, facts: QueueFacts) -> str:
    """Why its messages are better not received, empty when nothing speaks against it."""
    if not facts.redrive:
        return ""
    most = facts.redrive.get("maxReceiveCount")
    return (
        f"{arn.text} has a RedrivePolicy of its own, and a look is a receive: after {most} of them SQS moves a"
        " message on"
    )


def told_message(wire: JsonObject, now: float) -> JsonObject:
    """A message in short, for `ls`: times in seconds, without its body."""
    attributes = wire.get("Attributes") or {}
    body = str(wire.get("Body", ""))
    sent = _seconds(attributes.get("SentTimestamp"))
    return {
        "id": wire["MessageId"],
        "age_seconds": None if sent is None else round(max(0.0, now - sent), 3),
        "receive_count": int(attributes.get("ApproximateReceiveCount") or 1),
        "bytes": len(body.encode("utf-8", "surrogatepass")),
        "group": attributes.get("MessageGroupId"),
        "came_from": came_from(wire),
    }


def whole_message(wire: JsonObject) -> JsonObject:
    """A message as SQS has it, but for the receipt, which is nobody else's."""
    return {name: value for name, value in wire.items() if name != "ReceiptHandle"}


async def peek(borrowed: Borrowed, most: int) -> AsyncIterator[JsonObject]:
    """At most so many messages, each once; they are held until the borrowing ends, or the queue would bring the
    same ones again.
    """
    told = 0
    while told < most and (wires := await borrowed.take(min(TEN, most - told))):
        for wire in wires:
            yield wire
        told += len(wires)


def event_record(wire: JsonObject, arn: SourceArn, *, null_md5: bool = False) -> Message:
    """The message as a function and a filter would see it; `null_md5` as in core/payload.py."""
    (message,) = make_messages([wire], arn, null_md5=null_md5, lease_until=0.0, received_at=0.0)
    return message


def _seconds(milliseconds: Any) -> float | None:
    try:
        return int(milliseconds) / 1000
    except (TypeError, ValueError):
        return None
