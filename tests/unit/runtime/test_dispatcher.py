"""Exactly one result for each batch, in time, whatever the handler does."""

import asyncio
import contextlib
import contextvars
import gc
import logging
import threading
import time
import uuid
from collections.abc import Awaitable, Callable

import pytest

from poller.clock import SystemClock
from poller.core.mapping import EventSourceMapping, HandlerSettings, SourceArn
from poller.core.model import (
    Batch,
    BatchTrigger,
    FunctionError,
    InvocationResult,
    NotInvoked,
    SourceKind,
    Succeeded,
)
from poller.handlers.python import PythonHandler
from poller.ports import Invocation
from poller.runtime import dispatcher as module
from poller.runtime.dispatcher import Dispatcher
from tests.unit.runtime.rig import eager_tasks, until

LONG = 300.0
SHORT = 0.05


def mapping_of(timeout: float, concurrency: int = 10) -> EventSourceMapping:
    arn = SourceArn("arn:aws:sqs:eu-west-1:1:orders", "aws", "eu-west-1", "1", "orders")
    settings = HandlerSettings(timeout=timeout, concurrency=concurrency)
    return EventSourceMapping("u", "orders", SourceKind.SQS, arn, "python:a:b", "arn:fn", handler=settings)


def batch_of(number: int = 1) -> Batch:
    return Batch(number, (), BatchTrigger.SIZE, 0.0, 0, 0.0)


class Calls:
    """A handler made of a coroutine function of the invocation."""

    def __init__(self, function: Callable[[Invocation], Awaitable[InvocationResult]]) -> None:
        self.invoke = function

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Results:
    """Collects what the dispatcher tells; `next` waits for one more."""

    def __init__(self) -> None:
        self.seen: list[tuple[InvocationResult, float]] = []
        self._queue: asyncio.Queue[InvocationResult] = asyncio.Queue()

    def __call__(self, result: InvocationResult, seconds: float) -> None:
        self.seen.append((result, seconds))
        self._queue.put_nowait(result)

    async def next(self) -> InvocationResult:
        return await asyncio.wait_for(self._queue.get(), 60)


async def dispatcher_of(function, timeout: float = LONG, **settings) -> Dispatcher:
    mapping = mapping_of(timeout, **settings)
    handler = PythonHandler(function, mapping)
    await handler.start()
    return Dispatcher(handler, mapping, SystemClock(), lambda batch: {"n": batch.number})


async def test_the_result_and_the_time_are_told_once():
    async def handler(event, context):
        assert asyncio.current_task().get_name() == "esm:orders:invoke"
        return event["n"]

    dispatcher, results = await dispatcher_of(handler), Results()
    dispatcher.start(batch_of(7), results)
    assert results.seen == []  # never before start has returned
    assert dispatcher.running == 1
    assert await results.next() == Succeeded(b"7")
    assert dispatcher.running == 0
    await dispatcher.close(0)
    ((_, seconds),) = results.seen
    assert 0 <= seconds < 60


async def test_a_task_factory_of_the_program_may_begin_the_handler_at_once():
    """INV-9: a handler that never suspends has its one result, later, and is no timeout."""
    seen = []

    async def handler(event, context):
        seen.append((asyncio.current_task().get_name(), module.current_mapping.get("?")))
        return event["n"]

    dispatcher, results = await dispatcher_of(handler), Results()
    asyncio.get_running_loop().set_task_factory(eager_tasks)
    for number in (1, 2):
        dispatcher.start(batch_of(number), results)
    assert results.seen == []
    assert dispatcher.running == 2
    assert [await results.next(), await results.next()] == [Succeeded(b"1"), Succeeded(b"2")]
    assert dispatcher.running == 0
    assert seen == [("esm:orders:invoke", "orders")] * 2
    dispatcher.start(batch_of(3), results)
    dispatcher.abandon_all()  # before it had a turn
    assert (await results.next()).error_type == "Runtime.Abandoned"
    await dispatcher.close(60)
    assert (dispatcher.running, dispatcher.abandoned, len(results.seen)) == (0, 0, 3)


async def test_many_at_once_each_get_their_own():
    async def handler(event, context):
        await asyncio.sleep(0)
        return event["n"]

    dispatcher = await dispatcher_of(handler)
    several = [Results() for _ in range(100)]
    for number, results in enumerate(several):
        dispatcher.start(batch_of(number), results)
    assert [(await results.next()).payload for results in several] == [b"%d" % n for n in range(100)]


async def test_inv_9_a_handler_that_never_returns_times_out():
    """INV-9: the timeout is a function error, and the task is cancelled."""
    ended = asyncio.Event()

    async def handler(event, context):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    dispatcher, results = await dispatcher_of(handler, SHORT), Results()
    dispatcher.start(batch_of(), results)
    assert await results.next() == FunctionError(
        "Sandbox.Timedout", "Task timed out after 0.05 seconds", timed_out=True
    )
    await asyncio.wait_for(ended.wait(), 60)


async def test_one_timer_does_however_many_time_out_and_begin_the_next(monkeypatch: pytest.MonkeyPatch):
    """INV-9: the machine invokes the next batch within the end of the one that timed out."""
    loop = asyncio.get_running_loop()
    call_at, timers, rung = loop.call_at, [], 0

    async def handler(event, context):
        await asyncio.Event().wait()

    dispatcher, results = await dispatcher_of(handler, 0.2), Results()
    ring = dispatcher._ring

    def counted_ring() -> None:
        nonlocal rung
        rung += 1
        ring()

    def counted_call_at(when, callback, *args, **fields):
        timer = call_at(when, callback, *args, **fields)
        if callback is counted_ring:
            timers.append(timer)
        return timer

    def begin_the_next(result: InvocationResult, seconds: float) -> None:
        dispatcher.start(batch_of(), results)
        results(result, seconds)

    monkeypatch.setattr(dispatcher, "_ring", counted_ring)
    monkeypatch.setattr(loop, "call_at", counted_call_at)
    for _ in range(4):  # the first is due, the others soon
        dispatcher.start(batch_of(), begin_the_next)
        later = loop.time() + 0.02
        await until(lambda later=later: loop.time() >= later, "another deadline than this one's")
    for _ in range(4):
        assert (await results.next()).timed_out
        assert len(timers) - sum(timer.cancelled() for timer in timers) - rung == 1
    await dispatcher.close(60)


async def test_a_thread_that_never_returns_times_out_and_others_go_on():
    release = threading.Event()

    def handler(event, context):
        if event["n"] == 1:
            release.wait()
        return "done"

    dispatcher, results = await dispatcher_of(handler, 0.3, concurrency=1), Results()
    try:
        dispatcher.start(batch_of(1), results)
        assert (await results.next()).timed_out
        dispatcher.start(batch_of(2), results)
        assert await results.next() == Succeeded(b'"done"')
    finally:
        release.set()


async def test_a_handler_that_swallows_its_cancellation_is_left_behind(caplog: pytest.LogCaptureFixture):
    release = asyncio.Event()
    swallowed = 0

    async def handler(event, context):
        nonlocal swallowed
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                swallowed += 1
        return "much too late"

    dispatcher, results = await dispatcher_of(handler, SHORT), Results()
    dispatcher.start(batch_of(), results)
    assert (await results.next()).timed_out
    assert dispatcher.abandoned == 1
    await dispatcher.close(grace=0.01)
    assert swallowed == 1
    assert [record.action for record in caplog.records] == ["handler_left_behind"]
    release.set()
    async with asyncio.timeout(60):
        while dispatcher.abandoned:  # noqa: ASYNC110 - a task that asyncio no longer knows sets no event
            await asyncio.sleep(0.001)
    assert len(results.seen) == 1  # what it returned in the end came too late


def test_a_deaf_handler_does_not_keep_asyncio_run_from_ending(caplog: pytest.LogCaptureFixture):
    async def handler(event, context):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def main():
        dispatcher, results = await dispatcher_of(handler, SHORT), Results()
        dispatcher.start(batch_of(), results)
        assert (await results.next()).timed_out
        await dispatcher.close(grace=0.01)

    asyncio.run(main())
    gc.collect()  # what is left of the handler is thrown away, and that is no error of the handler's
    assert [record.action for record in caplog.records] == ["handler_left_behind"]


async def test_too_many_deaf_invocations_and_nothing_new_is_invoked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_ABANDONED", 2)
    release = asyncio.Event()

    async def handler(event, context):
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    dispatcher, results = await dispatcher_of(handler, SHORT), Results()
    for _ in range(2):
        dispatcher.start(batch_of(), results)
        assert (await results.next()).timed_out
    dispatcher.start(batch_of(), results)
    assert len(results.seen) == 2  # later, not within start
    refused = await results.next()
    assert isinstance(refused, NotInvoked)
    assert "2 invocations still run" in refused.message
    release.set()
    await dispatcher.close(60)
    assert dispatcher.abandoned == 0


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
async def test_what_ends_programs_ends_an_invocation_only(error: BaseException):
    async def handler(event, context):
        raise error

    dispatcher, results = await dispatcher_of(handler), Results()
    dispatcher.start(batch_of(), results)
    result = await results.next()
    assert isinstance(result, FunctionError)
    assert result.error_type == type(error).__name__


async def test_a_handler_that_breaks_its_contract_is_logged_and_nothing_ran(caplog: pytest.LogCaptureFixture):
    async def invoke(invocation: Invocation) -> InvocationResult:
        raise ZeroDivisionError

    dispatcher, results = Dispatcher(Calls(invoke), mapping_of(LONG), SystemClock(), lambda batch: {}), Results()
    dispatcher.start(batch_of(), results)
    assert isinstance(await results.next(), NotInvoked)
    assert [record.action for record in caplog.records] == ["invocation_bug"]
    assert "ZeroDivisionError" in caplog.text


async def test_a_batch_has_its_result_even_where_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch):
    """GEN-2: or its messages would count as running for ever."""

    async def invoke(invocation: Invocation) -> InvocationResult:
        raise ZeroDivisionError

    def broken(*_: object, **__: object) -> None:
        raise ValueError("planted: the log is closed")

    dispatcher, results = Dispatcher(Calls(invoke), mapping_of(LONG), SystemClock(), lambda batch: {}), Results()
    monkeypatch.setattr(dispatcher._teller, "failure", broken)
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    dispatcher.start(batch_of(), results)
    assert isinstance(await results.next(), NotInvoked)
    assert dispatcher.running == 0
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert [str(one["exception"]) for one in unheard] == ["planted: the log is closed"]


async def test_an_event_that_cannot_be_built_is_logged_and_nothing_ran(caplog: pytest.LogCaptureFixture):
    async def invoke(invocation: Invocation) -> InvocationResult:
        pytest.fail("invoked without an event")

    def build(batch: Batch):
        raise ValueError("no event")

    dispatcher, results = Dispatcher(Calls(invoke), mapping_of(LONG), SystemClock(), build), Results()
    dispatcher.start(batch_of(), results)
    assert isinstance(await results.next(), NotInvoked)
    assert caplog.records[0].action == "invocation_bug"


async def test_abandon_all_answers_for_everything_at_once():
    never = asyncio.Event()

    async def handler(event, context):
        await never.wait()

    dispatcher, results = await dispatcher_of(handler), Results()
    for _ in range(3):
        dispatcher.start(batch_of(), results)
    await asyncio.sleep(0)
    dispatcher.abandon_all()
    assert [result.error_type for result, _ in results.seen] == ["Runtime.Abandoned"] * 3
    await dispatcher.close(60)
    assert (dispatcher.running, dispatcher.abandoned, len(results.seen)) == (0, 0, 3)


async def test_cancelled_from_outside_it_still_has_its_one_result():
    begun = asyncio.Event()
    tasks = []

    async def handler(event, context):
        tasks.append(asyncio.current_task())
        begun.set()
        await asyncio.Event().wait()

    dispatcher, results = await dispatcher_of(handler), Results()
    dispatcher.start(batch_of(), results)
    await begun.wait()
    tasks[0].cancel()
    assert (await results.next()).error_type == "Runtime.Cancelled"
    assert len(results.seen) == 1


async def test_what_a_handler_sets_in_its_context_ends_with_it():
    color = contextvars.ContextVar("color", default="none")
    seen = []

    async def handler(event, context):
        seen.append(("inside", color.get(), module.current_mapping.get("?")))
        color.set("red")

    dispatcher, results = await dispatcher_of(handler), Results()

    def on_done(result: InvocationResult, seconds: float) -> None:
        seen.append(("done", color.get(), module.current_mapping.get("?")))
        if len(seen) < 4:
            dispatcher.start(batch_of(), on_done)
        else:
            results(result, seconds)

    dispatcher.start(batch_of(), on_done)
    await results.next()
    assert seen == [("inside", "none", "orders"), ("done", "none", "?")] * 2


async def test_request_ids_are_uuids_and_differ():
    ids = set()

    async def handler(event, context):
        ids.add(context.aws_request_id)
        assert 0 < context.get_remaining_time_in_millis() <= LONG * 1000

    dispatcher, results = await dispatcher_of(handler), Results()
    for _ in range(200):
        dispatcher.start(batch_of(), results)
    for _ in range(200):
        assert isinstance(await results.next(), Succeeded)
    assert len(ids) == 200
    assert {uuid.UUID(identifier).version for identifier in ids} == {4}


async def test_a_blocked_loop_does_not_time_out_those_whose_answer_is_there():
    """One mapping's blocking handler is not paid for by the others."""
    answer = asyncio.Event()

    async def patient(event, context):
        await answer.wait()
        return "in time"

    async def blocking(event, context):
        asyncio.get_running_loop().call_soon(answer.set)
        time.sleep(1.0)  # noqa: ASYNC251 - the misbehaviour itself: past the other's timeout

    other, results = await dispatcher_of(patient, timeout=0.5), Results()
    blocker, blocked = await dispatcher_of(blocking), Results()
    other.start(batch_of(), results)
    blocker.start(batch_of(), blocked)
    assert await results.next() == Succeeded(b'"in time"')
    assert isinstance(await blocked.next(), Succeeded)


async def test_the_timeout_is_logged_by_nobody_here_but_errors_of_handlers_are(caplog: pytest.LogCaptureFixture):
    """Timeouts are told with the batch (telemetry); the traceback of user code only here."""
    never = asyncio.Event()

    async def handler(event, context):
        if event["n"] == 1:
            await never.wait()
        raise ValueError("bad order")

    dispatcher, results = await dispatcher_of(handler, SHORT), Results()
    dispatcher.start(batch_of(1), results)
    await results.next()
    dispatcher.start(batch_of(2), results)
    await results.next()
    assert [(record.action, record.levelno) for record in caplog.records] == [("handler_error", logging.WARNING)]
