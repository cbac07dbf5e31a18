"""Runs one queue's machine: feeds it facts, executes its commands, arms its one timer.

Only this file touches the machine, from one event loop, so there are no locks. Everything that a command starts
is a task of one group: nothing is fired and forgotten, and a bug in any of them ends the driver with its traceback
instead of leaving a mapping that looks alive.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, assert_never

from poller.clock import Clock
from poller.core.messages import (
    ChangeVisibility,
    Command,
    Delete,
    Deleted,
    Describe,
    Described,
    DescribeFailed,
    Event,
    Filtered,
    Finished,
    Hold,
    Invoke,
    Invoked,
    LeaseLapsed,
    LetGo,
    Receive,
    Received,
    ReceivedAgain,
    ReceiveFailed,
    Settled,
    Tick,
    VisibilityChanged,
)
from poller.core.model import Batch, Instant, InvocationResult, Message
from poller.core.queue_consumer import QueueConsumer
from poller.errors import SourceError
from poller.ports import QueueSource
from poller.runtime.crew import Crew
from poller.runtime.turns import begin
from poller.telemetry import Telemetry
from poller.tracing import settling_trace_id

ASK_EVERY = 0.005  # seconds between two questions to the machine for its deadline


class Dispatch(Protocol):
    """What the driver needs of the dispatcher."""

    def start(self, work: Batch, on_done: Callable[[InvocationResult, float], None], /) -> object:
        """Invokes the handler with the batch; `on_done` is called once, later, with the result and the seconds."""
        ...


class Beats(Protocol):
    """What the driver needs of the heartbeat; both only remember and return at once."""

    def hold(self, messages: tuple[Message, ...], seconds: int) -> None:
        """Keep these receipts alive, by `seconds` each time."""
        ...

    def let_go(self, ids: tuple[str, ...]) -> None:
        """Forget these."""
        ...


class Driver:
    """One run of one machine. `run` returns when the machine has finished and raises when anything broke."""

    def __init__(
        self,
        machine: QueueConsumer,
        source: QueueSource,
        dispatcher: Dispatch,
        clock: Clock,
        telemetry: Telemetry,
        beats: Beats | None,
    ) -> None:
        self._machine = machine
        self._source = source
        self._dispatcher = dispatcher
        self._clock = clock
        self._telemetry = telemetry
        self._words = telemetry.words
        self._beats = beats
        self._tasks = asyncio.TaskGroup()
        self._crew = Crew(self._tasks)
        self._finished: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._asked_at = 0.0
        self._asking = False
        self._at_rest: asyncio.Future[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self.cut_off = 0
        """Messages that were still in hand when `run` was cancelled."""

    async def run(self, *facts: Event) -> int:
        """Feeds the first facts and works until the machine has finished; the number of abandoned messages.

        Raises the first thing that broke, whatever it was. That, and cancelling it, cancels the calls in flight;
        what the machine held comes back by its visibility timeout.
        """
        try:
            async with self._tasks:
                for fact in facts:
                    self.feed(fact)
                try:
                    abandoned = await self._finished
                finally:
                    self._crew.dismiss()
                if self._look is not None:
                    self._look.cancel()  # it holds no message, and a stop need not wait for it
                return abandoned
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        except asyncio.CancelledError:
            self.cut_off = self._machine.held
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._at_rest is not None and not self._at_rest.done():
                self._at_rest.set_result(None)
            self._let_go(self._machine.release())

    async def rest(self) -> None:
        """Waits until the machine, paused, holds nothing and waits for nothing; or until it goes on, or ended."""
        while not (self._rested or self._finished.done()):
            if self._at_rest is None or self._at_rest.done():
                self._at_rest = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._at_rest)

    def feed(self, event: Event) -> None:
        """A fact; ignored once the machine has finished. A bug in here ends `run` with its exception."""
        if not self._finished.done():
            self._step(event, self._clock.now())

    def _step(self, event: Event, now: Instant) -> None:
        words = self._words
        try:
            if (tell := words.get(type(event))) is not None:
                tell(event, now)
            for command in self._machine.handle(event, now):
                if (tell := words.get(type(command))) is not None:
                    tell(command, now)
                self._execute(command)
            if now.mono >= self._asked_at + ASK_EVERY or not self._asking:
                self._arm(now)
            if self._at_rest is not None and not self._at_rest.done() and self._rested:
                self._at_rest.set_result(None)
        except Exception as error:  # noqa: BLE001 - whoever called feed cannot mend it: `run` raises it
            if not self._finished.done():
                self._finished.set_exception(error)

    @property
    def _rested(self) -> bool:
        """Whether nobody need wait for the machine's rest any more."""
        return self._machine.receiving or self._machine.at_rest

    def _execute(self, command: Command) -> None:
        match command:
            case Receive():
                self._crew.run(self._receive, command)
            case Invoke():
                self._dispatcher.start(command.batch, partial(self._invoked, command.batch))
            case Delete():
                self._crew.run(self._delete, command.messages)
            case Settled() | Filtered() | ReceivedAgain() | LeaseLapsed():
                pass  # told to the telemetry, which has seen it
            case ChangeVisibility():
                self._crew.run(self._change_visibility, command)
            case Describe():
                self._look = begin(self._tasks, self._describe)
            case Hold(messages, seconds):
                if self._beats is not None:
                    self._beats.hold(messages, seconds)
            case LetGo(ids):
                self._let_go(ids)
            case Finished(abandoned):
                self._finished.set_result(abandoned)
            case _:
                assert_never(command)

    def _let_go(self, ids: tuple[str, ...]) -> None:
        if self._beats is not None and ids:
            self._beats.let_go(ids)

    def _invoked(self, batch: Batch, result: InvocationResult, seconds: float) -> None:
        if self._finished.done():
            # the machine broke meanwhile: the queue may bring the messages back only now that nobody has them
            self._let_go(tuple([message.id for message in batch.messages]))
            return
        self._telemetry.invoked(seconds, settling_trace_id())
        self.feed(Invoked(batch, result))

    async def _receive(self, order: Receive) -> None:
        try:
            messages, size = await self._source.receive(
                order.maximum, order.wait, order.visibility_timeout, order.deadline
            )
        except SourceError as error:
            self.feed(ReceiveFailed(order.poll, error.problem, str(error)))
        else:
            self.feed(Received(order.poll, messages, size))

    async def _delete(self, messages: tuple[Message, ...]) -> None:
        try:
            refused = await self._source.delete([message.receipt for message in messages])
        except SourceError as error:
            self.feed(Deleted(messages, messages, str(error)))
        else:
            failed = tuple([messages[entry.index] for entry in refused])
            self.feed(Deleted(messages, failed, refused[0].code if refused else ""))

    async def _change_visibility(self, order: ChangeVisibility) -> None:
        receipts = [message.receipt for message in order.messages]
        try:
            refused = await self._source.change_visibility(receipts, order.seconds)
        except SourceError:
            failed = order.messages
        else:
            failed = tuple(order.messages[entry.index] for entry in refused)
        self.feed(VisibilityChanged(order.messages, failed))

    async def _describe(self) -> None:
        try:
            facts = await self._source.describe()
        except SourceError as error:
            self.feed(DescribeFailed(error.problem, str(error)))
        else:
            self.feed(Described(facts))

    def _arm(self, now: Instant) -> None:
        """One timer: an earlier one than needed may fire, a later one may not, but for a few milliseconds: between
        two events that follow each other closely nobody asks the machine when it wants to be called.
        """
        if self._finished.done():
            return
        if now.mono < self._asked_at + ASK_EVERY:
            if not self._asking:
                self._asking = True
                self._loop.call_later(ASK_EVERY, self._arm_later)
            return
        self._asked_at = now.mono
        due = self._machine.deadline()
        if due is None:
            return
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(0.0, due - now.mono), self._tick)

    def _arm_later(self) -> None:
        self._asking = False
        self._asked_at = 0.0
        self._arm(self._clock.now())

    def _tick(self) -> None:
        self._timer = None
        if self._finished.done():
            return
        now = self._clock.now()
        # timers of a loop may fire a moment early; the machine never sees a time before its own deadline
        self._step(Tick(), Instant(now.wall, max(now.mono, self._timer_due)))
