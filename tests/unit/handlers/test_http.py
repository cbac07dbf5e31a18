"""One POST: what it carries, and what becomes of the answer, however hostile (INV)."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
import pytest

from poller import __version__
from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, Instant, NotInvoked, Succeeded, Throttled
from poller.core.trace_headers import TraceContext
from poller.errors import ConfigurationError
from poller.handlers import http
from poller.handlers.callables import RESPONSE_LIMIT
from poller.handlers.http import HttpHandler
from poller.ports import Invocation
from tests.unit.handlers.http_rig import answer_of, facing, handling, invocation, until
from tests.unit.handlers.http_server import Line, always, bomb, raw, target


class At:
    """A clock that stands still."""

    def now(self) -> Instant:
        return Instant(1_700_000_000.25, 1000.0)


# --- the request ---


async def test_what_is_sent(mapping: EventSourceMapping) -> None:
    """INV-9: the event as compact JSON, and what Lambda's runtime API tells, under its names."""
    async with facing(mapping, always(), "/orders/%2F?key=a%2Bb", clock=At()) as (serving, handler):
        event = {"Records": [{"body": "é ß"}]}
        assert await handler.invoke(Invocation(event, "request-7", 1030.0)) == Succeeded(b"null")
    ((head, body),) = serving.requests
    assert head[0] == "POST /orders/%2F?key=a%2Bb HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    assert headers == {
        "Host": f"127.0.0.1:{serving.port}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": f"esm-poller/{__version__}",
        "Esm-Mapping": "orders",
        "Lambda-Runtime-Aws-Request-Id": "request-7",
        "Lambda-Runtime-Deadline-Ms": "1700000030250",
        "Lambda-Runtime-Invoked-Function-Arn": mapping.function_arn,
    }
    assert body == '{"Records":[{"body":"é ß"}]}'.encode()


async def test_the_largest_event_arrives_whole(mapping: EventSourceMapping) -> None:
    """BAT-2: 6 MB in one request, without a word of warning."""
    async with facing(mapping, always()) as (serving, handler):
        assert await handler.invoke(invocation({"x": "y" * 6_291_448})) == Succeeded(b"null")
    assert len(serving.requests[0][1]) == 6_291_456


async def test_a_signature_is_sent_when_it_is_asked_for(
    mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It covers the body that was sent, and stands for the time at which it was."""
    monkeypatch.setenv("HOOK_SECRET", "secret")
    async with facing(mapping, always(), clock=At(), hmac_secret_variable="HOOK_SECRET") as (serving, handler):
        monkeypatch.delenv("HOOK_SECRET")  # it was read at the start
        await handler.invoke(invocation({}))
    signed = "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    assert f"Esm-Signature: {signed}" in serving.requests[0][0]


async def test_a_secret_that_is_not_there(mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at the start: nothing is ever sent without the signature that was asked for."""
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match=r"'orders'.*HOOK_SECRET"):
        async with handling(mapping, "http://127.0.0.1:1", hmac_secret_variable="HOOK_SECRET"):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "https:",
        "http://",
        "ftp://host/x",
        "http://me:pass-word@host",
        "http://me@host",
        "http://host:x",
        "http://[",
    ],
)
async def test_a_url_that_cannot_be_called(mapping: EventSourceMapping, url: str) -> None:
    """CFG-2: one sentence, which does not repeat what may be a password."""
    handler = HttpHandler(url, mapping)
    with pytest.raises(ConfigurationError, match="Mapping 'orders': FunctionName is not a URL") as caught:
        await handler.start()
    assert "pass-word" not in str(caught.value)
    await handler.close()


# --- the answer ---


@pytest.mark.parametrize(
    ("status", "body", "payload"),
    [
        ("200 OK", b'{"batchItemFailures":[]}', b'{"batchItemFailures":[]}'),
        ("202 Accepted", b"done", b"done"),
        ("200 OK", b"", b"null"),
        ("200 OK", b"\n", b"null"),
    ],
)
async def test_the_response_of_a_success(mapping, status: str, body: bytes, payload: bytes) -> None:
    """INV-9: the body as it came; nothing is null."""
    assert await answer_of(mapping, always(body, status)) == Succeeded(payload)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
)
async def test_successes_in_other_shapes(mapping: EventSourceMapping, data: bytes) -> None:
    """INV-9: no content, chunks, interim answers, an answer that ends with its connection."""
    assert await answer_of(mapping, raw(data)) == Succeeded(b"null")


async def test_a_body_that_is_not_what_it_says(mapping: EventSourceMapping) -> None:
    """INV-9: a success all the same; what the body means is judged where it matters."""
    script = always(b"not gzip", extra="Content-Encoding: gzip\r\n")
    assert await answer_of(mapping, script) == Succeeded(b"not gzip")


async def test_a_body_without_a_length_ends_with_its_connection(mapping: EventSourceMapping) -> None:
    """INV-9: as HTTP/1.0 has it."""
    assert await answer_of(mapping, raw(b"HTTP/1.1 200 OK\r\n\r\n[1,2]")) == Succeeded(b"[1,2]")


@pytest.mark.parametrize(
    ("status", "extra", "kind"),
    [
        ("404 Not Found", "", FunctionError),
        ("200 OK", "X-Amz-Function-Error: Unhandled\r\n", FunctionError),
        ("429 Too Many Requests", "Retry-After: 9\r\n", Throttled),
        ("503 Service Unavailable", "Retry-After: Tue, 14 Nov 2023 22:13:30 GMT\r\n", Throttled),
        ("500 Internal Server Error", "", NotInvoked),
        ("408 Request Timeout", "Connection: close\r\n", NotInvoked),
        ("301 Moved Permanently", "Location: http://127.0.0.1:1/elsewhere?token=x\r\n", NotInvoked),
    ],
)
async def test_answers_that_are_no_success(mapping, status: str, extra: str, kind: type) -> None:
    """INV-2, INV-4, INV-9: told by status and host; what the body says is not repeated."""
    async with facing(mapping, always(b"secret record data", status, extra), clock=At()) as (serving, handler):
        result = await handler.invoke(invocation())
    assert isinstance(result, kind)
    assert result.message.startswith(f"{status} from 127.0.0.1:{serving.port}")
    assert "secret" not in repr(result)
    assert "token" not in repr(result)
    if isinstance(result, Throttled):
        assert result.retry_after in {9.0, 9.75}
    assert len(serving.requests) == 1, "nothing was followed or repeated"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"batchItemFail',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"bat\r\n',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nsecret",
        b"secret record data\r\n\r\n",
        b"HTTP/1.1 2000 secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"secret" * 50_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: secret\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nsecret\x00: 1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_an_answer_that_is_none(mapping: EventSourceMapping, data: bytes) -> None:
    """INV-4: broken off or not HTTP; whether the batch ran is not known, so it is tried again."""
    result = await answer_of(mapping, raw(data))
    assert isinstance(result, NotInvoked)
    assert "the batch may have been run: 127.0.0.1:" in result.message
    assert "secret" not in result.message


@pytest.mark.parametrize("sent", [b"", b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"batchI'])
async def test_a_connection_that_is_reset(mapping: EventSourceMapping, sent: bytes) -> None:
    """INV-4: before its answer or in the middle of it."""

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.send(sent)
        line.reset()

    result = await answer_of(mapping, script)
    assert isinstance(result, NotInvoked)
    assert "the batch may have been run" in result.message


async def test_a_refusal_before_the_event_was_read(mapping: EventSourceMapping) -> None:
    """INV-2: such as 413 by a proxy that takes small bodies only: it counts although much is still to be sent."""

    async def script(line: Line, number: int) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.answer(status="413 Content Too Large")
        await line.gone()

    result = await answer_of(mapping, script, {"x": "y" * 6_000_000})
    assert isinstance(result, FunctionError)
    assert result.error_type == "Http.413"


# --- answers that are too long ---


def pouring(head: bytes, piece: bytes, poured: list[int]) -> Callable[[Line, int], Awaitable[None]]:
    """Answers with a body without end; `poured` gets the bytes that were taken off."""

    async def script(line: Line, number: int) -> None:
        await line.request()
        if number == 1:
            await line.send(head)
            while True:
                await line.send(piece)
                poured.append(len(piece))
        await line.answer()

    return script


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    ],
)
async def test_a_response_without_end(mapping: EventSourceMapping, head: bytes, piece: bytes) -> None:
    """INV-5: read no further than a response may be long, and the connection closed; the next call has its own."""
    poured: list[int] = []
    async with facing(mapping, pouring(head, piece, poured)) as (serving, handler):
        tracemalloc.start()
        try:
            result = await handler.invoke(invocation())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert isinstance(result, FunctionError)
        assert result.error_type == "Function.ResponseSizeTooLarge"
        await until(lambda: serving.closed == 1)
        assert await handler.invoke(invocation()) == Succeeded(b"null")
    assert sum(poured) < 8 * RESPONSE_LIMIT
    assert peak < 5 * RESPONSE_LIMIT


async def test_a_response_that_says_it_is_too_long_is_not_read(mapping: EventSourceMapping) -> None:
    """INV-5: not even begun."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 6291457\r\n\r\n"

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.send(data)
        await line.gone()

    result = await answer_of(mapping, script)
    assert isinstance(result, FunctionError)
    assert result.error_type == "Function.ResponseSizeTooLarge"


async def test_a_bomb_on_its_way(mapping: EventSourceMapping) -> None:
    """INV-5: nobody inflates more of it than a response may be long."""
    tracemalloc.start()
    try:
        result = await answer_of(mapping, always(bomb(512), extra="Content-Encoding: gzip\r\n"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(result, FunctionError)
    assert result.error_type == "Function.ResponseSizeTooLarge"
    assert peak < 5 * RESPONSE_LIMIT


# --- a target that cannot be reached ---


async def test_nobody_listens(mapping: EventSourceMapping) -> None:
    """INV-4: and when somebody does, it works."""
    async with target(always()) as serving:
        await serving.stop()
        async with handling(mapping, serving.url) as handler:
            result = await handler.invoke(invocation())
            assert isinstance(result, NotInvoked)
            assert result.message.startswith("unreachable, no connection (Connect")
            assert result.message.endswith(f": 127.0.0.1:{serving.port}")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "x..example"])
async def test_a_host_whose_name_cannot_be_asked_for(mapping: EventSourceMapping, host: str) -> None:
    """INV-4: not an exception of the resolver."""
    async with handling(mapping, f"http://{host}/") as handler:
        result = await handler.invoke(invocation())
    assert isinstance(result, NotInvoked)
    assert result.message.endswith(f": {host}")


async def test_a_connection_that_does_not_come_about(
    mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-4: its time is bounded, however much the invocation has."""
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.05)

    async def deaf(line: Line, number: int) -> None:
        await line.gone()

    async with target(deaf) as serving, handling(mapping, f"https://127.0.0.1:{serving.port}") as handler:
        result = await handler.invoke(invocation())
        assert result == NotInvoked(f"unreachable, no connection within 0.05 s: 127.0.0.1:{serving.port}")
        await until(lambda: serving.closed == serving.connections == 1)


async def test_an_answer_may_take_as_long_as_the_invocation(mapping: EventSourceMapping) -> None:
    """INV-3: the dispatcher alone keeps that time."""
    async with handling(mapping, "http://127.0.0.1:1") as handler:
        assert handler._session is not None
        assert handler._session.timeout == aiohttp.ClientTimeout(total=None, connect=10.0, sock_read=None)


async def test_a_handler_that_is_closed(mapping: EventSourceMapping) -> None:
    """INV-9: not invoked, and no exception; closing it again is nothing."""
    handler = HttpHandler("http://127.0.0.1:1", replace(mapping))
    assert await handler.invoke(invocation()) == NotInvoked("the handler is closed")
    await handler.start()
    await handler.close()
    await handler.close()
    assert await handler.invoke(invocation()) == NotInvoked("the handler is closed")


async def test_a_slow_answer_is_waited_for(mapping: EventSourceMapping) -> None:
    """INV-3: byte by byte, as long as it comes."""
    goes_on = asyncio.Event()

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[")
        await goes_on.wait()
        await line.send(b"1]")

    async with facing(mapping, script) as (serving, handler):
        call = asyncio.create_task(handler.invoke(invocation()))
        await until(lambda: len(serving.requests) == 1)
        assert not call.done()
        goes_on.set()
        assert await call == Succeeded(b"[1]")


async def test_the_trace_goes_with_the_request(mapping: EventSourceMapping) -> None:
    """W3C Trace Context; nothing of it without a trace."""
    traced = replace(
        invocation(),
        trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="a=1"),
    )
    async with facing(mapping, always()) as (serving, handler):
        for call in (traced, invocation()):
            assert await handler.invoke(call) == Succeeded(b"null")
    first, second = ([line for line in head if line.startswith("trace")] for head, _ in serving.requests)
    assert first == ["traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate: a=1"]
    assert second == []
