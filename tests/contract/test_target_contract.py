"""ports.Handler on every target: whatever a function does comes to one of four results and leaves nothing."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from poller.core.model import FunctionError, NotInvoked, Succeeded, Throttled
from poller.handlers.callables import RESPONSE_LIMIT
from poller.ports import Handler, Invocation
from tests.contract.targets import KITS, Kit

GENEROUS = 60.0
EVERY = pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)


def call(order: str, *, request_id: str = "request-1", timeout: float = GENEROUS, **fields) -> Invocation:
    return Invocation({"do": order, **fields}, request_id, time.monotonic() + timeout)


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


async def begun(handler: Handler, mark: Path) -> asyncio.Task:
    """A call that hangs, once its function runs."""
    task = asyncio.create_task(handler.invoke(call("hang", mark=str(mark))))
    await until(lambda: mark.exists() or task.done(), "the function to begin")
    assert not task.done(), task.result()
    return task


@EVERY
@pytest.mark.parametrize(
    ("value", "payload"),
    [
        (None, b"null"),
        ({}, b"{}"),
        ({"batchItemFailures": []}, b'{"batchItemFailures":[]}'),
        ({"batchItemFailures": [{"itemIdentifier": "é"}]}, None),
        ({"state": {"1": 2}}, b'{"state":{"1":2}}'),
    ],
)
async def test_inv_9_what_the_function_returns_is_the_payload(kit: Kit, value, payload, tmp_path: Path):
    """INV-9: null, empty, partial and any other response reach the core as the function gave them."""
    async with kit.serving(tmp_path) as handler:
        result = await handler.invoke(call("return", value=value))
    assert isinstance(result, Succeeded)
    if payload is not None:
        assert result.payload == payload
    else:
        assert result.payload.decode().replace("\\u00e9", "é") == '{"batchItemFailures":[{"itemIdentifier":"é"}]}'


@EVERY
async def test_inv_2_a_function_error_and_the_target_goes_on(kit: Kit, tmp_path: Path):
    """INV-2."""
    async with kit.serving(tmp_path) as handler:
        for _ in range(3):
            result = await handler.invoke(call("raise", message="bad order"))
            assert isinstance(result, FunctionError)
            assert not result.timed_out
            if kit.tells_errors:
                assert (result.error_type, result.message) == ("ValueError", "bad order")
        assert await handler.invoke(call("return", value=1)) == Succeeded(b"1")


@EVERY
async def test_inv_5_a_response_over_the_limit(kit: Kit, tmp_path: Path):
    """INV-5: the largest passes, one byte more is a function error, and the target goes on."""
    async with kit.serving(tmp_path) as handler:
        largest = await handler.invoke(call("large", bytes=RESPONSE_LIMIT))
        assert isinstance(largest, Succeeded)
        assert len(largest.payload) == RESPONSE_LIMIT
        for size in (RESPONSE_LIMIT + 1, 10_000_000):
            result = await handler.invoke(call("large", bytes=size))
            assert isinstance(result, FunctionError)
            assert result.error_type == "Function.ResponseSizeTooLarge"
        assert await handler.invoke(call("return", value=1)) == Succeeded(b"1")


@EVERY
@pytest.mark.parametrize("text", ["not json", '{"batchItemFailures": [', "\N{GRINNING FACE}", "NaN x"])
async def test_a_response_that_is_not_json_confirms_nothing(kit: Kit, text: str, tmp_path: Path):
    """INV-9: it is passed on as it is, for the core to judge, or a function error."""
    async with kit.serving(tmp_path) as handler:
        result = await handler.invoke(call("text", text=text))
        if kit.takes_bytes:
            assert result == Succeeded(text.encode())
        else:
            assert isinstance(result, FunctionError)
        assert await handler.invoke(call("return", value=1)) == Succeeded(b"1")


@EVERY
async def test_an_event_of_six_megabytes_with_every_kind_of_character(kit: Kit, tmp_path: Path):
    text = 'a "b" \\ \n\r\t\x00\x7f\x85\u2028 é \N{SNOWMAN} \N{GRINNING FACE} ' + "\N{EURO SIGN}" * 2_000_000
    async with kit.serving(tmp_path) as handler:
        result = await handler.invoke(call("measure", text=text))
        assert isinstance(result, Succeeded)
        digest = hashlib.sha256(text.encode()).hexdigest()
        assert result.payload.decode() == f'{{"characters":{len(text)},"sha256":"{digest}"}}'


@pytest.mark.parametrize("kit", [kit for kit in KITS if kit.has_context], ids=lambda kit: kit.name)
async def test_the_context_tells_the_request_and_the_time_that_is_left(kit: Kit, tmp_path: Path):
    async with kit.serving(tmp_path) as handler:
        result = await handler.invoke(call("context", request_id="r-7", timeout=50.0, most=50_000))
    assert result == Succeeded(b'{"request":"r-7","in_time":true}')


@EVERY
async def test_many_calls_at_once_and_each_has_its_own_answer(kit: Kit, tmp_path: Path):
    """INV-9: up to Handler.Concurrency calls run side by side."""
    async with kit.serving(tmp_path, concurrency=4) as handler:
        mark = str(tmp_path / "meeting")
        met = await asyncio.gather(*(handler.invoke(call("meet", count=4, mark=mark)) for _ in range(4)))
        assert met == [Succeeded(b"4")] * 4
        for start in range(0, 40, 4):
            numbers = range(start, start + 4)
            answers = await asyncio.gather(*(handler.invoke(call("return", value=n)) for n in numbers))
            assert answers == [Succeeded(str(n).encode()) for n in numbers]


@EVERY
async def test_inv_3_a_call_that_is_cancelled_ends_and_holds_no_slot(kit: Kit, tmp_path: Path):
    """INV-3: what the dispatcher does at the deadline; the only slot is free again."""
    async with kit.serving(tmp_path, concurrency=1) as handler:
        for number in range(2):
            mark = tmp_path / f"mark-{number}"
            task = await begun(handler, mark)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, GENEROUS)
            await until(lambda mark=mark: kit.has_ended(mark), "the work to end")
            assert await handler.invoke(call("return", value=number)) == Succeeded(str(number).encode())


@EVERY
async def test_at_the_stop_what_runs_is_cancelled_and_the_handler_closed(kit: Kit, tmp_path: Path):
    """INV-9: and nothing of the work goes on; a handler may be closed twice."""
    async with kit.serving(tmp_path, concurrency=2) as handler:
        assert await handler.invoke(call("return", value=1)) == Succeeded(b"1")
        mark = tmp_path / "mark"
        task = await begun(handler, mark)
        task.cancel()
        await asyncio.wait_for(handler.close(), GENEROUS)
        assert await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), GENEROUS)
        assert task.cancelled()
        await until(lambda: kit.has_ended(mark), "the work to end")


@EVERY
async def test_inv_4_a_target_that_cannot_be_reached_is_not_invoked(kit: Kit, tmp_path: Path):
    """INV-4: again and again, each time with a reason."""
    async with kit.unreachable(tmp_path) as handler:
        for _ in range(3):
            result = await handler.invoke(call("return", value=1))
            assert isinstance(result, NotInvoked)
            assert result.message


@pytest.mark.parametrize("kit", [kit for kit in KITS if kit.throttles], ids=lambda kit: kit.name)
async def test_inv_4_a_target_without_room_says_throttled(kit: Kit, tmp_path: Path):
    """INV-4: with the time that it named; and it is used again."""
    async with kit.serving(tmp_path) as handler:
        result = await handler.invoke(call("throttle", retry_after=3))
        assert isinstance(result, Throttled)
        assert result.retry_after in {3, None}
        assert await handler.invoke(call("return", value=1)) == Succeeded(b"1")
