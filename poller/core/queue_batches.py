"""The way of a queue's batches: admitted, into a slot, invoked, settled; and back to the queue where none may run.

What becomes of a batch is settle.py's decision and carried out here. When a window closes and when something is
received is the machine's business, in queue_consumer.py, and so is every fact but the end of an invocation.
"""

from collections.abc import Iterable, Sequence
from random import Random
from typing import assert_never

from poller.core.batcher import Batcher, shrunk
from poller.core.deletes import Deletes
from poller.core.held import Held
from poller.core.lanes import GroupGate
from poller.core.mapping import EventSourceMapping
from poller.core.messages import Command, InvocationOutcome, Invoke, LeaseLapsed, ReleaseReason, Settled
from poller.core.model import Batch, FunctionError, InvocationResult, Message
from poller.core.payload import EVENT_LIMIT
from poller.core.receives import Receives
from poller.core.releases import Releases
from poller.core.settle import Ack, Release, Retry, settle_queue
from poller.core.slots import Slots


class Batches:
    """Moves messages between the parts of one machine, which are the machine's own, too."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        random: Random,
        held: Held,
        batcher: Batcher,
        gate: GroupGate,
        slots: Slots,
        receives: Receives,
        deletes: Deletes,
        releases: Releases,
        commands: list[Command],
    ) -> None:
        """`commands` is where the machine gathers its orders."""
        self._mapping = mapping
        self._fifo = mapping.arn.fifo
        self._random = random
        self._held = held
        self._batcher = batcher
        self._gate = gate
        self._slots = slots
        self._receives = receives
        self._deletes = deletes
        self._releases = releases
        self._commands = commands

    def admit(self, messages: Sequence[Message]) -> None:
        """Into batches, and these into slots. A FIFO batch first loses what its groups do not allow yet: batches
        are formed before the gate, so that a group that needs two of them is in one at a time (FIFO-1).
        """
        batches = self._batcher.add(messages, messages[0].received_at)
        if self._fifo:
            batches = [entered for batch in batches if (entered := self._gate.admit(batch)).messages]
        self._slots.enqueue(batches)

    def start(self, batch: Batch, now: float) -> None:
        """Invokes, unless receipts have gone stale (SQS-23, FIFO-6) or the event can never be sent (BAT-11)."""
        batch = self._held.refreshed(batch)
        if self._held.lease_until(batch) < now:
            batch = self._without_stale(batch, self._held.stale(batch.messages, now))
            if not batch.messages:
                return
        self._slots.start(batch, now)
        if batch.size > EVENT_LIMIT and len(batch.messages) == 1:
            reason = f"the event has {batch.size} bytes, more than the {EVENT_LIMIT} that an invocation may have"
            self.ended(batch, FunctionError("RequestTooLarge", reason), now, waits=False)
            return
        self._commands.append(Invoke(batch))

    def start_ready(self, now: float) -> None:
        """Those that wait for a slot, as far as there is one."""
        while (batch := self._slots.next_ready()) is not None:
            self.start(batch, now)

    def ended(self, batch: Batch, result: InvocationResult, now: float, *, waits: bool) -> None:
        """An invocation ended. `waits`: a batch that was not reached may wait for another attempt."""
        full = self._slots.free <= 0
        if not self._slots.end(batch):
            return  # abandoned before it ended: its messages are no longer ours
        self._settle(batch, result, now, waits=waits)
        if full and self._slots.free > 0:
            self._slots.free_since = now

    def return_unstarted(self) -> None:
        """Gives back everything that no handler has (and retries of batches that none has)."""
        unstarted: list[Message] = []
        if (last := self._batcher.flush()) is not None:
            unstarted += last.messages
        unstarted += self._slots.drop_unstarted()
        waited = self._gate.drop_waiting()
        self._gate.leave(unstarted, set())
        self._releases.give_back((*unstarted, *waited), ReleaseReason.STOP)

    def return_running(self) -> int:
        """Gives back what handlers have; how many messages that were."""
        running = self._slots.drop_running()
        self._releases.give_back(running, ReleaseReason.STOP)
        return len(running)

    def _without_stale(self, batch: Batch, stale: tuple[Message, ...]) -> Batch:
        """The batch less its stale messages, and less those behind them in the same group."""
        gone_groups = {message.group for message in stale if message.group is not None}
        stale_ids = {message.id for message in stale}
        gone: list[Message] = []
        kept: list[Message] = []
        for message in batch.messages:
            (gone if message.id in stale_ids or message.group in gone_groups else kept).append(message)
        self._releases.forget(gone)
        self._commands.append(
            LeaseLapsed(tuple(gone), "not invoked before their receipts ran out; the queue brings them back")
        )
        self._leave_gate(gone, {message.group or "" for message in gone})
        return shrunk(batch, tuple(kept))

    def _settle(self, batch: Batch, result: InvocationResult, now: float, *, waits: bool) -> None:
        """Carries out what settle.py decided."""
        held = self._held
        lease_until = held.lease_until(batch)
        verdict = settle_queue(batch, result, self._mapping, lease_until - now, self._random)
        acked: tuple[Message, ...] = ()
        failed: tuple[Message, ...] = ()
        retry_in: float | None = None
        for disposition in verdict.dispositions:
            match disposition:
                case Ack():
                    acked = disposition.messages
                    self._deletes.acknowledge(held.newest(acked))
                case Release():
                    failed = disposition.messages
                case Retry(again, wait):
                    retry_in = wait
                    self._slots.retry_at(again, now + wait)
                case _:
                    assert_never(disposition)
        stale = len(held.stale(batch.messages, now)) if lease_until < now else 0
        self._commands.append(Settled(batch, verdict.outcome, acked, failed, verdict.detail, retry_in, stale))
        if verdict.slows_down:
            self._slots.concurrency.failed(now)
        elif acked:
            self._slots.concurrency.succeeded(now, backlog=self._receives.backlog)
        if retry_in is not None:
            if not waits:
                self.return_unstarted()
            return
        if failed:
            self._releases.let_go(failed, ran=verdict.outcome is not InvocationOutcome.THROTTLED)
        if self._fifo:
            self._leave_gate(batch.messages, {message.group or "" for message in failed})

    def _leave_gate(self, messages: Iterable[Message], failed_groups: set[str]) -> None:
        if not self._fifo:
            return
        released, back = self._gate.leave(messages, failed_groups)
        if back:
            self._releases.give_back(back, ReleaseReason.GROUP_BLOCKED)
        if released:
            self.admit(released)
