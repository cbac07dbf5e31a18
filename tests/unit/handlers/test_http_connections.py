"""The connections of an HTTP target: kept, given up, secured, led through a proxy."""

import asyncio
import base64
import os
import sys

import pytest
from aiohttp.client_proto import ResponseHandler

from poller.core.mapping import EventSourceMapping
from poller.core.model import NotInvoked, Succeeded
from poller.errors import ConfigurationError
from poller.handlers.http import HttpHandler
from tests.unit.handlers.http_rig import GENEROUS, facing, handling, invocation, until
from tests.unit.handlers.http_server import CERTS, Line, always, target


def open_connections(handler: HttpHandler) -> int:
    assert handler._session is not None
    pools = handler._session.connector._conns.values()
    return sum(protocol.is_connected() for pool in pools for protocol, _ in pool)


# --- kept alive ---


async def test_calls_one_after_the_other_share_a_connection(mapping: EventSourceMapping) -> None:
    """INV-9: a thousand batches, one handshake."""
    async with facing(mapping, always(b"{}")) as (serving, handler):
        for _ in range(1_000):
            assert await handler.invoke(invocation()) == Succeeded(b"{}")
        assert serving.connections == 1
        assert len(serving.requests) == 1_000


@pytest.mark.parametrize("count", [4, 150])
async def test_calls_at_once_have_connections_of_their_own(mapping: EventSourceMapping, count: int) -> None:
    """INV-9: as many as may run, whatever the client's own limit is, and they are kept."""
    everyone = asyncio.Barrier(count)

    async def script(line: Line, number: int) -> None:
        while True:
            await line.request()
            await everyone.wait()
            await line.answer(str(number).encode())

    async with facing(mapping, script, concurrency=count) as (serving, handler):
        for _ in range(3):
            results = await asyncio.gather(*(handler.invoke(invocation()) for _ in range(count)))
            assert {int(result.payload) for result in results} == set(range(1, count + 1))
        assert serving.connections == count


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error", "429 Too Many Requests"])
async def test_an_answer_that_was_short_and_whole_costs_no_connection(mapping, status: str) -> None:
    """INV-9: its body came with it, so there is nothing to read."""
    async with facing(mapping, always(b"no", status)) as (serving, handler):
        for _ in range(3):
            await handler.invoke(invocation())
        assert serving.connections == 1


async def test_the_body_of_a_refusal_is_not_waited_for(mapping: EventSourceMapping) -> None:
    """INV-9: the connection is closed, and the next call has another."""

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000\r\n\r\n<html>")
        await line.gone()

    async with facing(mapping, script, concurrency=1) as (serving, handler):
        for number in (1, 2):
            assert isinstance(await handler.invoke(invocation()), NotInvoked)
            await until(lambda number=number: serving.closed == number)


async def test_a_connection_that_was_closed_meanwhile_costs_nothing(mapping: EventSourceMapping) -> None:
    """ERR-1, INV-4: what was closed while it was idle is seen, and a new one made."""

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.answer()

    async with facing(mapping, script) as (serving, handler):
        for number in (1, 2, 3):
            assert await handler.invoke(invocation()) == Succeeded(b"null")
            await until(lambda: open_connections(handler) == 0)
            assert serving.connections == number


async def test_a_connection_that_the_target_gives_up_with_its_answer(mapping: EventSourceMapping) -> None:
    """INV-9: Connection: close is heeded."""

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.answer(extra="Connection: close\r\n")
        await line.gone()

    async with facing(mapping, script) as (serving, handler):
        for _ in range(2):
            assert await handler.invoke(invocation()) == Succeeded(b"null")
        assert serving.connections == 2


async def test_a_close_that_crosses_the_request_is_not_invoked(mapping: EventSourceMapping) -> None:
    """INV-3, INV-4: it may have been run, so it is not sent again behind the mapping's back."""

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.answer()
        await line.request()

    async with facing(mapping, script) as (serving, handler):
        assert await handler.invoke(invocation()) == Succeeded(b"null")
        result = await handler.invoke(invocation())
        assert isinstance(result, NotInvoked)
        assert "may have been run" in result.message
        assert (serving.connections, len(serving.requests)) == (1, 2)


async def test_what_came_unasked_is_nobodys_answer(mapping: EventSourceMapping) -> None:
    """GEN-2, INV-9: a batch that never ran must not be taken for done."""

    speak = asyncio.Event()

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.answer(f"[{number}]".encode())
        await speak.wait()
        await line.answer(b"[0]")
        await line.gone()

    async with facing(mapping, script) as (serving, handler):
        for number in (1, 2, 3):
            speak.clear()
            assert await handler.invoke(invocation()) == Succeeded(f"[{number}]".encode())
            speak.set()
            await until(lambda: not _silent(handler))
        assert len(serving.requests) == 3


def _silent(handler: HttpHandler) -> bool:
    """Whether something idle has said nothing yet that it will say."""
    assert handler._session is not None
    pools = handler._session.connector._conns.values()
    return any(not protocol.should_close and protocol.is_connected() for pool in pools for protocol, _ in pool)


async def test_a_target_that_speaks_first(mapping: EventSourceMapping) -> None:
    """INV-4: not a web server at all."""

    async def script(line: Line, number: int) -> None:
        await line.send(b"SSH-2.0-OpenSSH_9.6\r\n")
        await line.gone()

    async with facing(mapping, script) as (_, handler):
        assert isinstance(await handler.invoke(invocation()), NotInvoked)


async def test_no_cookie_is_kept(mapping: EventSourceMapping) -> None:
    """INV-9: one invocation knows nothing of another."""
    async with (
        target(always(extra="Set-Cookie: a=b\r\n")) as serving,
        handling(mapping, f"http://localhost:{serving.port}") as handler,
    ):
        for _ in range(2):
            assert await handler.invoke(invocation()) == Succeeded(b"null")
        assert not any("cookie" in line.lower() for head, _ in serving.requests for line in head)


# --- given up ---


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", None]
)
async def test_a_call_that_is_cancelled_closes_its_connection(mapping, begun: bytes | None) -> None:
    """INV-3: at the deadline; wherever it stands, the only slot is free again and nothing is left."""

    async def script(line: Line, number: int) -> None:
        if number > 1:
            await line.request()
            await line.answer()
        if begun is not None:
            await line.request()
            await line.send(begun)
        else:
            await line.reader.readuntil(b"\r\n\r\n")  # and never reads the body
            await hang.wait()
        await line.gone()

    hang = asyncio.Event()
    async with facing(mapping, script, concurrency=1) as (serving, handler):
        event = {"x": "y" * 6_000_000} if begun is None else {}
        call = asyncio.create_task(handler.invoke(invocation(event)))
        await until(lambda: serving.connections == 1 and (begun is None or len(serving.requests) == 1))
        for _ in range(20):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        hang.set()
        assert await handler.invoke(invocation()) == Succeeded(b"null")
        await until(lambda: serving.closed >= 1)


async def test_a_target_that_stops_reading_keeps_no_connection(mapping: EventSourceMapping) -> None:
    """INV-3: what a call has not sent when it ends is not waited for."""
    seen: list[int] = []

    def under_way() -> list[ResponseHandler]:
        assert handler._session is not None
        return [each for each in handler._session.connector._acquired if each.transport is not None]

    def stuck() -> bool:
        seen.extend(connection.transport.get_write_buffer_size() for connection in under_way())
        return len(seen) > 20 and seen[-1] > 0 and len(set(seen[-20:])) == 1

    async def script(line: Line, number: int) -> None:
        await line.reader.readuntil(b"\r\n\r\n")  # what comes then is left to the sockets, which are soon full
        await asyncio.Event().wait()

    async with facing(mapping, script) as (_, handler):
        call = asyncio.create_task(handler.invoke(invocation({"x": "y" * 6_291_448})))
        await until(stuck)
        (connection,) = under_way()
        closed = connection.closed
        assert closed is not None
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait({closed}, timeout=GENEROUS)
        assert closed.done()


# --- TLS ---


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_that_is_not_to_be_trusted(mapping: EventSourceMapping, host: str) -> None:
    """INV-4: unknown authority, wrong name: nothing is sent."""
    async with (
        target(always(), tls=True) as serving,
        handling(mapping, f"https://{host}:{serving.port}/") as handler,
    ):
        result = await handler.invoke(invocation())
        assert isinstance(result, NotInvoked)
        assert result.message.startswith("unreachable, its certificate is not accepted (")
        assert serving.requests == []


async def test_a_target_that_does_not_speak_tls(mapping: EventSourceMapping) -> None:
    """INV-4: not invoked."""

    async def script(line: Line, number: int) -> None:
        await line.reader.read(1)
        await line.answer(status="400 Bad Request")

    async with (
        target(script) as serving,
        handling(mapping, f"https://127.0.0.1:{serving.port}/") as handler,
    ):
        result = await handler.invoke(invocation())
        assert isinstance(result, NotInvoked)
        assert result.message.startswith("unreachable, no connection (")


CALL = """
import asyncio, sys
from poller.core.mapping import parse_mapping
from poller.core.model import Succeeded
from poller.handlers.http import HttpHandler
from poller.ports import Invocation

async def main():
    mapping = parse_mapping({
        "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders", "FunctionName": "python:a:b",
    })
    handler = HttpHandler(sys.argv[1], mapping)
    await handler.start()
    for _ in range(2):
        print(await handler.invoke(Invocation({}, "request-1", 1e9)))
    await handler.close()

asyncio.run(main())
"""


@pytest.mark.asyncio(loop_factories=["asyncio"])  # the handler is in a process of its own
async def test_an_authority_of_ones_own(mapping: EventSourceMapping) -> None:
    """INV-9: SSL_CERT_FILE, as OpenSSL has it; the connection is kept."""
    async with target(always(b"[1]"), tls=True) as serving:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", CALL, serving.url,
            env=os.environ | {"SSL_CERT_FILE": str(CERTS / "ca.pem")},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert out.decode().splitlines() == [str(Succeeded(b"[1]"))] * 2
        assert err == b""
        assert serving.connections == 1


# --- proxies ---


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_a_proxy_of_the_environment(
    mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    """INV-9: asked instead of the target, with the credentials that its URL holds."""
    async with target(always(b"[2]")) as proxy:
        monkeypatch.setenv(variable, f"{scheme}me:pass@127.0.0.1:{proxy.port}")
        async with handling(mapping, "http://orders.example/hook?a=b") as handler:
            assert await handler.invoke(invocation()) == Succeeded(b"[2]")
    head, _ = proxy.requests[0]
    assert head[0] == "POST http://orders.example/hook?a=b HTTP/1.1"
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:pass").decode() in head
    assert not any(line.startswith("Authorization") for line in head)


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "example.com,127.0.0.1:{port}"])
async def test_a_target_that_needs_no_proxy(
    mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    """INV-9: NO_PROXY."""
    async with target(always()) as serving:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", exempt.format(port=serving.port))
        async with handling(mapping, serving.url) as handler:
            assert await handler.invoke(invocation()) == Succeeded(b"null")


async def test_a_proxy_that_refuses(mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-4: no function said no."""
    async with target(always(status="407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        for url in ("https://orders.example/hook", "http://orders.example/hook"):
            async with handling(mapping, url) as handler:
                result = await handler.invoke(invocation())
            assert isinstance(result, NotInvoked)
            assert "407" in result.message
    assert proxy.requests[0][0][0] == "CONNECT orders.example:443 HTTP/1.1"


async def test_a_proxy_that_is_not_there(mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-4: it is told that it is the proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with handling(mapping, "http://orders.example/hook") as handler:
        result = await handler.invoke(invocation())
    assert isinstance(result, NotInvoked)
    assert result.message.startswith("unreachable, no connection to the proxy (Connect")


@pytest.mark.parametrize("proxy", ["socks5://me:pass-word@127.0.0.1:1", "http://", "http://["])
async def test_a_proxy_that_cannot_be_used(
    mapping: EventSourceMapping, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """INV-9: told at the start, without the password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError, match=r"Mapping 'orders': the proxy .* for https://") as caught:
        await HttpHandler("https://orders.example", mapping).start()
    assert "pass-word" not in str(caught.value)
