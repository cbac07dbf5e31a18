"""`poller dlq`: what is in a dead-letter queue, and its way back to work.

SQS has StartMessageMoveTask, which moves all of a dead-letter queue at up to 500 messages a second, and goes on
when we are gone. It has no filter, no dry run and no limit, says how many failed but not which, takes only a
queue that is the dead-letter queue of another, and is missing from stand-ins. Here each message is sent and then
deleted, which costs a call and a part of two.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from poller.clock import SystemClock
from poller.core.filter import RecordFilter
from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.mapping_arns import parse_source_arn
from poller.core.mapping_shapes import FieldProblem
from poller.core.model import JsonObject, Message, QueueFacts
from poller.core.payload import make_messages
from poller.core.redrive import Fate, came_from, message_to_send
from poller.errors import ConfigurationError, PollerError, SourceError
from poller.operate.borrowed import TEN, Borrowed, undisturbed
from poller.ports import SendingQueue

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
        f"{arn.text} has a RedrivePolicy of its own, and a look is a receive: after {most} of them SQS"
        " moves a message"
        " on. Counts only."
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


@dataclass
class Redriven:
    """What a redrive has done so far, in messages; `problems` has a sentence for each that could not be moved."""

    moved: int = 0
    filtered: int = 0
    foreign: int = 0
    held_back: int = 0
    doubled: int = 0
    """Sent, and still in the dead-letter queue."""
    problems: list[str] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        """All that were received."""
        return self.moved + self.filtered + self.foreign + self.held_back + len(self.problems)

    def to_json(self, *, dry: bool) -> JsonObject:
        """What `--json` prints."""
        counts: JsonObject = {"would_move" if dry else "moved": self.moved}
        return counts | {
            "filtered_out": self.filtered,
            "of_another_source": self.foreign,
            "held_back": self.held_back,
            "sent_but_not_deleted": self.doubled,
            "problems": self.problems,
        }


class Redrive:
    """One run over one dead-letter queue. Sends first, deletes after: a message may be there twice, never not at
    all.
    """

    def __init__(
        self,
        borrowed: Borrowed,
        target: SendingQueue,
        *,
        arn: SourceArn,
        wanted: RecordFilter | None,
        source: str | None,
        dry: bool,
        rate: float | None,
    ) -> None:
        """`arn` is the dead-letter queue; `wanted` tells which messages are to go. With `source` those stay that
        SQS took from another queue. `rate` is messages a second.
        """
        self.counts = Redriven()
        self._borrowed = borrowed
        self._target = target
        self._arn = arn
        self._wanted = wanted
        self._source = source
        self._dry = dry
        self._rate = rate
        self._broken_groups: set[str] = set()
        self._clock = SystemClock()

    async def run(self, most: int | None) -> AsyncIterator[Redriven]:
        """Moves at most so many; tells the counts after every few. Raises SourceError when the queue cannot be
        read.
        """
        while most is None or self.counts.moved + len(self.counts.problems) < most:
            room = TEN if most is None else min(TEN, most - self.counts.moved - len(self.counts.problems))
            if self._rate is not None:
                room = min(room, max(1, int(self._rate)))
            started = self._clock.now().mono
            wires = await self._borrowed.take(room)
            if not wires:
                return
            going = [wire for wire in wires if self._fate(wire) is Fate.SEND]
            if self._dry:
                self.counts.moved += len(going)
            elif going:
                await undisturbed(self._move(going))
            yield self.counts
            if self._rate is not None and going and not self._dry:
                rest = started + len(going) / self._rate - self._clock.now().mono
                await asyncio.sleep(max(0.0, rest))

    def _fate(self, wire: JsonObject) -> Fate:
        if self._source is not None and came_from(wire) not in {None, self._source}:
            self.counts.foreign += 1
            return Fate.FOREIGN
        if self._wanted is not None and not self._wanted.passes_message(event_record(wire, self._arn).record):
            self.counts.filtered += 1
            return Fate.FILTERED
        return Fate.SEND

    async def _move(self, wires: Sequence[JsonObject]) -> None:
        sent = await self._sent_in_order(wires) if self._arn.fifo else await self._sent_at_once(wires)
        if not sent:
            return
        names = [wire["MessageId"] for wire in sent]
        try:
            refused = await self._borrowed.delete(names)
        except SourceError as error:
            refused = dict.fromkeys(names, str(error))
        self.counts.moved += len(names) - len(refused)
        self.counts.doubled += len(refused)
        self.counts.problems += [
            f"{name} was sent and could not be deleted, so it is there twice: {why}"
            for name, why in refused.items()
        ]

    async def _sent_at_once(self, wires: Sequence[JsonObject]) -> list[JsonObject]:
        done = await asyncio.gather(*map(self._send, wires))
        return [wire for wire, well in zip(wires, done, strict=True) if well]

    async def _sent_in_order(self, wires: Sequence[JsonObject]) -> list[JsonObject]:
        """FIFO-1: none goes before an earlier one of its group."""
        sent = []
        for wire in wires:
            group = str((wire.get("Attributes") or {}).get("MessageGroupId"))
            if group in self._broken_groups:
                self.counts.held_back += 1
            elif await self._send(wire):
                sent.append(wire)
            else:
                self._broken_groups.add(group)
        return sent

    async def _send(self, wire: JsonObject) -> bool:
        try:
            await self._target.send(message_to_send(wire, fifo=self._arn.fifo))
        except PollerError as error:
            self.counts.problems.append(f"{wire['MessageId']} stays: {error}")
            return False
        return True


def event_record(wire: JsonObject, arn: SourceArn, *, null_md5: bool = False) -> Message:
    """The message as a function and a filter would see it; `null_md5` as in core/payload.py."""
    (message,) = make_messages([wire], arn, null_md5=null_md5, lease_until=0.0, received_at=0.0)
    return message


def check_target(dead: SourceArn, target: SourceArn) -> None:
    """Raises ConfigurationError for a way that no message can go."""
    if dead.text == target.text:
        raise ConfigurationError(f"{dead.text} is the queue that the messages are in: name another with --to.")
    if dead.fifo != target.fifo:
        raise ConfigurationError(
            f"{dead.text} and {target.text} are of two kinds: from FIFO to FIFO and from standard to"
            " standard only,"
            " because a group and an order cannot be made up, nor kept."
        )


def _seconds(milliseconds: Any) -> float | None:
    try:
        return int(milliseconds) / 1000
    except (TypeError, ValueError):
        return None
