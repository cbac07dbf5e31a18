"""HTTP/1.1 for the data plane: POST a body to one endpoint, fast, within a deadline. The engine is this file.

It knows bytes, sockets, TLS and proxies; nothing of AWS, JSON, signatures or retries. One write a request, one
C parser (httptools) a connection, idle connections reused last in, first out. A connection is reused only after
an answer that was complete and alone; in every other case it is closed.
"""

# ruff: noqa: N818 - the four errors are named for what happened

import asyncio
import base64
import socket
import ssl
from typing import cast
from urllib.parse import unquote, urlsplit

import httptools

MAX_HEADER_BYTES = 64 * 1024
# A full receive is 10 messages of 1 MiB, and JSON may write one byte as six ("\u0000").
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
MAX_CONNECTIONS = 4096
# Below the idle limit of the servers that we know, so that they seldom close under a request of ours.
IDLE_SECONDS = 20.0
# Seconds within which a server that was closing a connection when a request came has ended it. One that has had
# the request for longer was at work on it, and what is left of the deadline is too short for another long poll:
# cut off in its middle, that may take messages along which nobody gets to see.
JUST_CLOSING = 2.0
CLOCK_STEP = 0.002  # seconds: uvloop's clock has whole milliseconds, and a timer may ring within the last one
CONNECT_SECONDS = 10.0


class HttpError(Exception):
    """A call that brought no answer; the leaf says how far it came."""


class ConnectFailed(HttpError):
    """No connection: name, route, refusal, TLS or proxy. Nothing was sent."""


class TimedOut(HttpError):
    """The deadline passed after the request was sent: it may or may not have been executed."""


class Disconnected(HttpError):
    """The connection ended before the answer did; `answered` tells whether any byte of it had come."""

    def __init__(self, message: str, answered: bool) -> None:
        super().__init__(message)
        self.answered = answered


class BadResponse(HttpError):
    """What came is not HTTP, or is larger than we accept."""


class HttpResponse:
    """One answer: `headers` as they came, in order, of each name the first; `body` complete."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        return next((value for key, value in self.headers.items() if key.lower() == name), None)


class _Connection(asyncio.Protocol):
    """One connection and its parser; `waiter` is the call that owns it now, None while it is idle."""

    __slots__ = (
        "_broken", "_chunks", "_client", "_complete", "_feed", "_headers", "_headers_done", "_keep", "_parser",
        "_received", "_status", "_timer", "idle_since", "on_header", "transport", "until", "waiter",
    )  # fmt: skip

    def __init__(self, client: "HttpClient") -> None:
        self._client = client
        self._headers: dict[bytes, bytes] = {}
        self.on_header = (
            self._headers.setdefault
        )  # called for every header: straight into the dict, no code of ours
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self._chunks: list[bytes] = []
        self._received = self._status = 0
        self._headers_done = self._complete = self._keep = self._broken = False
        self.idle_since = self.until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport
        self.waiter: asyncio.Future[HttpResponse] | None = None

    def send(
        self,
        request: bytes,
        waiter: "asyncio.Future[HttpResponse]",
        until: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Asks; the waiter is answered by `until` (of the loop's clock).

        One timer serves call after call: it may ring early, and then goes on waiting for the call of that moment.
        """
        self.until = until
        if self._timer is None or self._timer.when() > until:
            self._set_timer(loop)
        self._headers.clear()
        self._chunks = []
        self._received = 0
        self._headers_done = self._complete = False
        self.waiter = waiter
        self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.waiter is None:  # nobody asked: whatever this is, it would be taken for the next answer
            self.transport.abort()
            return
        self._received += len(data)
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._broken = True
            if not self._complete:
                self.fail(BadResponse(f"the answer is not HTTP ({error})"))
                return
        if self._complete:
            self._finish()
        elif not self._headers_done and self._received > MAX_HEADER_BYTES:
            self.fail(BadResponse(f"the answer's headers are longer than {MAX_HEADER_BYTES} bytes"))
        elif self._received > self._client.max_response:
            self.fail(BadResponse(f"the answer is longer than {self._client.max_response} bytes"))

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("a second answer to one request")  # stops the parser: see data_received

    def on_headers_complete(self) -> None:
        self._headers_done = True

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        if self._complete:
            return
        self._status = self._parser.get_status_code()
        if self._status < 200:  # an interim answer: the real one follows
            self._headers.clear()
            self._headers_done = False
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.waiter is not None:
            framed = any(key.lower() in {b"content-length", b"transfer-encoding"} for key in self._headers)
            if exc is None and self._headers_done and not framed and not self._broken:
                self._status = self._parser.get_status_code()
                self._keep = False
                self._finish()  # without a length the end of the connection is the end of the body
            else:
                where = "in the middle of its answer" if self._received else "without an answer"
                self.fail(Disconnected(f"the connection was closed {where}", self._received > 0))

    def fail(self, error: HttpError) -> None:
        """Ends the call with the error and closes the connection at once."""
        waiter, self.waiter = self.waiter, None
        self.transport.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self.until, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self.waiter is None:
            return  # idle: the next call sets it again
        if loop.time() + CLOCK_STEP < self.until:
            self._set_timer(loop)
        else:
            self.fail(TimedOut("no complete answer came before the deadline"))

    def _finish(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is None or waiter.done():  # the caller was cancelled
            self.transport.abort()
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        waiter.set_result(HttpResponse(self._status, self._headers.copy(), body))
        if self._keep and not self._broken:
            self._client.keep(self)
        else:
            self.transport.close()


class _Tunnel(asyncio.Protocol):
    """Reads a proxy's answer to CONNECT; `answer` ends when the tunnel stands, or with an OSError."""

    def __init__(self, answer: "asyncio.Future[None]") -> None:
        self._answer = answer
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._answer.done():
            return
        if b"\r\n\r\n" in self._read:
            line = self._read.partition(b"\r\n")[0]
            version, _, status = line.partition(b" ")
            if version.startswith(b"HTTP/1.") and status[:3] == b"200":
                self._answer.set_result(None)
            else:
                said = line[:100].decode("ascii", "replace")
                self._answer.set_exception(ConnectionError(f"the proxy refused to connect: {said}"))
        elif len(self._read) > MAX_HEADER_BYTES:
            self._answer.set_exception(OSError("the proxy's answer to CONNECT is too long"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the proxy closed the connection"))


class HttpClient:
    """Posts to one URL. Belongs to the event loop it is first used on; close it there.

    `tls` must verify certificates and host names; it is needed when one of the URLs is https. `proxy` is an http
    or https URL, with credentials where the proxy wants them. Raises ValueError for URLs that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        max_response: int = MAX_RESPONSE_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        connect_timeout: float = CONNECT_SECONDS,
        idle_timeout: float = IDLE_SECONDS,
    ) -> None:
        secure, self._host, port, self.authority = _origin(url)
        if secure and tls is None:  # never fall back to plain text
            raise ValueError("an https URL needs certificate authorities")
        self._tls = tls if secure else None
        self._peer, self._peer_tls = (self._host, port), self._tls
        request_line = urlsplit(url).path or "/"
        authorization = b""
        self._tunnel = b""
        if proxy is not None:
            proxy_secure, proxy_host, proxy_port, _ = _origin(proxy)
            if proxy_secure and tls is None:
                raise ValueError("an https proxy needs certificate authorities")
            self._peer, self._peer_tls = (proxy_host, proxy_port), tls if proxy_secure else None
            authorization = _proxy_authorization(proxy)
            through = f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"
            if secure:
                connect = f"CONNECT {through} HTTP/1.1\r\nHost: {through}\r\n"
                self._tunnel = connect.encode("ascii") + authorization + b"\r\n"
                authorization = b""
            else:
                request_line = f"http://{self.authority}{request_line}"
        head = f"POST {request_line} HTTP/1.1\r\nHost: {self.authority}\r\n"
        self._head = head.encode("ascii") + authorization
        self.max_response = max_response
        self._max_connections = max_connections
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(
        self, headers: bytes, body: bytes, deadline: float, *, idempotent: bool = False
    ) -> HttpResponse:
        """One exchange within `deadline` seconds, connecting included.

        `headers` is complete lines, each ended by CRLF; Host and Content-Length are added here. With `idempotent`
        a request that met a connection which the server was just closing is sent once more on a new one.
        Raises HttpError.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        request = b"%bContent-Length: %d\r\n%b\r\n%b" % (self._head, len(body), headers, body)
        connection = self._reusable()
        while True:
            reused = connection is not None
            if connection is None:
                connection = await self._connect(loop, until)
            waiter: asyncio.Future[HttpResponse] = loop.create_future()
            connection.send(request, waiter, until, loop)
            try:
                return await waiter
            except Disconnected as error:
                asked = until - deadline
                if error.answered or not (idempotent and reused) or loop.time() > asked + JUST_CLOSING:
                    raise
                connection = None
            finally:
                if connection is not None and connection.waiter is waiter:
                    connection.waiter = None  # cancelled: its answer may still come, for nobody
                    connection.transport.abort()

    def _reusable(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop, until: float) -> _Connection:
        if self._closing is not None:
            raise ConnectFailed("the client is closed")
        if len(self._open) >= self._max_connections:
            raise ConnectFailed(f"{self._max_connections} connections are open already")
        started = loop.time()
        connection = _Connection(self)
        try:
            async with asyncio.timeout_at(min(until, started + self._connect_timeout)):
                await self._dial(loop, connection)
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(f"its certificate is not trusted: {error.verify_message}") from error
        except TimeoutError as error:
            raise ConnectFailed(f"no connection within {loop.time() - started:.1f} s") from error
        except (OSError, ValueError) as error:
            raise ConnectFailed(str(error) or type(error).__name__) from error
        if connection.transport.is_closing() or self.is_closed:
            connection.transport.abort()
            raise ConnectFailed("the connection was closed as soon as it was made")
        self._open.add(connection)
        return connection

    async def _dial(self, loop: asyncio.AbstractEventLoop, connection: _Connection) -> None:
        host, port = self._peer
        if not self._tunnel:
            transport, _ = await loop.create_connection(lambda: connection, host, port, ssl=self._peer_tls)
            _tune(transport)
            return
        answer: asyncio.Future[None] = loop.create_future()
        transport, _ = await loop.create_connection(lambda: _Tunnel(answer), host, port, ssl=self._peer_tls)
        try:
            _tune(transport)
            transport.write(self._tunnel)
            await answer
            assert self._tls is not None
            inner = await loop.start_tls(transport, connection, self._tls, server_hostname=self._host)
            connection.connection_made(cast("asyncio.Transport", inner))
        except BaseException:
            transport.abort()
            raise

    def keep(self, connection: _Connection) -> None:
        """Takes a connection back whose answer was complete; for the connection alone to call."""
        if self._closing is not None:
            connection.transport.close()
            return
        assert self._loop is not None
        loop = self._loop
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_timeout, self._sweep)

    def forget(self, connection: _Connection) -> None:
        """Strikes out a connection that has ended; for the connection alone to call."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._closing is not None and not self._open:
            self._closing.set()

    def _sweep(self) -> None:
        assert self._loop is not None
        loop = self._loop
        oldest = loop.time() - self._idle_timeout
        # The list is sorted by idle_since: it is filled and emptied at its end.
        while self._idle and self._idle[0].idle_since <= oldest:
            self._idle.pop(0).transport.close()
        self._sweeper = None
        if self._idle:
            self._sweeper = loop.call_at(self._idle[0].idle_since + self._idle_timeout, self._sweep)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing is not None

    async def close(self) -> None:
        """Closes every connection; calls under way end with Disconnected."""
        if self._closing is not None:
            return
        self._closing = asyncio.Event()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        for connection in tuple(self._open):
            connection.fail(Disconnected("the client was closed", answered=True))
        if self._open:
            await self._closing.wait()


def _origin(url: str) -> tuple[bool, str, int, str]:
    """Whether it is TLS, the host, the port, and the authority as the Host header names it."""
    parts = urlsplit(url)
    host, tls = parts.hostname, parts.scheme == "https"
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("it must begin with http:// or https:// and name a host")
    if not (host + parts.path).isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError("it must be printable ASCII without spaces")
    usual = 443 if tls else 80
    port = parts.port or usual
    named = f"[{host}]" if ":" in host else host
    return tls, host, port, named if port == usual else f"{named}:{port}"


def _proxy_authorization(proxy: str) -> bytes:
    parts = urlsplit(proxy)
    if parts.username is None:
        return b""
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return b"Proxy-Authorization: Basic " + base64.b64encode(secret) + b"\r\n"


def _tune(transport: asyncio.Transport) -> None:
    """Small writes leave at once; a peer that died during a long poll is noticed in about 20 s."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 8), ("TCP_KEEPALIVE", 8), ("TCP_KEEPINTVL", 4), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # the systems differ in which they have
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
