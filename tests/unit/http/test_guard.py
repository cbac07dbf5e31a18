"""Who may ask the control listener, from where, and with how much."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from poller.core.model import Instant
from poller.http import answers
from poller.http.address import Address
from poller.http.guard import LONGEST_BODY, make_guard, read_body, refuse
from poller.http.keys import Keys
from poller.http.listener import start_listener

NOBODY = Keys()
TOKEN = "0123456789abcdef0123"
WITH_TOKEN = Keys(TOKEN)
AWS = "/2015-03-31/event-source-mappings/"


class FixedClock:
    def now(self):
        return Instant(1_700_000_000.0, 100.0)


@asynccontextmanager
async def served(keys=NOBODY):
    """A listener on which everything echoes its body; its URL."""

    async def echo(request):
        body = await read_body(request)
        return web.Response(body=body) if isinstance(body, bytes) else refuse(request, body)

    guard = make_guard(keys, FixedClock(), ("/",))
    app = web.Application(middlewares=[answers.readable_errors, guard], client_max_size=LONGEST_BODY)
    app.router.add_route("*", "/{path:.*}", echo)
    running = await start_listener(app, Address("127.0.0.1", 0), "Settings.ControlApi.Listen")
    try:
        yield f"http://127.0.0.1:{running.address.port}"
    finally:
        await running.close()


async def ask(url, method="GET", data=None, **headers):
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=data, headers=told) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


async def raw(url, text):
    """What comes back for these bytes, until the listener closes or has told a status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(text.encode("latin-1"))
    answer = await reader.readuntil(b"\r\n")
    writer.close()
    return int(answer.split()[1])


async def test_without_keys_the_host_must_be_the_loopback():
    async with served() as url:
        assert (await ask(url))[0] == 200
        assert (await ask(url, Host="localhost:9465"))[0] == 200
        status, text, _ = await ask(url, Host="attacker.example")
        assert (status, text) == (403, "This listener answers to 127.0.0.1, [::1] and localhost only.\n")


async def test_with_keys_it_answers_under_the_name_of_a_proxy():
    async with served(WITH_TOKEN) as url:
        assert (await ask(url + "/v1", Host="poller.example", Authorization=f"Bearer {TOKEN}"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000", "Sec_Fetch_Site": "same-site"},
        {"Origin": "http://[", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "something new"},
    ],
)
async def test_a_page_of_another_origin_changes_nothing(method, headers):
    async with served() as url:
        status, text, _ = await ask(url + "/v1/mappings/orders/pause", method, **headers)
    assert (status, text) == (403, "Pages of another origin may change nothing here.\n")


async def test_our_own_page_and_programs_may_change_something():
    async with served() as url:
        assert (await ask(url, "POST"))[0] == 200
        assert (await ask(url, "POST", Origin=url, Sec_Fetch_Site="same-origin"))[0] == 200
        assert (await ask(url, "POST", Origin="http://LOCALHOST", Host="localhost"))[0] == 200
        assert (await ask(url, "POST", Origin="https://localhost:443", Host="localhost"))[0] == 200
        assert (await ask(url, "GET", Origin="https://attacker.example", Sec_Fetch_Site="cross-site"))[0] == 200


async def test_with_a_token_only_its_owner_may():
    """On the loopback too; the page alone can be had, which asks for the token."""
    async with served(WITH_TOKEN) as url:
        assert (await ask(url + "/"))[0] == 200
        assert (await ask(url + "/", "POST"))[0] == 401
        for given in ("", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xff"):
            status, text, headers = await ask(url + "/v1/mappings", Authorization=given)
            assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="poller"')
            assert TOKEN not in text
        assert (await ask(url + "/v1/mappings", Authorization=f"bearer {TOKEN}"))[0] == 200
        status, _, headers = await ask(url + AWS)
        assert (status, headers["x-amzn-ErrorType"]) == (403, "MissingAuthenticationTokenException")
        status, _, headers = await ask(url + AWS, Authorization="Bearer x")
        assert (status, headers["x-amzn-ErrorType"]) == (403, "UnrecognizedClientException")
        assert (await ask(url + AWS, Authorization=f"Bearer {TOKEN}"))[0] == 200


@pytest.mark.parametrize(("path", "type_"), [("/v1/mappings", None), (AWS, "RequestEntityTooLargeException")])
async def test_a_body_may_have_its_limit_and_no_more(path, type_):
    async with served() as url:
        status, text, _ = await ask(url + path, "POST", data=b"x" * LONGEST_BODY)
        assert (status, len(text)) == (200, LONGEST_BODY)
        status, text, headers = await ask(url + path, "POST", data=b"x" * (LONGEST_BODY + 1))
        assert (status, headers.get("x-amzn-ErrorType")) == (413, type_)
        assert f"{LONGEST_BODY} bytes" in text


@pytest.mark.parametrize(
    "request_text",
    [
        "GET http://h/2015-03-31/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /v1#mappings HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: attacker.example\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: a\r\nOrigin: b\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: a\r\nauthorization: b\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "POST /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n\r\n",
        "\x00\x01\x02\r\n\r\n",
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(request_text):
    async with served() as url:
        assert await raw(url, request_text) == 400


async def test_a_client_that_hangs_up_within_its_body_is_no_failure_of_ours(caplog):
    async with served() as url:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx")
        await writer.drain()
        assert (await ask(url))[0] == 200  # it has seen the other by now
        writer.transport.abort()
        await ask(url)
    assert caplog.records == []


async def test_a_compressed_body_is_not_unpacked_for_anybody():
    """A kilobyte could become a gigabyte."""
    async with served() as url:
        assert (await ask(url, "POST", data=b"no gzip", Content_Encoding="gzip"))[:2] == (200, "no gzip")
