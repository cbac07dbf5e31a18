"""The machine for one queue, standard or FIFO: what to receive, invoke, delete and give back, and when.

Facts go in through `handle`, orders come out; `deadline` says when to call with a Tick. The rules it applies live
elsewhere: when a batch closes in batcher.py, what becomes of it in settle.py, which groups may run in lanes.py,
how many batches and receives in scaling.py, deletes in deletes.py. What is here is their order:

    capacity -> Receive -> Received -> batcher (-> gate) -> ready -> slot free? lease good? -> Invoke
    -> Invoked -> settle -> Delete | leave alone | wait and Invoke again

Permits before polls (SQS-2): a receive asks only for what free slots can run, so a message is in one of four
places: asked for, buffered, running, or being deleted; `_held` knows them all by id, with the newest receipt.
"""

from collections import deque
from dataclasses import replace
from enum import Enum, auto
from random import Random
from typing import assert_never

from poller.core.batcher import Batcher
from poller.core.budget import ByteBudget
from poller.core.deletes import Deletes
from poller.core.held import Held
from poller.core.lanes import GroupGate
from poller.core.mapping import EventSourceMapping
from poller.core.messages import (
    ChangeVisibility,
    Command,
    Delete,
    Deleted,
    Describe,
    Described,
    Event,
    Extended,
    Finished,
    Hold,
    Invoke,
    Invoked,
    LeaseLapsed,
    LetGo,
    Receive,
    Received,
    ReceiveFailed,
    ReleaseReason,
    Request,
    Requested,
    Settled,
    Tick,
    VisibilityChanged,
)
from poller.core.model import Batch, FunctionError, Instant, InvocationResult, Message, QueueFacts, QueueGauges
from poller.core.payload import EVENT_LIMIT, make_message
from poller.core.receives import LONG_POLL, Receives
from poller.core.scaling import Concurrency
from poller.core.settle import Ack, Release, Retry, retry_seconds, settle_queue

ENTRIES = 10  # SQS: messages of one receive, entries of one batch call
DESCRIBE_EVERY = 60.0  # the visibility timeout may be changed while we run
READING_EVERY = 0.5  # seconds between two questions whether the queue is empty, while draining
DRAINED_AFTER = 2  # empty readings in a row: the counts of SQS are approximate
UNDELETED_MAX = 2_000  # acknowledged and not yet deleted; above it nothing new is received
WAITING_MAX = 1_000  # messages of blocked FIFO groups; above it nothing new is received
LEASE_MARGIN = 0.1  # part of the visibility timeout, at most a second, kept for the way of the answer


class Mode(Enum):
    """What the owner asked for last."""

    RUNNING = auto()
    DRAINING = auto()
    PAUSED = auto()
    STOPPING = auto()
    FINISHED = auto()


class QueueConsumer:
    """One queue, one mapping. Call `handle` from one task only, with times that never go back."""

    def __init__(
        self, mapping: EventSourceMapping, random: Random, budget: ByteBudget, longest_wait: int = LONG_POLL
    ) -> None:
        """`longest_wait` bounds a long poll (seconds, 0 to 20), so that a stop need not wait longer."""
        self._mapping = mapping
        self._fifo = mapping.arn.fifo
        self._random = random
        self._budget = budget
        self._mode = Mode.RUNNING if mapping.enabled else Mode.PAUSED
        self._visibility: float | None = None
        self._describe_at = float("inf")
        self._reading_at = 0.0
        self._commands: list[Command] = []

        self._held = Held(budget)
        self._batcher = Batcher(mapping.batch_size, mapping.window)
        self._ready: deque[Batch] = deque()
        self._ready_messages = 0
        self._gate = GroupGate()
        self._running: dict[int, tuple[Batch, float]] = {}
        self._running_messages = 0
        self._waiting: dict[int, tuple[Batch, float]] = {}
        self._slot_free_since = 0.0
        self._slots = Concurrency(mapping)
        self._receives = Receives(mapping, random, longest_wait)
        self._deletes = Deletes(eager=self._fifo, random=random)
        self._changes_under_way = 0
        self._empty_readings = 0
        self._emptied = False
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
        return not (self._receives or self._running or self._waiting or self._held or self._changes_under_way)

    def release_budget(self) -> None:
        """The machine will not be used any more, whatever it held: its bytes go back to the process's budget."""
        self._held.forget_all()

    def deadline(self) -> float | None:
        """The monotonic second at which a Tick is due; None when only facts can change anything."""
        if self._mode is Mode.FINISHED or self._visibility is None:
            return None
        times = [due for _, due in self._waiting.values()]
        if (due := self._deletes.due()) is not None:
            times.append(due)
        if self._mode in {Mode.RUNNING, Mode.DRAINING}:
            times.append(self._describe_at)
            window = self._batcher.due(self._slot_free_since)
            # a window that is over and still open waits for a receive in flight, not for the clock
            if window is not None and self._may_close():
                times.append(window)
            if (probe := self._receives.due()) is not None:
                times.append(probe)
            if self._wants_reading():
                times.append(self._reading_at)
        return min(times, default=None)

    def gauges(self) -> QueueGauges:
        """How it stands; cheap, and safe to call from another thread but for a RuntimeError now and then."""
        running = next(iter(self._running.values()), None)
        buffered = self._batcher.count + self._ready_messages + self._gate.waiting_messages
        return QueueGauges(
            polls=len(self._receives),
            polling=bool(self._receives)
            or (self._mode in {Mode.RUNNING, Mode.DRAINING} and self._free_slots() > 0),
            buffered=buffered,
            buffered_bytes=self._batcher.size + sum(batch.size for batch in self._ready),
            in_flight_batches=len(self._running),
            in_flight_messages=self._running_messages,
            limit=self._slots.limit,
            oldest_pending_since=self._held.oldest_received_at,
            invoking_since=None if running is None else running[1],
            groups_active=self._gate.active,
            groups_waiting=self._gate.waiting,
            groups_blocked=sum(
                len({message.group for message in batch.messages}) if self._fifo else 0
                for batch, _ in self._waiting.values()
            ),
        )

    def handle(self, event: Event, now: Instant) -> list[Command]:
        """Takes one fact; returns what is to be done, in order."""
        mono = now.mono
        match event:
            case Received():
                self._on_received(event, mono)
            case Invoked(batch, result):
                self._on_invoked(batch, result, mono)
            case Deleted():
                self._on_deleted(event, mono)
            case ReceiveFailed():
                self._on_receive_failed(event, mono)
            case VisibilityChanged():
                self._changes_under_way -= 1
            case Extended(ids, lease_until):
                self._held.extend(ids, lease_until)
            case Described(facts):
                self._on_described(facts, mono)
            case Tick():
                pass
            case Requested(request):
                self._on_requested(request, mono)
            case _:
                assert_never(event)
        self._pump(mono)
        commands, self._commands = self._commands, []
        return commands

    # --- facts ---

    def _on_described(self, facts: QueueFacts, now: float) -> None:
        self._visibility = facts.visibility_timeout
        self._describe_at = now + DESCRIBE_EVERY
        if self._mode is Mode.DRAINING:
            empty = facts.visible == facts.in_flight == facts.delayed == 0
            if empty and self._wants_reading():
                self._empty_readings += 1
            else:
                self._empty_readings = 0
            self._emptied = False  # the next reading counts after another empty receive only
            if self._empty_readings >= DRAINED_AFTER:
                self._mode = Mode.STOPPING

    def _on_received(self, event: Received, now: float) -> None:
        self._receives.received(event.poll, len(event.messages))
        if not event.messages:
            self._emptied = True
            if not self._running:
                self._slots.idle()
            return
        self._emptied = False
        visibility = self._lease_seconds()
        lease_until = now + visibility - min(1.0, visibility * LEASE_MARGIN)
        fresh: list[Message] = []
        for wire in event.messages:
            message = make_message(wire, self._mapping.arn, self._mapping.window > 0, lease_until, now)
            if message is None:
                continue  # without an id or a receipt nothing can be done about it; SQS brings it back
            if message.id in self._held:
                self._receive_again(message)
                continue
            self._held.take(message)
            fresh.append(message)
        if not fresh:
            return
        if self._mapping.poller.heartbeat:
            self._commands.append(Hold(tuple(fresh)))
        if self._mode in {Mode.STOPPING, Mode.PAUSED, Mode.FINISHED}:
            self._give_back(tuple(fresh), ReleaseReason.STOP)
            return
        entered = self._gate.admit(fresh) if self._fifo else fresh
        self._enqueue(self._batcher.add(entered, now))

    def _receive_again(self, message: Message) -> None:
        """SQS-27: its visibility ran out while we held it. The newest receipt counts; it runs once only."""
        newest = self._held.take_again(message)
        if message.id in self._deletes:
            self._deletes.acknowledge((newest,))
        if self._mapping.poller.heartbeat:
            self._commands.append(Hold((message,)))

    def _on_receive_failed(self, event: ReceiveFailed, now: float) -> None:
        self._receives.failed(event.poll, now)

    def _on_invoked(self, batch: Batch, result: InvocationResult, now: float) -> None:
        if batch.number not in self._running:
            return  # abandoned before it ended: its messages are no longer ours
        full = self._free_slots() <= 0
        del self._running[batch.number]
        self._running_messages -= len(batch.messages)
        self._settle(batch, result, now)
        if full and self._free_slots() > 0:
            self._slot_free_since = now

    def _on_deleted(self, event: Deleted, now: float) -> None:
        leases = {message.id: self._held[message.id].lease_until for message in event.failed}
        done, given_up = self._deletes.answered(event.messages, event.failed, leases, now)
        self._forget(done)
        if given_up:
            self._forget(given_up)
            detail = f"not deleted before their receipts ran out, so they will be delivered again ({event.detail})"
            self._commands.append(LeaseLapsed(given_up, detail))

    def _on_requested(self, request: Request, now: float) -> None:
        match request:
            case Request.PAUSE:
                if self._mode in {Mode.RUNNING, Mode.DRAINING}:
                    self._mode = Mode.PAUSED
                    self._return_unstarted()
            case Request.RESUME:
                if self._mode is Mode.PAUSED:
                    self._mode = Mode.RUNNING
            case Request.DRAIN:
                if self._mode is Mode.RUNNING:
                    self._mode = Mode.DRAINING
                    self._empty_readings = 0
                    self._emptied = False
            case Request.STOP:
                if self._mode is not Mode.FINISHED:
                    self._stop(now)
            case Request.ABANDON:
                if self._mode is not Mode.FINISHED:
                    self._abandon()
            case _:
                assert_never(request)

    # --- what follows from them ---

    def _pump(self, now: float) -> None:
        """Starts whatever may start now; the only place that does."""
        if self._waiting:
            for number, (batch, due) in list(self._waiting.items()):
                if due <= now:
                    del self._waiting[number]
                    self._start(batch, now)
        if self._mode in {Mode.RUNNING, Mode.DRAINING}:
            if self._batcher.count and self._may_close():
                closed = self._batcher.close_due(now, self._slot_free_since)
                if closed is None and self._mode is Mode.DRAINING and self._emptied and not self._receives:
                    closed = self._batcher.flush()
                if closed is not None:
                    self._enqueue([closed])
            while self._ready and self._free_slots() > 0:
                self._start(self._take_ready(), now)
        while call := self._deletes.next_call(now):
            self._commands.append(Delete(call))
        if self._visibility is not None:
            self._poll(now)
            self._ask_again(now)
        if self._mode is Mode.STOPPING and self.at_rest:
            self._mode = Mode.FINISHED
            self._commands.append(Finished(self._abandoned))

    def _poll(self, now: float) -> None:
        """SQS-1, SQS-2, SQS-6, BAT-9: as many receives as are wanted and free slots can serve."""
        if self._mode not in {Mode.RUNNING, Mode.DRAINING}:
            return
        while self._receives.wanted(now) and not self._wants_reading():
            room = self._capacity()
            if room <= 0 or len(self._deletes) > UNDELETED_MAX or not (self._budget.has_room or not self._held):
                return
            window = self._batcher.due(self._slot_free_since)
            wait = self._receives.wait(
                draining=self._mode is Mode.DRAINING, window_left=None if window is None else window - now
            )
            if wait is None:
                return
            maximum = min(ENTRIES, room)
            poll, deadline = self._receives.start(maximum, wait, now)
            self._commands.append(Receive(poll, maximum, wait, self._visibility_override(), deadline))

    def _wants_reading(self) -> bool:
        """Draining, and nothing left as far as we see: whether the queue is empty is asked before polling on."""
        return self._mode is Mode.DRAINING and self._emptied and not self._held and not self._receives

    def _ask_again(self, now: float) -> None:
        """The queue's attributes: now and then, and to know that it is empty."""
        if self._mode not in {Mode.RUNNING, Mode.DRAINING}:
            return
        reading = self._wants_reading() and now >= self._reading_at
        if reading or now >= self._describe_at:
            self._reading_at = now + READING_EVERY
            self._describe_at = now + DESCRIBE_EVERY
            self._commands.append(Describe())

    def _capacity(self) -> int:
        """Messages that free slots can take beyond what is buffered and asked for (SQS-2)."""
        free = self._free_slots() - len(self._ready)
        if self._fifo:
            # one receive is one batch (FIFO-2)
            room = free > len(self._receives) and self._gate.waiting_messages < WAITING_MAX
            return self._mapping.batch_size if room else 0
        return free * self._mapping.batch_size - self._batcher.count - self._receives.asked

    def _may_close(self) -> bool:
        """Whether the open batch can have a slot and the receives in flight still find room elsewhere."""
        free = self._free_slots() - len(self._ready)
        return free > 0 and (free - 1) * self._mapping.batch_size >= self._receives.asked

    def _free_slots(self) -> int:
        return self._slots.limit - len(self._running) - len(self._waiting)

    def _enqueue(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._ready.append(batch)
            self._ready_messages += len(batch.messages)

    def _take_ready(self) -> Batch:
        batch = self._ready.popleft()
        self._ready_messages -= len(batch.messages)
        return batch

    def _start(self, batch: Batch, now: float) -> None:
        """Invokes, unless receipts have gone stale (SQS-23, FIFO-6) or the event can never be sent (BAT-11)."""
        batch = self._held.refreshed(batch)
        stale = self._held.stale(batch.messages, now)
        if stale:
            batch = self._without_stale(batch, stale)
            if not batch.messages:
                return
        self._running[batch.number] = (batch, now)
        self._running_messages += len(batch.messages)
        if batch.size > EVENT_LIMIT and len(batch.messages) == 1:
            reason = f"the event has {batch.size} bytes, more than the {EVENT_LIMIT} that an invocation may have"
            self._on_invoked(batch, FunctionError("RequestTooLarge", reason), now)
            return
        self._commands.append(Invoke(batch))

    def _without_stale(self, batch: Batch, stale: tuple[Message, ...]) -> Batch:
        """The batch less its stale messages, and less those behind them in the same group."""
        gone_groups = {message.group for message in stale if message.group is not None}
        gone = tuple(message for message in batch.messages if message in stale or (message.group in gone_groups))
        kept = tuple(message for message in batch.messages if message not in gone)
        self._forget(gone)
        self._commands.append(
            LeaseLapsed(gone, "not invoked before their receipts ran out; the queue brings them back")
        )
        self._leave_gate(gone, {message.group or "" for message in gone})
        size = batch.size - sum(message.size + 1 for message in gone)
        return replace(batch, messages=kept, size=size)

    def _settle(self, batch: Batch, result: InvocationResult, now: float) -> None:
        """Carries out what settle.py decided."""
        held = self._held
        lease_until = held.lease_until(batch.messages)
        verdict = settle_queue(batch, result, self._mapping, lease_until - now, self._random)
        acked: tuple[Message, ...] = ()
        failed: tuple[Message, ...] = ()
        retry_in: float | None = None
        for disposition in verdict.dispositions:
            match disposition:
                case Ack(messages):
                    acked = messages
                    self._deletes.acknowledge(held.newest(messages))
                case Release(messages):
                    failed = messages
                case Retry(again, wait):
                    retry_in = wait
                    self._waiting[again.number] = (again, now + wait)
                case _:
                    assert_never(disposition)
        stale = len(held.stale(batch.messages, now)) if lease_until <= now else 0
        self._commands.append(Settled(batch, verdict.outcome, acked, failed, verdict.detail, retry_in, stale))
        if verdict.slows_down:
            self._slots.failed(now)
        elif acked:
            self._slots.succeeded(now, backlog=self._receives.backlog)
        if retry_in is not None:
            if self._mode in {Mode.STOPPING, Mode.PAUSED}:
                self._return_unstarted()
            return
        if failed:
            self._let_go(failed)
        if self._fifo:
            self._leave_gate(batch.messages, {message.group or "" for message in failed})

    def _let_go(self, failed: tuple[Message, ...]) -> None:
        """SQS-21: failed messages are left alone, or, with Poller.RetryDelay, told when to come back."""
        policy = self._mapping.poller.retry_delay
        if policy is not None:
            current = self._held.newest(failed)
            self._change(current, retry_seconds(current, policy), ReleaseReason.FAILED)
        self._forget(failed)

    def _leave_gate(self, messages: tuple[Message, ...], failed_groups: set[str]) -> None:
        if not self._fifo:
            return
        follow, back = self._gate.leave(messages, failed_groups, self._mapping.batch_size)
        if back:
            self._give_back(back, ReleaseReason.GROUP_BLOCKED)
        self._enqueue([self._batcher.form(group, group[0].received_at) for group in follow])

    def _stop(self, now: float) -> None:
        """What free slots can take is handed over, the rest is given back at once."""
        self._mode = Mode.STOPPING
        if (last := self._batcher.flush()) is not None:
            self._enqueue([last])
        while self._ready and self._free_slots() > 0:
            self._start(self._take_ready(), now)
        self._return_unstarted()

    def _return_unstarted(self) -> None:
        """Gives back everything that no handler has (and retries of batches that none has)."""
        unstarted: list[Message] = []
        if (last := self._batcher.flush()) is not None:
            unstarted += last.messages
        while self._ready:
            unstarted += self._take_ready().messages
        for batch, _ in self._waiting.values():
            unstarted += batch.messages
        self._waiting.clear()
        waited = self._gate.drop_waiting()
        self._gate.leave(unstarted, set(), self._mapping.batch_size)
        self._give_back((*unstarted, *waited), ReleaseReason.STOP)

    def _abandon(self) -> None:
        self._mode = Mode.STOPPING
        self._return_unstarted()
        running = tuple(message for batch, _ in self._running.values() for message in batch.messages)
        self._running.clear()
        self._running_messages = 0
        self._abandoned += len(running)
        self._give_back(running, ReleaseReason.STOP)

    def _give_back(self, messages: tuple[Message, ...], reason: ReleaseReason) -> None:
        """Visible again at once, in the order in which they came: a group comes back as a whole."""
        current = self._held.newest(messages)
        self._change(current, (0,) * len(current), reason)
        self._forget(current)

    def _change(self, messages: tuple[Message, ...], seconds: tuple[int, ...], reason: ReleaseReason) -> None:
        for start in range(0, len(messages), ENTRIES):
            part = slice(start, start + ENTRIES)
            self._changes_under_way += 1
            self._commands.append(ChangeVisibility(messages[part], seconds[part], reason))

    def _forget(self, messages: tuple[Message, ...]) -> None:
        self._held.forget(messages)
        if self._mapping.poller.heartbeat and messages:
            self._commands.append(LetGo(tuple(message.id for message in messages)))

    def _lease_seconds(self) -> float:
        override = self._visibility_override()
        assert self._visibility is not None, "no receive is sent before the queue was described"
        return self._visibility if override is None else float(override)

    def _visibility_override(self) -> int | None:
        """SQS-8: a window needs a longer visibility than the queue's when it and the timeout exceed it."""
        mapping = self._mapping
        if mapping.window == 0 or self._visibility is None:
            return None
        needed = mapping.window + mapping.handler.timeout
        return int(needed + 30) if needed > self._visibility else None
