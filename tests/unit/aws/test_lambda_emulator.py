"""The Runtime Interface Emulator, whose answers a script gives: what it sends, and what its answers come to."""

import asyncio
import json
from dataclasses import replace

import pytest

from poller.aws.lambda_answers import MOST_BYTES
from poller.aws.lambda_emulator import EmulatorHandler
from poller.core.mapping import EventSourceMapping, HandlerSettings, parse_mapping
from poller.core.model import FunctionError, NotInvoked, Succeeded, Throttled
from poller.core.trace_headers import TraceContext
from poller.errors import ConfigurationError
from poller.ports import Invocation

CALL = Invocation({"Records": [{"body": "ä"}]}, "request-1", 1e9)


@pytest.fixture
async def opened():
    """Makes a started handler for the emulator at a URL."""
    made = []

    async def opened(url, concurrency=2):
        found = parse_mapping({"EventSourceArn": "arn:aws:sqs:eu-west-1:000000000000:q", "FunctionName": "orders"})
        assert isinstance(found, EventSourceMapping), found
        mapping = replace(found, handler=HandlerSettings(concurrency=concurrency, endpoint_url=url))
        handler = EmulatorHandler(mapping, url)
        made.append(handler)
        await handler.start()
        return handler

    yield opened
    for handler in made:
        await handler.close()


@pytest.fixture
def emulator(serve):
    """Starts an emulator that gives these answers (status, body, headers), one after the other."""

    async def emulator(*answers):
        async def script(line, number):
            while True:
                await line.request()
                status, body, *extra = answers[(len(server.requests) - 1) % len(answers)]
                await line.answer(body, status, "".join(f"{header}\r\n" for header in extra))

        server = await serve(script)
        return server

    return emulator


async def test_inv_1_what_is_sent(emulator, opened, monkeypatch):
    """INV-1: the event, to the one path that emulators have, signed by nobody: no credentials are needed."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    server = await emulator(("200 OK", b'{"batchItemFailures":[]}', "Content-Type: text/plain; charset=utf-8"))
    assert await (await opened(f"{server.url}/")).invoke(CALL) == Succeeded(b'{"batchItemFailures":[]}')
    ((head, body),) = server.requests
    assert head.startswith(b"POST /2015-03-31/functions/function/invocations HTTP/1.1\r\n")
    assert b"authorization" not in head.lower()
    assert json.loads(body) == CALL.event


EXIT = FunctionError("Runtime.ExitError", "the emulator told no response: the function's process ended")
LATE = "Task timed out after 3.00 seconds"
RESULTS = {
    "nothing returned": (("200 OK", b"null"), Succeeded(b"null")),
    "a list": (("200 OK", b"[1]"), Succeeded(b"[1]")),
    "no JSON": (("200 OK", b"\xff"), Succeeded(b"\xff")),
    "a field that is empty": (
        ("200 OK", b'{"errorMessage":null,"n":1}'),
        Succeeded(b'{"errorMessage":null,"n":1}'),
    ),
    "an exception in Python": (
        ("200 OK", b'{"errorMessage": "id", "errorType": "KeyError", "requestId": "r", "stackTrace": ["f"]}'),
        FunctionError("KeyError", "id"),
    ),
    "an exception in Node": (
        ("200 OK", b'{"errorType":"Error","errorMessage":"failure","trace":["Error: failure"]}'),
        FunctionError("Error", "failure"),
    ),
    "an exception without words": (("200 OK", b'{"errorType":"E","errorMessage":""}'), FunctionError("E", "")),
    "only words": (("200 OK", b'{"errorMessage":"m"}'), FunctionError("Unhandled", "m")),
    "a timeout": (("200 OK", LATE.encode()), FunctionError("Sandbox.Timedout", LATE, timed_out=True)),
    "a timeout as JSON": (
        ("200 OK", f'"{LATE}"'.encode()),
        FunctionError("Sandbox.Timedout", LATE, timed_out=True),
    ),
    "a newer emulator's header": (
        ("200 OK", b'{"errorType":"E","errorMessage":"m"}', "X-Amz-Function-Error: Unhandled"),
        FunctionError("E", "m"),
    ),
    "a process that ended": (("200 OK", b""), EXIT),
    "a process that ended, as 502": (("502 Bad Gateway", b""), EXIT),
    "a function that did not start": (
        ("502 Bad Gateway", b'{"errorType":"Runtime.ImportModuleError","errorMessage":"no module"}'),
        FunctionError("Runtime.ImportModuleError", "no module"),
    ),
}


async def test_inv_2_what_the_function_came_to(emulator, opened):
    """INV-2: the emulator has no header for it, so a failed batch must be known by its payload."""
    server = await emulator(*(answer for answer, _ in RESULTS.values()))
    handler = await opened(server.url)
    for name, (_, expected) in RESULTS.items():
        assert await handler.invoke(CALL) == expected, name
    assert server.connections == 1


async def test_inv_4_a_busy_emulator_is_throttled(emulator, opened):
    """INV-4: it runs one invocation at a time, and says so without a word."""
    result = await (await opened((await emulator(("400 Bad Request", b""))).url)).invoke(CALL)
    assert isinstance(result, Throttled)
    assert "set Handler.Concurrency to 1" in result.message


async def test_inv_4_what_is_no_answer_of_an_emulator(emulator, opened):
    """INV-4: nothing is confirmed, and a redirect is not followed: the event is for nobody else."""
    elsewhere = await emulator(("200 OK", b"null"))
    answers = {
        "wrong path": ("404 Not Found", b"404 page not found\n"),
        "bad request": ("400 Bad Request", b"what?"),
        "internal": ("500 Internal Server Error", b""),
        "reset": ("504 Gateway Timeout", b""),
        "redirect": ("307 Temporary Redirect", b"", f"Location: {elsewhere.url}/"),
        "moved": ("301 Moved Permanently", b"", f"Location: {elsewhere.url}/"),
        "page": ("200 OK", b"<html>", "Content-Type: text/html"),
        "proxy": ("502 Bad Gateway", b"<html>", "Content-Type: text/html; charset=utf-8"),
        "another success": ("204 No Content", b""),
    }
    server = await emulator(*answers.values())
    handler = await opened(server.url)
    for name in answers:
        result = await handler.invoke(CALL)
        assert isinstance(result, NotInvoked), name
        assert result.message.startswith(f"The emulator at {server.url} did not invoke the function: ")
    assert not elsewhere.requests


async def test_inv_4_connections_that_break(serve, opened):
    """INV-4."""
    parts = [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnull", b"220 smtp\r\n"]

    async def script(line, number):
        await line.request()
        await line.send(parts[number - 1])

    server = await serve(script)
    handler = await opened(server.url)
    for part in parts:
        result = await handler.invoke(CALL)
        assert isinstance(result, NotInvoked), part
        assert "check Handler.EndpointUrl and the container" in result.message
    await server.stop()
    assert isinstance(await handler.invoke(CALL), NotInvoked)


@pytest.mark.parametrize("length", [MOST_BYTES, MOST_BYTES + 1, 30_000_000])
async def test_inv_5_a_response_is_read_up_to_the_limit(emulator, opened, length):
    """INV-5: more is not even read."""
    server = await emulator(("200 OK", b"x" * length), ("200 OK", b"null"))
    handler = await opened(server.url)
    result = await handler.invoke(CALL)
    if length > MOST_BYTES:
        assert isinstance(result, FunctionError)
        assert result.error_type == "Function.ResponseSizeTooLarge"
    else:
        assert result == Succeeded(b"x" * length)
    assert await handler.invoke(CALL) == Succeeded(b"null")


async def test_an_event_of_six_megabytes(emulator, opened):
    server = await emulator(("200 OK", b"null"))
    call = Invocation({"Records": ["x" * 6_000_000]}, "r", 1e9)
    assert await (await opened(server.url)).invoke(call) == Succeeded(b"null")
    assert json.loads(server.requests[0][1]) == call.event


async def test_inv_3_a_call_that_is_cancelled_leaves_its_connection(serve, opened, until):
    """INV-3."""
    server = await serve(lambda line, number: hang(line))
    handler = await opened(server.url, concurrency=1)
    for number in (1, 2):
        task = asyncio.create_task(handler.invoke(CALL))
        await until(lambda number=number: len(server.requests) == number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda number=number: server.closed == number)


async def hang(line):
    await line.request()
    await line.gone()


async def test_the_url_in_the_emulators_manual_is_refused_with_the_right_one(opened):
    with pytest.raises(ConfigurationError, match=r"write http://localhost:9000$"):
        await opened("http://localhost:9000/2015-03-31/functions/function/invocations")


async def test_a_closed_handler_calls_nobody(emulator, opened):
    server = await emulator(("200 OK", b"null"))
    handler = await opened(server.url)
    await handler.close()
    await handler.close()
    assert await handler.invoke(CALL) == NotInvoked("the handler has been closed")
    assert not server.requests


async def test_the_trace_is_told_as_to_lambda(emulator, opened):
    server = await emulator(("200 OK", b"null"))
    traced = replace(
        CALL, trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="a=1")
    )
    handler = await opened(server.url)
    for call in (traced, CALL):
        assert await handler.invoke(call) == Succeeded(b"null")
    found = [[line for line in head.splitlines() if line.startswith(b"X-Amzn")] for head, _ in server.requests]
    assert found == [
        [b"X-Amzn-Trace-Id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"],
        [],
    ]
