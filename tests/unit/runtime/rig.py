"""What the tests of the runtime build on: a mapping, a queue in memory, a handler that the test ends."""

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from poller.clock import SystemClock
from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping, HandlerSettings, PollerSettings, SourceArn
from poller.core.model import Batch, InvocationResult, Message, QueueFacts, SourceKind, Succeeded
from poller.metrics import Metrics
from poller.ports import QueueSource
from poller.runtime.queue_coordinator import QueueCoordinator
from poller.testing import FakeQueue

DEADLINE = 60.0
OK = Succeeded(b"null")
Done = Callable[[InvocationResult, float], None]


def mapping_of(name: str = "orders", *, heartbeat: bool = False, timeout: float = 5.0, **fields: Any) -> Any:
    arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
    plain = EventSourceMapping(
        uuid=f"uuid-of-{name}",
        name=name,
        source=SourceKind.SQS,
        arn=SourceArn(arn, "aws", "us-east-1", "000000000000", name),
        function_name="python:a:b",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:b",
        handler=HandlerSettings(timeout=timeout, concurrency=2),
        poller=PollerSettings(heartbeat=heartbeat),
    )
    return replace(plain, **fields)


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Turns the loop until the condition is true; returns what it returned."""
    async with asyncio.timeout(DEADLINE):
        while not (found := condition()):
            assert what
            await asyncio.sleep(0.005)
    return found


async def turns(number: int = 20) -> None:
    """Lets whatever is ready in the loop happen."""
    for _ in range(number):
        await asyncio.sleep(0)


def eager_tasks(loop: Any, work: Coroutine[Any, Any, Any], *, context: Any = None, **fields: Any) -> Any:
    """A task factory that begins each task at once, as asyncio.eager_task_factory does from Python 3.12 on."""
    context = context or contextvars.copy_context()
    first: list[Callable[[], Any]] = []  # what the first step came to

    @types.coroutine
    def going_on() -> Generator[Any, Any, Any]:
        step = first.pop()
        while True:
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the coroutine
                step = partial(work.throw, error)
            else:
                step = partial(work.send, sent)

    async def rest() -> Any:  # from 3.12 on a task takes no generator
        return await going_on()

    task = asyncio.Task(rest(), loop=loop, context=context, **fields)
    outer = asyncio.current_task(loop)
    if outer is not None:
        asyncio.tasks._leave_task(loop, outer)
    asyncio.tasks._enter_task(loop, task)
    try:
        awaited = context.run(work.send, None)
    except BaseException as error:  # noqa: BLE001 - told when the task goes on
        first.append(partial(_raise, error))
    else:
        first.append(lambda: awaited)
    finally:
        asyncio.tasks._leave_task(loop, task)
        if outer is not None:
            asyncio.tasks._enter_task(loop, outer)
    return task


def _raise(error: BaseException) -> None:
    raise error


class Hands:
    """A dispatcher whose invocations end when the test says so (or at once, with `result`)."""

    def __init__(self, result: InvocationResult | None = None) -> None:
        self.result = result
        self.seen: list[str] = []
        self.running: list[tuple[Batch, Done]] = []

    def start(self, batch: Batch, on_done: Done) -> None:
        self.seen += [message.record["body"] for message in batch.messages]
        if self.result is None:
            self.running.append((batch, on_done))
        else:
            asyncio.get_running_loop().call_soon(on_done, self.result, 0.0)

    def end(self, result: InvocationResult = OK) -> None:
        """The oldest invocation ends."""
        _, on_done = self.running.pop(0)
        on_done(result, 0.5)


class Beats:
    """Remembers which receipts the heartbeat would keep alive."""

    def __init__(self) -> None:
        self.held: set[str] = set()

    def hold(self, messages: tuple[Message, ...], seconds: int) -> None:
        self.held |= {message.id for message in messages}

    def let_go(self, ids: tuple[str, ...]) -> None:
        self.held -= set(ids)


class NoHandler:
    """A handler for a coordinator whose dispatcher is `Hands`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = 0

    async def start(self) -> None:
        if self.error is not None:
            raise self.error

    async def invoke(self, invocation: object) -> InvocationResult:
        raise AssertionError("the dispatcher is a double")

    async def close(self) -> None:
        self.closed += 1


class Life:
    """A coordinator on a FakeQueue, not started yet. `answers` are what opening the queue comes to, in order: an
    error is raised, anything else awaited; then it works.
    """

    def __init__(
        self,
        queue: FakeQueue,
        mapping: EventSourceMapping | None = None,
        *,
        hands: Hands | None = None,
        handler: NoHandler | None = None,
        answers: tuple[Any, ...] = (),
        beats: Beats | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.queue = queue
        self.hands = hands or Hands()
        self.handler = handler or NoHandler()
        self.answers = list(answers)
        self.opened = 0
        self.budget = ByteBudget()
        self.coordinator = QueueCoordinator(
            mapping or mapping_of(),
            self._open,
            self.handler,
            self.hands,
            metrics=metrics or Metrics(),
            clock=SystemClock(),
            budget=self.budget,
            longest_wait=20,
            random=Random(1),
            beats=beats,
        )

    @property
    def stats(self) -> Any:
        return self.coordinator.stats

    @property
    def state(self) -> str:
        return str(self.coordinator.stats.state.value)

    async def _open(self) -> tuple[QueueSource, QueueFacts]:
        self.opened += 1
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            await answer
        return self.queue, await self.queue.describe()

    async def polling(self) -> "Life":
        """Waits until a long poll is under way."""
        await until(lambda: self.queue.service.waiting, "a long poll")
        return self

    async def invoked(self, number: int = 1) -> None:
        await until(lambda: len(self.hands.running) >= number, "an invocation")

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([self.coordinator.task])
        self.coordinator.task.result()
