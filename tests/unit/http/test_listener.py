"""Sockets, and what is said when one cannot be had."""

import asyncio
import contextlib
import errno
import gc
import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from poller.errors import ListenError
from poller.http.address import Address
from poller.http.listener import ON_LOOPBACK, start_listener

SETTING = "Settings.Metrics.Listen"


def hello_app():
    async def hello(request):
        return web.Response(text=f"loopback={request.app[ON_LOOPBACK]}")

    app = web.Application()
    app.router.add_get("/", hello)
    return app


async def get(url):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def test_port_0_is_answered_with_the_real_port():
    running = await start_listener(hello_app(), Address("127.0.0.1", 0), SETTING)
    try:
        assert running.address.port > 0
        assert await get(f"http://{running.address}/") == "loopback=True"
    finally:
        await running.close()


async def test_an_empty_host_is_every_interface_on_one_port():
    running = await start_listener(hello_app(), Address("", 0), SETTING)
    try:
        assert await get(f"http://127.0.0.1:{running.address.port}/") == "loopback=False"
    finally:
        await running.close()


async def test_a_busy_port_is_one_sentence_that_names_the_setting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            await start_listener(hello_app(), Address("127.0.0.1", port), SETTING)

    text = str(caught.value)
    assert text.startswith(f"{SETTING}: cannot listen on 127.0.0.1:{port}: another process has the port")
    assert "\n" not in text
    assert caught.value.exit_code == 1


async def test_a_busy_port_on_every_interface_is_refused_too():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match="another process has the port"):
            await start_listener(hello_app(), Address("", port), SETTING)


async def test_a_host_of_another_machine_is_refused():
    with pytest.raises(ListenError, match=r"192\.0\.2\.1 is not an address of this machine"):
        await start_listener(hello_app(), Address("192.0.2.1", 0), SETTING)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EACCES, "Permission denied"), "ports below 1024 are reserved"),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "is not a host that this machine knows"),
        (OSError(errno.ENOBUFS, "No buffer space available"), "No buffer space available"),
    ],
)
async def test_other_refusals_are_told_as_well(monkeypatch, error, said):
    def refuse(*_args, **_named):
        raise error

    monkeypatch.setattr(socket, "create_server", refuse)

    with pytest.raises(ListenError, match=said):
        await start_listener(hello_app(), Address("127.0.0.1", 0), SETTING)


async def test_after_close_the_port_is_free():
    for last in (False, False, True):
        running = await start_listener(hello_app(), Address("127.0.0.1", 0), SETTING)
        await running.close()
        try:
            again = await start_listener(hello_app(), running.address, SETTING)
        except ListenError:  # a stranger may have been faster, hardly three times
            assert not last
            continue
        await again.close()
        assert again.address == running.address
        break


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n"
        + b"x" * 100_000,
        b"POST /nothing HTTP/1.1 x\r\n\r\n" + b"x" * 100_000,
        b"\x00" + b"x" * 100_000,
    ],
)
async def test_what_came_over_connections_is_not_kept(request_bytes):
    """Though the collector, which counts objects, would not come for long: thousands of them were a gigabyte."""
    running = await start_listener(hello_app(), Address("127.0.0.1", 0), SETTING)
    kept = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(130):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.address.port)
            with contextlib.suppress(ConnectionError):
                writer.write(request_bytes)
                await reader.read()
            writer.close()
        kept = [one for one in gc.get_objects() if isinstance(one, RequestHandler)]
    finally:
        gc.enable()
        await running.close()
    assert 0 < len(kept) < 100


async def test_bytes_that_are_no_http_are_not_told_in_the_log(caplog):
    """Whoever sends them could fill it, and a key could be in them."""
    running = await start_listener(hello_app(), Address("127.0.0.1", 0), SETTING)
    try:
        for sent in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/9 9\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.address.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + sent)
            assert b" 400 Bad Request\r\n" in await reader.read()
            writer.close()
    finally:
        await running.close()
    assert caplog.records == []


@pytest.mark.parametrize("expect", ["\x80", "100-continue, x", "more"])
async def test_what_is_expected_and_cannot_be_met_is_told(expect):
    running = await start_listener(hello_app(), Address("127.0.0.1", 0), SETTING)
    try:
        for path in ("/", "/nothing"):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.address.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\n\r\n".encode("latin-1"))
            assert b" 417 " in await reader.readuntil(b"\r\n")
            writer.close()
    finally:
        await running.close()
