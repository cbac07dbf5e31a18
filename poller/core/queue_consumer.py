"""The machine for one queue, standard or FIFO: what to receive, invoke, delete and give back, and when.

Facts go in through `handle`, orders come out; `deadline` says when to call with a Tick. What is here is the order
of things; the rules live elsewhere:

    capacity          permits.py, and after a failure receives.py
    -> Receive        visibility.py
    -> Received       filter.py, then batcher.py, for FIFO then lanes.py
    -> slot free?     slots.py; how many there are is scaling.py's question
    -> Invoke         queue_batches.py, unless a receipt is stale
    -> Invoked        settle.py; queue_batches.py carries it out
    -> Delete         deletes.py | leave alone: releases.py | wait and Invoke again

A message is in one of four places: asked for, buffered, running, or being deleted; `_held` knows them all by id,
with the newest receipt. Whether the queue is empty is asked of readings.py.
"""

from math import ceil
from random import Random
from typing import assert_never

from poller.core.batcher import Batcher
from poller.core.budget import ByteBudget
from poller.core.deletes import Deletes
from poller.core.filter import RecordFilter, make_filter
from poller.core.held import Held
from poller.core.lanes import GroupGate
from poller.core.mapping import EventSourceMapping
from poller.core.messages import (
    Command,
    Delete,
    Deleted,
    Describe,
    Described,
    DescribeFailed,
    Event,
    Extended,
    Filtered,
    Finished,
    Hold,
    Invoked,
    LeaseLapsed,
    Receive,
    Received,
    ReceivedAgain,
    ReceiveFailed,
    ReleaseReason,
    Request,
    Requested,
    Tick,
    VisibilityChanged,
)
from poller.core.mode import ACTIVE, DRAINING, FINISHED, PAUSED, RUNNING, STOPPING, Mode
from poller.core.model import Instant, Message, QueueFacts, QueueGauges
from poller.core.payload import make_messages
from poller.core.permits import BUDGET_EVERY, Permits
from poller.core.queue_batches import Batches
from poller.core.readings import Readings
from poller.core.receives import LONG_POLL, Asked, Receives, answered_by
from poller.core.releases import Releases
from poller.core.scaling import Concurrency
from poller.core.slots import Slots
from poller.core.visibility import lease_end, override


class QueueConsumer:
    """One queue, one mapping. Call `handle` from one task only, with times that never go back."""

    def __init__(
        self, mapping: EventSourceMapping, random: Random, budget: ByteBudget, longest_wait: int = LONG_POLL
    ) -> None:
        """`longest_wait` bounds a long poll (seconds, 0 to 20), so that a stop need not wait longer."""
        self._mapping = mapping
        self._fifo = mapping.arn.fifo
        self._mode: Mode = RUNNING if mapping.enabled else PAUSED
        self._commands: list[Command] = []  # one list for all parts, so that orders keep their order

        self._filter = make_filter(mapping.filters, mapping.source) if mapping.filters else None
        self._held = Held(budget)
        self._batcher = Batcher(mapping.batch_size, mapping.window)
        self._gate = GroupGate()
        self._slots = Slots(Concurrency(mapping))
        self._receives = Receives(mapping, random, longest_wait)
        self._deletes = Deletes(eager=self._fifo, random=random)
        self._readings = Readings()
        self._permits = Permits(
            mapping, self._slots, self._batcher, self._gate, self._receives, self._deletes, self._held, budget
        )
        self._releases = Releases(mapping, self._held, self._commands)
        self._batches = Batches(
            mapping,
            random,
            self._held,
            self._batcher,
            self._gate,
            self._slots,
            self._receives,
            self._deletes,
            self._releases,
            self._commands,
        )
        self._budget_at: float | None = None
        self._abandoned = 0

    # --- what the driver asks ---

    @property
    def mode(self) -> Mode:
        """What the machine is at."""
        return self._mode

    @property
    def abandoned(self) -> int:
        """Messages that were given back although a handler still had them."""
        return self._abandoned

    @property
    def at_rest(self) -> bool:
        """Whether it holds nothing and no call of its own is under way."""
        return self._slots.idle and not (self._receives or self._held or self._releases.under_way)

    @property
    def receiving(self) -> bool:
        """Whether it is to receive: neither paused nor on its way out."""
        return self._mode in ACTIVE

    @property
    def held(self) -> int:
        """Messages that it has in hand."""
        return len(self._held)

    def release(self) -> tuple[str, ...]:
        """The machine will not be used any more, whatever it held: its bytes go back to the process's budget. The
        ids of those messages that no handler has: nobody need keep their receipts alive.
        """
        running = self._slots.running_ids
        return tuple([message_id for message_id in self._held.forget_all() if message_id not in running])

    def deadline(self) -> float | None:
        """The monotonic second at which a Tick is due; None when only facts can change anything."""
        if self._mode is FINISHED or self._readings.visibility is None:
            return None
        times: list[float | None] = [self._slots.retry_due(), self._deletes.due()]
        if self._mode in ACTIVE:
            times.append(self._readings.due(resting=self._resting()))
            # a window that is over and still open waits for a receive in flight, not for the clock
            if self._batcher.count and self._permits.may_close():
                times.append(self._batcher.due(self._slots.free_since))
            # and no clock brings the room that a probe needs
            if (probe := self._receives.due()) is not None and self._room() > 0:
                times.append(probe)
            times.append(self._budget_at)
        return min([due for due in times if due is not None], default=None)

    def gauges(self) -> QueueGauges:
        """How it stands; cheap, and safe to call from another thread but for a RuntimeError now and then."""
        slots = self._slots
        return QueueGauges(
            polls=len(self._receives),
            polling=bool(self._receives) or (self._mode in ACTIVE and self._room() > 0),
            buffered=self._batcher.count + slots.ready_messages + self._gate.waiting_messages,
            buffered_bytes=self._batcher.size + slots.ready_bytes,
            in_flight_batches=slots.running,
            in_flight_messages=slots.running_messages,
            limit=slots.concurrency.limit,
            oldest_pending_since=self._held.oldest_received_at,
            invoking_since=slots.running_since,
            groups_active=self._gate.active,
            groups_waiting=self._gate.waiting,
            groups_blocked=slots.groups_waiting if self._fifo else 0,
        )

    def handle(self, event: Event, now: Instant) -> list[Command]:
        """Takes one fact; returns what is to be done, in order."""
        mono = now.mono
        match event:
            case Received():
                self._on_received(event, mono)
            case Invoked():
                self._batches.ended(event.batch, event.result, mono, waits=self._mode in ACTIVE)
            case Deleted():
                self._on_deleted(event, mono)
                if self._mode is RUNNING and self._deletes.quiet and self._budget_at is None:
                    return self._taken()  # on a busy queue every third event: it makes no room that was wanting
            case ReceiveFailed(poll):
                self._receives.failed(poll, mono)
            case VisibilityChanged():
                self._releases.under_way -= 1
            case Extended(ids, lease_until):
                self._held.extend(ids, lease_until)
            case Described(facts):
                self._on_described(facts, mono)
            case DescribeFailed():
                self._readings.failed()
            case Tick():
                pass
            case Requested(request):
                self._on_requested(request, mono)
            case _:
                assert_never(event)
        self._pump(mono)
        return self._taken()

    def _taken(self) -> list[Command]:
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    # --- facts ---

    def _on_described(self, facts: QueueFacts, now: float) -> None:
        self._readings.described(facts, now, resting=self._resting())
        if self._mode is DRAINING and self._readings.empty:
            self._mode = STOPPING

    def _on_received(self, event: Received, now: float) -> None:
        asked = self._receives.received(event.poll, len(event.messages))
        self._readings.received(len(event.messages))
        if not event.messages:
            if not self._slots.running:
                self._slots.concurrency.idle()
            return
        queues_own = self._readings.visibility
        assert queues_own is not None, "no receive is sent before the queue was described"
        visibility = queues_own if asked.visibility is None else float(asked.visibility)
        lease_until = lease_end(now, asked.answered_by, visibility)
        arn, null_md5, held = self._mapping.arn, self._mapping.window > 0, self._held
        messages = make_messages(event.messages, arn, null_md5, lease_until, now)
        if again := len(messages) - [message.receive_count for message in messages].count(1):
            self._commands.append(ReceivedAgain(again))
        by_id = {message.id: message for message in messages}
        for message_id in held.among(by_id):
            self._receive_again(by_id.pop(message_id), visibility)
        if not by_id:
            return
        held.take(by_id)
        fresh = tuple(by_id.values())
        if self._mapping.poller.heartbeat:
            self._commands.append(Hold(fresh, ceil(visibility)))
        if self._mode not in ACTIVE:
            self._releases.give_back(fresh, ReleaseReason.STOP)
        elif self._filter is None:
            self._batches.admit(fresh)
        elif passing := self._passing(fresh, self._filter):
            self._batches.admit(passing)

    def _passing(self, messages: tuple[Message, ...], criteria: RecordFilter) -> tuple[Message, ...]:
        """BAT-5, FLT-40, FIFO-9: the others are deleted, whatever becomes of these, and never reach a batch."""
        passing = tuple([message for message in messages if criteria.passes_message(message.record)])
        if len(passing) < len(messages):
            kept = {message.id for message in passing}
            others = tuple([message for message in messages if message.id not in kept])
            self._deletes.acknowledge(others)
            self._commands.append(Filtered(others))
        return passing

    def _receive_again(self, message: Message, visibility: float) -> None:
        """SQS-27: its visibility ran out while we held it. The newest receipt counts; it runs once only."""
        newest = self._held.take_again(message)
        if message.id in self._deletes:
            self._deletes.acknowledge((newest,))
        if self._mapping.poller.heartbeat:
            self._commands.append(Hold((message,), ceil(visibility)))

    def _on_deleted(self, event: Deleted, now: float) -> None:
        failed = event.failed
        leases = {message.id: self._held[message.id].lease_until for message in failed} if failed else {}
        done, given_up = self._deletes.answered(event.messages, failed, leases, now)
        self._releases.forget(done)
        if given_up:
            self._releases.forget(given_up)
            detail = f"not deleted before their receipts ran out, so they will be delivered again ({event.detail})"
            self._commands.append(LeaseLapsed(given_up, detail))

    def _on_requested(self, request: Request, now: float) -> None:
        match request:
            case Request.PAUSE:
                if self._mode in ACTIVE:
                    self._mode = PAUSED
                    self._batches.return_unstarted()
            case Request.RESUME:
                if self._mode is PAUSED:
                    self._mode = RUNNING
            case Request.DRAIN:
                if self._mode is RUNNING:
                    self._mode = DRAINING
                    self._readings.begin_drain()
            case Request.STOP:
                if self._mode is not FINISHED:
                    self._stop(now)
            case Request.ABANDON:
                if self._mode is not FINISHED:
                    self._abandon()
            case _:
                assert_never(request)

    # --- what follows from them ---

    def _pump(self, now: float) -> None:
        """Starts whatever may start now; the only place that does."""
        slots = self._slots
        receiving = self._mode in ACTIVE
        while (again := slots.next_retry(now)) is not None:
            self._batches.start(again, now)
        if receiving:
            if self._batcher.count and self._permits.may_close():
                closed = self._batcher.close_due(now, slots.free_since)
                if closed is None and self._mode is DRAINING and self._nothing_more():
                    closed = self._batcher.flush()
                if closed is not None:
                    slots.enqueue([closed])
            self._batches.start_ready(now)
        while call := self._deletes.next_call(now):
            self._commands.append(Delete(call))
        queues_own = self._readings.visibility
        if receiving and queues_own is not None:
            self._budget_at = None
            if slots.unclaimed > 0:  # mostly not, on a busy queue
                self._poll(queues_own, now)
            if self._readings.ask(now, resting=self._resting()):
                self._commands.append(Describe())
        if self._mode is STOPPING and self.at_rest:
            self._mode = FINISHED
            self._commands.append(Finished(self._abandoned))

    def _poll(self, queues_own: float, now: float) -> None:
        """SQS-1, SQS-2, SQS-6, BAT-9: as many receives as are wanted and free slots can serve."""
        while self._receives.wanted(now):
            room = self._room()
            if room <= 0:
                break
            window = self._batcher.due(self._slots.free_since)
            wait = self._receives.wait(
                draining=self._mode is DRAINING, window_left=None if window is None else window - now
            )
            if wait is None:
                break
            visibility = override(self._mapping, queues_own)
            poll, deadline = self._receives.start(Asked(room, visibility, answered_by(wait, now)), wait, now)
            self._commands.append(Receive(poll, room, wait, visibility, deadline))
        if self._permits.over_budget:
            self._budget_at = now + BUDGET_EVERY

    def _room(self) -> int:
        """What the next receive may ask for; while draining, whether the queue is empty is asked before."""
        return 0 if self._resting() else self._permits.room()

    def _resting(self) -> bool:
        """Draining, and nothing left as far as we see."""
        return self._mode is DRAINING and self._nothing_more() and not self._held

    def _nothing_more(self) -> bool:
        """Whether the queue had nothing for the last receive, and no other is in flight."""
        return self._readings.nothing_came and not self._receives

    def _stop(self, now: float) -> None:
        """What free slots can take is handed over, the rest is given back at once."""
        self._mode = STOPPING
        if (last := self._batcher.flush()) is not None:
            self._slots.enqueue([last])
        self._batches.start_ready(now)
        self._batches.return_unstarted()

    def _abandon(self) -> None:
        self._mode = STOPPING
        self._batches.return_unstarted()
        self._abandoned += self._batches.return_running()
