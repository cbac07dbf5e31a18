"""Whatever a callable raises, returns or does is an outcome (INV-2, INV-5, INV-9)."""

import asyncio
import contextvars
import functools
import json
import logging
import sys
import threading
from collections.abc import Callable
from decimal import Decimal

import pytest

from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, NotInvoked, Succeeded
from poller.errors import ConfigurationError
from poller.handlers import threads
from poller.handlers.python import RESPONSE_LIMIT, PythonHandler, is_coroutine_callable
from poller.ports import Invocation


@pytest.fixture
async def run(mapping: EventSourceMapping, invocation: Callable[..., Invocation]):
    """run(function, event): the result of one invocation."""
    made: list[PythonHandler] = []

    async def run(function, event=None):
        handler = PythonHandler(function, mapping)
        made.append(handler)
        await handler.start()
        return await handler.invoke(invocation(event))

    yield run
    for handler in made:
        await handler.close()


async def of_coroutine_function(event, context):
    return [event["n"], context.aws_request_id, threading.current_thread() is threading.main_thread()]


def of_function(event, context):
    return [event["n"], context.aws_request_id, threading.current_thread() is threading.main_thread()]


def of_function_returning_a_coroutine(event, context):
    return of_coroutine_function(event, context)


class AsyncCallable:
    async def __call__(self, event, context):
        return await of_coroutine_function(event, context)

    async def method(self, event, context):
        return await of_coroutine_function(event, context)


class SyncCallable:
    def __call__(self, event, context):
        return of_function(event, context)


def with_extra(extra, event, context):
    return of_function(event, context)


async def with_extra_async(extra, event, context):
    return await of_coroutine_function(event, context)


@pytest.mark.parametrize(
    ("function", "in_loop"),
    [
        (of_coroutine_function, True),
        (AsyncCallable(), True),
        (AsyncCallable().method, True),
        (functools.partial(with_extra_async, 1), True),
        (functools.partial(functools.partial(with_extra_async), 1), True),
        (functools.partial(AsyncCallable()), True),
        (of_function_returning_a_coroutine, True),
        (of_function, False),
        (SyncCallable(), False),
        (functools.partial(with_extra, 1), False),
    ],
)
async def test_every_kind_of_callable_runs_where_it_belongs(run, function, in_loop: bool):
    result = await run(function, {"n": 4})
    assert isinstance(result, Succeeded)
    assert json.loads(result.payload) == [4, "request-1", in_loop]


@pytest.mark.parametrize(
    ("function", "known"),
    [
        (of_coroutine_function, True),
        (AsyncCallable(), True),
        (AsyncCallable().method, True),
        (functools.partial(functools.partial(AsyncCallable())), True),
        (functools.partial(AsyncCallable().method), True),
        (of_function_returning_a_coroutine, False),
        (of_function, False),
        (SyncCallable(), False),
        (AsyncCallable, False),
        (print, False),
    ],
)
def test_what_is_known_to_be_called_without_blocking(function, known: bool):
    assert is_coroutine_callable(function) is known


class Unwritable(dict):
    def items(self):
        raise SystemExit

    def __iter__(self):
        raise SystemExit


CIRCULAR: list = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        (None, b"null"),
        ({"batchItemFailures": []}, b'{"batchItemFailures":[]}'),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, b'{"batchItemFailures":[{"itemIdentifier":"a"}]}'),
        ({"batchItemFailures": None}, b'{"batchItemFailures":null}'),
        ({}, b"{}"),
        ("", b'""'),
        (True, b"true"),
        ({1: 2, None: "x"}, b'{"1":2,"null":"x"}'),
        ((1, 2.5), b"[1,2.5]"),
        ("\ud800é", b'"\\ud800\\u00e9"'),
        (float("nan"), b"NaN"),
        ({"n": Decimal("1.5"), "m": Decimal("NaN")}, b'{"n":1.5,"m":NaN}'),
        (b'{"raw": 1}', b'{"raw": 1}'),
    ],
)
async def test_a_response_becomes_json_as_lambdas_runtime_writes_it(run, value, payload: bytes):
    async def handler(event, context):
        return value

    assert await run(handler) == Succeeded(payload)


@pytest.mark.parametrize("value", [{1, 2}, object(), [b"x"], {(1,): 2}, CIRCULAR, Unwritable(a=1), sys, 1j])
async def test_a_response_that_is_not_json_is_a_marshal_error(run, value):
    def handler(event, context):
        return value

    result = await run(handler)
    assert isinstance(result, FunctionError)
    assert (result.error_type, result.handled, result.timed_out) == ("Runtime.MarshalError", False, False)


async def test_inv_5_a_response_of_ten_megabytes_is_too_large(run):
    """INV-5."""
    result = await run(lambda event, context: "x" * 10_000_000)
    assert isinstance(result, FunctionError)
    assert result.error_type == "Function.ResponseSizeTooLarge"
    assert str(RESPONSE_LIMIT) in result.message


async def test_inv_5_the_largest_response_passes(run):
    """INV-5: exactly 6 MiB with the quotes."""
    assert isinstance(await run(lambda event, context: "x" * (RESPONSE_LIMIT - 2)), Succeeded)
    assert isinstance(await run(lambda event, context: "x" * (RESPONSE_LIMIT - 1)), FunctionError)


class BadStrError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class ExitingStrError(Exception):
    def __str__(self):  # noqa: PLE0307 - that is what is wrong with it
        sys.exit(9)

    __repr__ = __str__


class NoStrError(Exception):
    def __str__(self):
        return 7  # noqa: PLE0307 - that is what is wrong with it


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad order"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError("mine"),
        TimeoutError(),
        MemoryError(),
        RecursionError("deep"),
        BaseExceptionGroup("many", [SystemExit(1), ValueError("x")]),
        BadStrError(),
        ExitingStrError(),
        NoStrError(),
        BaseException("base"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", ["async", "sync", "late"])
async def test_inv_2_whatever_is_raised_is_an_unhandled_error(run, error: BaseException, kind: str):
    """INV-2: and the event loop goes on."""

    async def asynchronous(event, context):
        await asyncio.sleep(0)
        raise error

    def synchronous(event, context):
        raise error

    def late(event, context):
        return asynchronous(event, context)

    result = await run({"async": asynchronous, "sync": synchronous, "late": late}[kind])
    assert isinstance(result, FunctionError)
    assert result.error_type == type(error).__name__
    assert not result.handled
    assert not result.timed_out
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


@pytest.mark.parametrize("error", [StopIteration(1), StopAsyncIteration()])
async def test_exceptions_that_futures_and_coroutines_refuse(run, error: Exception):
    def handler(event, context):
        raise error

    result = await run(handler)
    assert isinstance(result, FunctionError)
    assert result.error_type == type(error).__name__


async def test_sys_exit_in_a_coroutine_function(run):
    async def handler(event, context):
        sys.exit("enough")

    result = await run(handler)
    assert result == FunctionError("SystemExit", "enough")


async def test_the_wrong_number_of_arguments_is_the_functions_error(run):
    async def handler(event):
        return None

    result = await run(handler)
    assert isinstance(result, FunctionError)
    assert result.error_type == "TypeError"


async def test_a_long_message_is_cut(run):
    async def handler(event, context):
        raise ValueError("x" * 100_000)

    result = await run(handler)
    assert len(result.message) == 1024
    assert result.message.endswith("x…")


async def test_our_cancellation_passes_through(mapping: EventSourceMapping, invocation):
    begun = asyncio.Event()

    async def handler(event, context):
        begun.set()
        await asyncio.Event().wait()

    python = PythonHandler(handler, mapping)
    await python.start()
    task = asyncio.create_task(python.invoke(invocation()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_blocking_function_sees_the_callers_context_variables(run):
    color = contextvars.ContextVar("color")
    color.set("green")

    def handler(event, context):
        seen = color.get()
        color.set("red")
        return seen

    assert await run(handler) == Succeeded(b'"green"')
    assert color.get() == "green"


async def test_functions_that_never_return_do_not_use_up_the_threads(
    mapping: EventSourceMapping, invocation, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(threads, "MOST_ABANDONED", 3)
    release = threading.Event()
    begun = threading.Semaphore(0)

    def handler(event, context):
        if event.get("hang"):
            begun.release()
            release.wait()
        return "done"

    python = PythonHandler(handler, mapping)
    await python.start()
    try:
        for _ in range(3):
            assert await python.invoke(invocation()) == Succeeded(b'"done"')
            task = asyncio.create_task(python.invoke(invocation({"hang": True})))
            await asyncio.to_thread(begun.acquire)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        refused = await python.invoke(invocation())
        assert isinstance(refused, NotInvoked)
        assert "3 calls of the function still run" in refused.message
        release.set()
        async with asyncio.timeout(30):
            while await python.invoke(invocation()) != Succeeded(b'"done"'):  # noqa: ASYNC110 - ends of abandoned calls set no event
                await asyncio.sleep(0.01)
    finally:
        release.set()
        await python.close()


async def test_an_error_is_logged_with_the_users_line_and_traceback_but_not_each_time(
    run, mapping: EventSourceMapping, invocation, caplog: pytest.LogCaptureFixture
):
    async def handler(event, context):
        raise BadStrError

    python = PythonHandler(handler, mapping)
    await python.start()
    for _ in range(50):
        assert isinstance(await python.invoke(invocation()), FunctionError)
    (record,) = [record for record in caplog.records if record.action == "handler_error"]
    assert record.levelno == logging.WARNING
    assert record.mapping == "orders"
    assert "test_python.py:" in record.at
    assert record.exc_info is not None
    assert "raise BadStrError" in caplog.text


async def test_start_refuses_what_cannot_be_called(mapping: EventSourceMapping):
    with pytest.raises(ConfigurationError, match="python:sys:path is 'list', which cannot be called"):
        await PythonHandler("sys:path", mapping).start()
