"""`poller dlq redrive`: the way of a dead-letter queue's messages back to work.

SQS has StartMessageMoveTask, which moves all of a dead-letter queue at up to 500 messages a second, and goes on
when we are gone. It has no filter, no dry run and no limit, says how many failed but not which, takes only a
queue that is the dead-letter queue of another, and is missing from stand-ins. Here each message is sent and then
deleted, which costs a call and a part of two.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from poller.clock import SystemClock
from poller.core.filter import RecordFilter
from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, QueueFacts, SourceProblem
from poller.core.redrive import Fate, came_from, group_of, message_to_send
from poller.errors import ConfigurationError, SourceError
from poller.operate.borrowed import TEN, Borrowed, undisturbed
from poller.operate.dlq import event_record
from poller.ports import SendingQueue


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


def unseen(counts: Redriven, facts: QueueFacts, arn: SourceArn) -> str:
    """What a run that ended by itself has not come to, by the queue's own count before it (SQS calls it
    approximate); empty when that is nothing.
    """
    rest = facts.visible - counts.looked_at
    if rest <= 0:
        return ""
    return (
        f"About {rest} more message{'s' * (rest != 1)} of {arn.text} could not be looked at: what others hold is"
        " not shown, nor, on a FIFO queue, what is behind a message that stays."
    )


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
        self._deaf = False  # the target takes nothing, whatever it is
        self._clock = SystemClock()

    async def run(self, most: int | None) -> AsyncIterator[Redriven]:
        """Moves at most so many; tells the counts after every few. What comes back because its handler failed
        again is not moved a second time. Ends early when the target takes none of several, and not because of what
        they are. Raises SourceError when the queue cannot be read.
        """
        while not self._deaf and (most is None or self.counts.moved + len(self.counts.problems) < most):
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
        """FIFO-1: none goes before an earlier one of its group."""
        if self._source is not None and came_from(wire) not in {None, self._source}:
            self.counts.foreign += 1
            return Fate.FOREIGN
        if self._wanted is not None and not self._wanted.passes_message(event_record(wire, self._arn).record):
            self.counts.filtered += 1
            self._break_group(wire)
            return Fate.FILTERED
        if self._arn.fifo and group_of(wire) in self._broken_groups:
            self.counts.held_back += 1
            return Fate.HELD_BACK
        return Fate.SEND

    def _break_group(self, wire: JsonObject) -> None:
        if self._arn.fifo:
            self._broken_groups.add(group_of(wire))

    async def _move(self, wires: Sequence[JsonObject]) -> None:
        sent = await self._sent_in_order(wires) if self._arn.fifo else await self._sent_at_once(wires)
        if not sent:
            return
        self._deaf = False
        names = [wire["MessageId"] for wire in sent]
        try:
            refused = await self._borrowed.delete(names)
        except SourceError as error:
            refused = dict.fromkeys(names, str(error))
        self.counts.moved += len(names) - len(refused)
        self.counts.doubled += len(refused)
        for wire in sent:
            if why := refused.get(wire["MessageId"]):
                self._break_group(wire)  # it goes again some day, and those behind it shall not be there before
                self.counts.problems.append(
                    f"{wire['MessageId']} was sent and could not be deleted, so it is there twice: {why}"
                )

    async def _sent_at_once(self, wires: Sequence[JsonObject]) -> list[JsonObject]:
        done = await asyncio.gather(*map(self._send, wires))
        return [wire for wire, well in zip(wires, done, strict=True) if well]

    async def _sent_in_order(self, wires: Sequence[JsonObject]) -> list[JsonObject]:
        sent: list[JsonObject] = []
        failed: set[str] = set()  # since the fates of these were decided
        for wire in wires:
            if group_of(wire) in failed:
                self.counts.held_back += 1
            elif await self._send(wire):
                sent.append(wire)
            else:
                failed.add(group_of(wire))
        self._broken_groups |= failed
        return sent

    async def _send(self, wire: JsonObject) -> bool:
        try:
            self._borrowed.leave(await self._target.send(message_to_send(wire, fifo=self._arn.fifo)))
        except SourceError as error:
            self._deaf |= error.problem is not SourceProblem.REFUSED
            self.counts.problems.append(f"{wire['MessageId']} stays: {error}")
            return False
        return True


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
