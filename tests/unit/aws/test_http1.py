"""The HTTP engine against a server that misbehaves in every way we could think of, on both event loops."""

import asyncio
import base64
import random
import ssl

import pytest

from poller.aws import http1
from poller.aws.http1 import BadResponse, ConnectFailed, Disconnected, HttpClient, HttpResponse, TimedOut

LONG = 30.0  # a deadline that no test reaches


@pytest.fixture
async def connect():
    """Makes clients and closes them at the end."""
    clients = []

    def make(url, **options):
        client = HttpClient(url, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
        assert not client._open


async def post(client, body=b"{}", deadline=LONG, **options) -> HttpResponse:
    return await client.post(b"X-Test: 1\r\n", body, deadline, **options)


def always(data: bytes):
    async def script(line, number):
        while True:
            await line.request()
            await line.send(data)

    return script


def once(data: bytes):
    """Answers the first request of each connection and closes."""

    async def script(line, number):
        await line.request()
        await line.send(data)

    return script


async def ok(line, number):
    while True:
        _, body = await line.request()
        await line.answer(body)


async def silent(line, number):
    await line.request()
    await line.gone()


async def test_calls_one_after_another_share_a_connection(serve, connect):
    server = await serve(ok)
    client = connect(server.url + "/base")
    for body in (b"one", b"", b"three"):
        answer = await post(client, body)
        assert (answer.status, answer.body) == (200, body)
        assert answer.header(b"content-length") == str(len(body)).encode()
        assert answer.header(b"absent") is None
    assert server.connections == 1
    assert server.requests[0] == (
        f"POST /base HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 3\r\nX-Test: 1\r\n\r\n".encode(),
        b"one",
    )


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: v\r\n\r\n"
INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
    b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nxy"
)


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (CHUNKED, 200, b"abcdefg"),
        (INTERIM, 400, b"xy"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 503, b""),
    ],
    ids=["chunked", "interim", "no content", "no reason"],
)
async def test_forms_of_an_answer_after_which_the_connection_goes_on(serve, connect, data, status, body):
    server = await serve(always(data))
    client = connect(server.url)
    for _ in range(2):
        answer = await post(client)
        assert (answer.status, answer.body) == (status, body)
    assert server.connections == 1


async def test_an_answer_in_single_bytes(serve, connect):
    data = b"HTTP/1.1 200 OK\r\nX-Long: abc\r\nContent-Length: 4\r\n\r\nbody"

    async def script(line, number):
        await line.request()
        for byte in data:
            await line.send(bytes([byte]))
            await asyncio.sleep(0)

    server = await serve(script)
    answer = await post(connect(server.url))
    assert (answer.body, answer.header(b"x-long")) == (b"body", b"abc")


async def test_headers_are_those_of_their_own_answer_and_of_each_name_the_first(serve, connect):
    async def script(line, number):
        await line.request()
        await line.send(
            b"HTTP/1.1 103 Early\r\nEarly: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-One: first\r\nX-One: second\r\n"
        )
        await line.send(b"Content-Length: 0\r\n\r\n")
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nX-Two: 2\r\nContent-Length: 0\r\n\r\n")

    client = connect((await serve(script)).url)
    one, two = await post(client), await post(client)
    assert one.headers == {b"X-One": b"first", b"Content-Length": b"0"}
    assert two.headers == {b"X-Two": b"2", b"Content-Length": b"0"}
    assert one.header(b"x-one") == b"first"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\nuntil the end",
    ],
    ids=["no length", "1.0", "close"],
)
async def test_forms_of_an_answer_after_which_the_connection_ends(serve, connect, data):
    server = await serve(once(data))
    client = connect(server.url)
    for _ in range(2):
        assert (await post(client)).body == b"until the end"
    assert server.connections == 2


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"H",
    ],
)
async def test_close_in_mid_answer_is_never_an_answer(serve, connect, data):
    server = await serve(once(data))
    with pytest.raises(Disconnected) as caught:
        await post(connect(server.url), idempotent=True)
    assert caught.value.answered
    assert server.connections == 1


async def test_close_without_an_answer_on_a_new_connection_is_not_tried_again(serve, connect):
    server = await serve(once(b""))
    with pytest.raises(Disconnected) as caught:
        await post(connect(server.url), idempotent=True)
    assert not caught.value.answered
    assert server.connections == 1


@pytest.mark.parametrize("abrupt", [True, False])
@pytest.mark.parametrize("idempotent", [True, False])
async def test_kept_connection_closed_under_a_request(serve, connect, abrupt, idempotent, monkeypatch):
    monkeypatch.setattr(http1, "JUST_CLOSING", 60.0)  # however slow this machine is

    async def script(line, number):
        await line.request()
        await line.answer(b"%d" % number)
        if number == 1:  # the server's idle limit strikes exactly when the next request is on its way
            await line.request()
            if abrupt:
                line.reset()
            return
        await line.gone()

    server = await serve(script)
    client = connect(server.url)
    assert (await post(client)).body == b"1"
    if idempotent:
        assert (await post(client, idempotent=True)).body == b"2"
    else:
        with pytest.raises(Disconnected):
            await post(client)


async def test_connection_closed_in_mid_work_is_not_asked_again(serve, connect, until, monkeypatch):
    """A long poll whose server goes away after most of its wait: sent once more, it would be cut off by what is
    left of the deadline, and the messages that it takes along are in nobody's hands.
    """
    monkeypatch.setattr(http1, "JUST_CLOSING", 0.05)
    loop = asyncio.get_running_loop()

    async def script(line, number):
        await line.request()
        await line.answer()
        await line.request()
        came = loop.time()
        await until(lambda: loop.time() > came + 0.1)

    server = await serve(script)
    client = connect(server.url)
    await post(client)
    with pytest.raises(Disconnected) as caught:
        await post(client, idempotent=True)
    assert not caught.value.answered
    assert len(server.requests) == 2


async def test_connection_closed_while_idle_is_replaced(serve, connect, until):
    server = await serve(once(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
    client = connect(server.url)
    for _ in range(3):
        assert (await post(client)).body == b"x"  # not idempotent: each must find a living connection
        await until(lambda: not client._idle)
    assert server.connections == 3


async def silent_later(line, number):
    """A connection is there before the deadline counts: however slow the machine is, the call gets onto it."""
    await line.request()
    await line.answer()
    await silent(line, number)


async def test_deadline_ends_a_call_and_its_connection(serve, connect, until):
    server = await serve(silent_later)
    client = connect(server.url)
    await post(client)
    with pytest.raises(TimedOut):
        await post(client, deadline=0.1, idempotent=True)
    await until(lambda: server.closed == 1)
    assert not client._open
    assert len(server.requests) == 2


async def test_deadline_counts_from_the_call_not_from_the_last_byte(serve, connect):
    async def script(line, number):
        await line.request()
        await line.answer()
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await line.send(b".")
            await asyncio.sleep(0.01)

    client = connect((await serve(script)).url)
    await post(client)
    with pytest.raises(TimedOut):
        await post(client, deadline=0.5)


async def test_cancelled_call_closes_its_connection(serve, connect, until):
    server = await serve(silent)
    client = connect(server.url)
    call = asyncio.ensure_future(post(client))
    await until(lambda: len(server.requests) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: server.closed == 1)
    assert not client._idle


async def test_cancelled_in_the_same_moment_as_its_answer(serve, connect, until):
    server = await serve(silent)
    client = connect(server.url)
    call = asyncio.ensure_future(post(client))
    await until(lambda: len(server.requests) == 1)
    [connection] = client._open
    call.cancel()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: server.closed == 1)
    assert not client._idle


async def test_a_timer_of_an_earlier_call_spares_the_next_one_on_the_connection(serve, connect, until):
    """One timer serves call after call: it rings at the first one's deadline and waits on for the second's."""
    answering = asyncio.Event()

    async def script(line, number):
        await line.request()
        await line.answer(b"first")
        await line.request()
        await answering.wait()
        await line.answer(b"second")

    server = await serve(script)
    client = connect(server.url)
    await post(client, deadline=2)
    [connection] = client._idle
    early = connection._timer
    call = asyncio.ensure_future(post(client, deadline=30))
    await until(lambda: len(server.requests) == 2)
    assert connection._timer is early
    await until(lambda: connection._timer is not early)  # it has rung, and was set again
    answering.set()
    assert (await call).body == b"second"


async def test_a_shorter_deadline_on_the_same_connection_is_kept(serve, connect):
    async def script(line, number):
        await line.request()
        await line.answer(b"first")
        await line.request()
        await asyncio.Event().wait()

    client = connect((await serve(script)).url)
    await post(client, deadline=600)
    with pytest.raises(TimedOut):
        await asyncio.wait_for(post(client, deadline=0.1), 60)


async def test_answers_never_reach_another_call_under_cancellations_and_deadlines(serve, connect):
    """200 calls that carry their own number, a third of them cancelled or timed out at a random moment."""
    seed = random.Random(7)

    async def script(line, number):
        while True:
            _, body = await line.request()
            await asyncio.sleep(seed.random() * 0.01)
            await line.answer(body)

    server = await serve(script)
    client = connect(server.url)

    async def one(number):
        body = b"call %d" % number
        fate = seed.random()
        deadline = 0.004 if fate < 0.15 else LONG
        call = asyncio.ensure_future(post(client, body, deadline))
        if fate > 0.85:
            asyncio.get_running_loop().call_later(seed.random() * 0.01, call.cancel)
        try:
            return (await call).body == body
        except (TimedOut, ConnectFailed, asyncio.CancelledError):
            return None

    results = []
    for start in range(0, 200, 20):
        results += await asyncio.gather(*(one(start + k) for k in range(20)))
    assert results.count(True) > 100
    assert False not in results


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_an_error(serve, connect, until, data):
    async def script(line, number):
        await line.request()
        await line.send(data)
        await line.gone()

    server = await serve(script)
    client = connect(server.url)
    with pytest.raises(BadResponse):
        await post(client)
    await until(lambda: server.closed == 1)
    assert not client._open


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
    ids=["one long", "many", "interim for ever"],
)
async def test_headers_have_a_limit(serve, connect, data):
    server = await serve(once(data))
    with pytest.raises(BadResponse, match="headers"):
        await post(connect(server.url))


@pytest.mark.parametrize("framing", ["Content-Length: 900000\r\n", "", "Transfer-Encoding: chunked\r\n"])
async def test_bodies_have_a_limit(serve, connect, framing):
    async def script(line, number):
        await line.request()
        await line.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n".encode())
        for _ in range(2000):
            await line.send(b"2BC\r\n" + b"a" * 700 + b"\r\n")

    server = await serve(script)
    with pytest.raises(BadResponse, match="longer than 500000"):
        await post(connect(server.url, max_response=500_000))


async def test_largest_receive_fits(serve, connect):
    body = b"x" * (62 * 1024 * 1024)

    async def script(line, number):
        await line.request()
        await line.answer(body)

    server = await serve(script)
    assert len((await post(connect(server.url))).body) == len(body)


@pytest.mark.parametrize(
    "extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", b"HTTP/1.1 20", b"garbage", b"H"]
)
async def test_bytes_behind_an_answer_never_become_the_next_answer(serve, connect, extra):
    async def script(line, number):
        _, body = await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b%b" % (len(body), body, extra))
        await line.gone()

    server = await serve(script)
    client = connect(server.url)
    for body in (b"first", b"second"):
        assert (await post(client, body)).body == body
    assert server.connections == 2


async def test_bytes_on_an_idle_connection_close_it(serve, connect, until):
    asked = asyncio.Event()

    async def script(line, number):
        _, body = await line.request()
        await line.answer(body)
        if number == 1:
            await asked.wait()
            await line.answer(b"forged")
        await line.gone()

    server = await serve(script)
    client = connect(server.url)
    assert (await post(client, b"a")).body == b"a"
    asked.set()
    await until(lambda: not client._open)
    assert (await post(client, b"b")).body == b"b"


async def test_idle_connections_are_closed_in_time(serve, connect, until):
    server = await serve(ok)
    client = connect(server.url, idle_timeout=0.05)
    await asyncio.gather(*(post(client) for _ in range(4)))
    assert server.connections == 4
    await until(lambda: server.closed == 4)
    assert not client._idle
    assert (await post(client)).status == 200


async def test_the_last_used_connection_is_used_first(serve, connect):
    server = await serve(ok)
    client = connect(server.url)
    await asyncio.gather(*(post(client) for _ in range(3)))
    last = client._idle[-1]
    await post(client)
    assert client._idle[-1] is last
    assert server.connections == 3


async def test_connections_are_bounded(serve, connect, until):
    server = await serve(silent)
    client = connect(server.url, max_connections=1)
    call = asyncio.ensure_future(post(client))
    await until(lambda: len(server.requests) == 1)
    with pytest.raises(ConnectFailed, match="1 connections are open"):
        await post(client)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_nobody_listens(serve, connect):
    server = await serve(ok)
    await server.stop()
    with pytest.raises(ConnectFailed):
        await post(connect(server.url))


async def test_a_name_that_cannot_be(connect):
    with pytest.raises(ConnectFailed):
        await post(connect(f"http://{'a' * 70}.example"))


async def test_close_ends_calls_and_refuses_new_ones(serve, connect, until):
    server = await serve(silent)
    client = connect(server.url)
    call = asyncio.ensure_future(post(client))
    await until(lambda: len(server.requests) == 1)
    await client.close()
    with pytest.raises(Disconnected):
        await call
    with pytest.raises(ConnectFailed, match="closed"):
        await post(client)
    await client.close()


@pytest.mark.parametrize(
    "url", ["ftp://host", "host", "http://", "http://h\nost/", "http://h/ä", "http://h:99999", "https://host"]
)
def test_urls_that_cannot_be_used(url):
    with pytest.raises(ValueError):  # https: without authorities it must not fall back to plain text
        HttpClient(url)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://SQS.eu-west-1.amazonaws.com:443/", "sqs.eu-west-1.amazonaws.com"),
        ("https://h:80", "h:80"),
        ("http://h:80", "h"),
        ("http://h:443", "h:443"),
        ("http://[::1]:4566", "[::1]:4566"),
    ],
)
def test_authority_names_only_unusual_ports(url, authority, client_tls):
    assert HttpClient(url, tls=client_tls).authority == authority


# --- TLS ---


async def test_tls_connection_is_verified_and_kept(serve, connect, client_tls):
    server = await serve(ok, tls=True)
    client = connect(server.url, tls=client_tls)
    for body in (b"a", b"b" * 1_000_000):
        assert (await post(client, body)).body == body
    assert server.connections == 1


async def test_tls_of_an_unknown_authority_is_refused(serve, connect):
    server = await serve(ok, tls=True)
    with pytest.raises(ConnectFailed, match="certificate is not trusted"):
        await post(connect(server.url, tls=ssl.create_default_context()))
    assert not server.requests


async def test_tls_for_another_name_is_refused(serve, connect, client_tls):
    server = await serve(ok, tls=True)
    with pytest.raises(ConnectFailed, match="certificate is not trusted"):
        await post(connect(f"https://127.0.0.1:{server.port}", tls=client_tls))
    assert not server.requests


async def test_tls_handshake_that_never_ends(serve, connect, client_tls):
    server = await serve(lambda line, number: line.gone())
    client = connect(f"https://localhost:{server.port}", tls=client_tls, connect_timeout=0.1)
    with pytest.raises(ConnectFailed, match="no connection within"):
        await post(client)


async def test_tls_to_a_plain_server(serve, connect, client_tls):
    async def script(line, number):
        await line.reader.read(100)
        await line.answer()

    server = await serve(script)
    with pytest.raises(ConnectFailed):
        await post(connect(f"https://localhost:{server.port}", tls=client_tls))


async def test_deadline_holds_over_tls(serve, connect, client_tls):
    client = connect((await serve(silent_later, tls=True)).url, tls=client_tls)
    await post(client)
    with pytest.raises(TimedOut):
        await post(client, deadline=0.1)


# --- proxies ---


def proxying(heads, port):
    """A CONNECT proxy that always connects to `port`."""

    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)

    async def script(line, number):
        heads.append(await line.reader.readuntil(b"\r\n\r\n"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await line.send(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        there = asyncio.ensure_future(pump(line.reader, writer))
        try:
            await pump(reader, line.writer)
        finally:
            there.cancel()
            writer.close()

    return script


@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http proxy", "https proxy"])
async def test_connect_proxy_sees_only_the_name(serve, connect, client_tls, proxy_tls):
    heads = []
    server = await serve(ok, tls=True)
    proxy = await serve(proxying(heads, server.port), tls=proxy_tls)
    url = proxy.url.replace("://", "://me:p%40ss@")
    client = connect(server.url, tls=client_tls, proxy=url)
    for body in (b"one", b"two"):
        assert (await post(client, body)).body == body
    secret = base64.b64encode(b"me:p@ss")
    assert heads == [
        b"CONNECT localhost:%d HTTP/1.1\r\nHost: localhost:%d\r\nProxy-Authorization: Basic %b\r\n\r\n"
        % (server.port, server.port, secret)
    ]
    assert b"Proxy-Authorization" not in server.requests[0][0]


async def test_certificate_is_verified_through_the_proxy(serve, connect, client_tls):
    server = await serve(ok, tls=True)
    proxy = await serve(proxying([], server.port))
    client = connect(f"https://other.example:{server.port}", tls=client_tls, proxy=proxy.url)
    with pytest.raises(ConnectFailed, match="certificate is not trusted"):
        await post(client)
    assert not server.requests


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"),
        (b"HTTP/1.1 503 x\r\n\r\n", "503"),
        (b"garbage\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\n", "closed"),
        (b"x" * 100_000, "too long"),
    ],
)
async def test_connect_refused_by_the_proxy(serve, connect, client_tls, said, match):
    async def script(line, number):
        await line.reader.readuntil(b"\r\n\r\n")
        await line.send(said)

    proxy = await serve(script)
    with pytest.raises(ConnectFailed, match=match):
        await post(connect("https://localhost:1", tls=client_tls, proxy=proxy.url))


async def test_proxy_that_never_answers(serve, connect, client_tls):
    proxy = await serve(lambda line, number: line.gone())
    client = connect("https://localhost:1", tls=client_tls, proxy=proxy.url)
    with pytest.raises(ConnectFailed, match="no connection within"):
        await post(client, deadline=0.1)


async def test_plain_target_goes_to_the_proxy_in_absolute_form(serve, connect):
    proxy = await serve(ok)
    client = connect("http://queue.example:9324/x", proxy=proxy.url.replace("://", "://u:@"))
    assert (await post(client, b"hi")).body == b"hi"
    head = proxy.requests[0][0]
    assert head.startswith(b"POST http://queue.example:9324/x HTTP/1.1\r\nHost: queue.example:9324\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"u:") in head
