"""One machine of the simulation with its queue: carries out its commands, with faults, and asserts what must hold
at each step.
"""

import json
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

from poller.core.mapping import EventSourceMapping
from poller.core.messages import (
    ChangeVisibility,
    Command,
    Delete,
    Deleted,
    Describe,
    Described,
    DescribeFailed,
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
    Request,
    Requested,
    Settled,
    VisibilityChanged,
)
from poller.core.model import (
    Batch,
    FunctionError,
    Instant,
    InvocationResult,
    Message,
    NotInvoked,
    QueueFacts,
    SourceProblem,
    Succeeded,
    Throttled,
)
from poller.core.payload import EVENT_LIMIT, event_size
from poller.core.queue_consumer import Mode, QueueConsumer
from tests.property.machine_world import World
from tests.property.naive_queue import NaiveQueue


class Worker:
    """One machine and its queue. `restart` forgets everything that was in memory, as kill -9 does."""

    def __init__(self, world: World, mapping: EventSourceMapping, visibility: float) -> None:
        self.world = world
        self.mapping = mapping
        self.queue = NaiveQueue(fifo=mapping.arn.fifo, visibility=visibility)
        world.workers.append(self)
        self.life = 0
        self.succeeded: set[str] = set()
        self.start()

    def start(self) -> None:
        self.life += 1
        self.machine = QueueConsumer(self.mapping, self.world.random, self.world.budget)
        self.running: dict[int, Batch] = {}
        self.retrying: dict[int, set[str]] = {}
        self.deleting: set[str] = set()
        self.asked: dict[int, int] = {}
        self.held: set[str] = set()
        self.describing = False
        self.may_receive = True
        self.stopped = False
        self.finished = 0
        self.armed: float | None = None
        self.ticks_now = 0
        self.feed(Described(self.facts()))

    def restart(self) -> None:
        self.machine.release()
        self.start()

    def facts(self) -> QueueFacts:
        now = self.world.now
        hidden = sum(1 for one in self.queue.stored.values() if one.visible_at > now)
        return QueueFacts(self.queue.visibility, len(self.queue.stored) - hidden, hidden, 0)

    # --- in and out ---

    def feed(self, event: Event) -> None:
        now = self.world.now
        commands = self.machine.handle(event, Instant(1_000_000.0 + now, now))
        gauges = self.gauges = self.machine.gauges()
        for command in commands:
            self.obey(command)
        if any(isinstance(command, Receive) for command in commands):
            self.check_permits(gauges.limit - len(self.running) - len(self.retrying))
        self.armed = self.machine.deadline()
        assert self.armed is None or self.armed > now, "a deadline in the past makes a busy loop"
        assert gauges.in_flight_batches == len(self.running)
        if gauges.groups_waiting:
            self.world.marks["a group waits"] += 1

    def check_permits(self, free: int) -> None:
        """SQS-2: what is asked for and buffered can run in the free slots."""
        size = self.mapping.batch_size
        gauges = self.gauges
        if self.mapping.arn.fifo:
            assert gauges.polls <= free
        elif self.mapping.window:
            assert sum(self.asked.values()) + gauges.buffered <= free * size
        else:
            assert sum(ceil(asked / size) for asked in self.asked.values()) + gauges.buffered / size <= free

    def obey(self, command: Command) -> None:
        match command:
            case Receive():
                self.on_receive(command)
            case Invoke(batch):
                self.on_invoke(batch)
            case Delete(messages):
                self.on_delete(messages)
            case ChangeVisibility():
                self.on_change(command)
            case Describe():
                assert not self.describing, "one look at a time"
                self.describing = True
                self.later(self.world.latency(), partial(self.described, self.facts()))
            case Hold(messages):
                self.held |= {message.id for message in messages}
            case LetGo(ids):
                assert set(ids) <= self.held
                self.held -= set(ids)
            case Settled():
                self.on_settled(command)
            case LeaseLapsed(messages):
                self.world.marks["lapsed"] += 1
                gone = {message.id for message in messages}
                self.retrying = {number: ids for number, ids in self.retrying.items() if ids - gone}
            case Finished():
                self.finished += 1
                assert self.stopped or self.machine.mode is Mode.FINISHED

    def described(self, facts: QueueFacts) -> Event:
        """How the queue was when it was asked, or is when it answers: the counts are of any moment between."""
        self.describing = False
        if self.world.chance("describe"):
            return DescribeFailed(SourceProblem.UNREACHABLE, "away")
        return Described(facts if self.world.chance("describe") else self.facts())

    def later(self, seconds: float, fact: Callable[[], Event | None]) -> None:
        """A call that is answered in a while, unless the process has died by then."""
        life = self.life

        def answer() -> None:
            if life == self.life and (event := fact()) is not None:
                self.feed(event)

        self.world.at(seconds, answer)

    # --- commands ---

    def on_receive(self, order: Receive) -> None:
        world = self.world
        assert self.may_receive, "nothing is received after a stop or a pause"
        assert 1 <= order.maximum <= 10
        assert 0 <= order.wait <= 20
        self.asked[order.poll] = order.maximum
        if world.down or world.chance("receive"):
            self.later(
                order.deadline if world.random.random() < 0.3 else world.latency(),
                lambda: self.receive_failed(order.poll),
            )
            return
        self.long_poll(order, world.now + order.wait)

    def receive_failed(self, poll: int) -> Event:
        del self.asked[poll]
        return ReceiveFailed(poll, SourceProblem.UNREACHABLE, "away")

    def long_poll(self, order: Receive, until: float) -> None:
        """Looks now, and again until something is there or the wait is over."""
        world = self.world
        wires = self.queue.receive(order.maximum, order.visibility_timeout, world.now)
        if wires or world.now >= until:
            if wires and world.chance("receive_lost"):
                self.later(world.latency(), lambda: self.receive_failed(order.poll))
                return
            self.later(world.latency(), lambda: self.received(order.poll, wires))
            return
        life = self.life
        world.at(
            min(1.0, until - world.now) + 1e-6,
            lambda: self.long_poll(order, until) if life == self.life else None,
        )

    def received(self, poll: int, wires: list[dict[str, Any]]) -> Event:
        del self.asked[poll]
        return Received(poll, wires, 0)

    def on_invoke(self, batch: Batch) -> None:
        world, now = self.world, self.world.now
        assert batch.number not in self.running
        self.retrying.pop(batch.number, None)
        busy = {message.id for other in self.running.values() for message in other.messages}
        ids = [message.id for message in batch.messages]
        assert len(set(ids)) == len(ids) > 0
        assert not busy & set(ids), "a message runs in one batch only"
        assert len(ids) <= self.mapping.batch_size
        assert batch.size <= EVENT_LIMIT
        sizes = [message.size for message in batch.messages]
        assert batch.size == event_size(sizes)
        for message in batch.messages:
            assert now <= self.queue.lease_of[message.receipt], "a stale receipt was invoked"
        if self.mapping.arn.fifo:
            self.check_order(batch)
        self.running[batch.number] = batch
        ceiling = self.mapping.maximum_concurrency or 1250
        assert len(self.running) <= min(self.gauges.limit, ceiling, self.mapping.handler.concurrency)
        seconds = world.random.uniform(0.01, 1.5)
        if world.chance("slow"):
            seconds = self.queue.visibility * world.random.uniform(0.9, 2.5)
            world.marks["slow"] += 1
        result = self.result_of(batch)
        self.later(seconds, lambda: self.invoked(batch, result))

    def check_order(self, batch: Batch) -> None:
        """FIFO-1: nothing runs while an earlier one of its group is undone, and no two batches share a group."""
        groups = {message.group for message in batch.messages}
        for other in self.running.values():
            assert not groups & {message.group for message in other.messages}, "a group runs in two batches"
        places = {one.id: one.place for one in self.queue.stored.values()}
        here: dict[str | None, int] = {}
        ids = {message.id for message in batch.messages}
        for message in batch.messages:
            place = int(message.id[1:])
            assert place > here.get(message.group, 0), "order within the batch"
            here[message.group] = place
            for one, earlier in places.items():
                if earlier < place and self.queue.stored[one].group == message.group:
                    assert one in ids or one in self.succeeded, f"{message.id} runs before {one}"

    def result_of(self, batch: Batch) -> InvocationResult:
        world, random = self.world, self.world.random
        ids = [message.id for message in batch.messages]
        if world.chance("throttle"):
            return random.choice([Throttled("busy"), Throttled("busy", 1.5), NotInvoked("away")])
        if world.chance("error"):
            return FunctionError("Boom", "no", timed_out=random.random() < 0.3)
        if world.chance("nonsense"):
            return Succeeded(
                random.choice([b"nonsense", b'{"batchItemFailures":[{"itemIdentifier":"who"}]}', b"7"])
            )
        if world.chance("partial"):
            failed = random.sample(ids, random.randint(1, len(ids)))
            return Succeeded(
                json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in failed]}).encode()
            )
        return Succeeded(b"null")

    def invoked(self, batch: Batch, result: InvocationResult) -> Event:
        # gone if the handler was abandoned; the machine must take the fact all the same
        if self.running.pop(batch.number, None) is None:
            self.world.marks["late result"] += 1
        return Invoked(batch, result)

    def on_settled(self, settled: Settled) -> None:
        self.world.marks[f"settled {settled.outcome}"] += 1
        self.running.pop(settled.batch.number, None)
        if settled.retry_in is not None:
            self.world.marks["retry"] += 1
            if self.machine.mode in {Mode.RUNNING, Mode.DRAINING}:
                self.retrying[settled.batch.number] = {message.id for message in settled.batch.messages}
            return
        self.succeeded |= {message.id for message in settled.succeeded}
        if settled.failed and settled.succeeded:
            assert self.mapping.report_batch_item_failures

    def on_delete(self, messages: tuple[Message, ...]) -> None:
        world = self.world
        ids = [message.id for message in messages]
        assert 1 <= len(ids) == len(set(ids)) <= 10
        assert set(ids) <= self.succeeded, "deleted without success"
        assert not set(ids) & self.deleting, "an id is in two deletes at once"
        self.deleting |= set(ids)
        failed = [
            message
            for message in messages
            if world.chance("delete") or not self.queue.delete(message.receipt, world.now)
        ]
        if world.chance("delete_lost"):
            failed = list(messages)
        if failed:
            world.marks["delete failed"] += 1

        def answer() -> Event:
            self.deleting.difference_update(ids)
            return Deleted(messages, tuple(failed), "no")

        self.later(world.latency() * 5, answer)

    def on_change(self, order: ChangeVisibility) -> None:
        world = self.world
        assert 1 <= len(order.messages) == len(order.seconds) <= 10
        world.marks[f"released {order.reason}"] += 1
        failed = tuple(
            message
            for message, seconds in zip(order.messages, order.seconds, strict=True)
            if world.chance("change") or not self.queue.change(message.receipt, seconds, world.now)
        )
        self.later(world.latency(), lambda: VisibilityChanged(order.messages, failed))

    # --- what the owner and the heartbeat do ---

    def request(self, request: Request) -> None:
        mode = self.machine.mode
        if request is Request.PAUSE:
            self.may_receive = False
        elif request is Request.RESUME and not self.stopped:
            self.may_receive = True
        elif request in {Request.STOP, Request.ABANDON}:
            self.stopped, self.may_receive = True, False
        if request in {Request.PAUSE, Request.STOP, Request.ABANDON}:
            self.retrying.clear()
        if request is Request.ABANDON:
            self.running.clear()
        if mode is not Mode.FINISHED:
            self.world.marks[f"asked {request}"] += 1
        self.feed(Requested(request))

    def beat(self) -> None:
        """Extends what is held, as the heartbeat would; some of it in vain."""
        if not self.mapping.poller.heartbeat:
            return
        now = self.world.now
        extended = []
        for identifier in sorted(self.held):
            one = self.queue.stored.get(identifier)
            if one is not None and one.visible_at > now and self.world.random.random() < 0.7:
                self.queue.change(one.receipts[-1], self.queue.visibility, now)
                extended.append(identifier)
        if extended:
            self.world.marks["extended"] += 1
            self.feed(Extended(tuple(extended), now + self.queue.visibility * 0.9))
