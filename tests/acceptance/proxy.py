"""A TCP proxy between the daemon and its AWS that can take AWS away in four ways, and bring it back."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Away(Enum):
    """How AWS is away."""

    NOT = auto()
    REFUSED = auto()  # nobody listens
    BLACK_HOLE = auto()  # accepts, swallows, never answers
    BROKEN = auto()  # 500 to everything
    THROTTLED = auto()  # 400 ThrottlingException to everything


ANSWERS = {
    Away.BROKEN: (b"500 Internal Server Error", {"__type": "InternalFailure", "message": "broken on purpose"}),
    Away.THROTTLED: (b"400 Bad Request", {"__type": "ThrottlingException", "message": "Rate exceeded"}),
}


class Proxy:
    """Runs in a thread of its own; `be` changes what it does and cuts every open connection."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._loop = asyncio.new_event_loop()
        self._away = Away.NOT
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def be(self, away: Away) -> None:
        """From now on AWS is away in this way (or is back)."""
        asyncio.run_coroutine_threadsafe(self._be(away), self._loop).result(30)

    async def _be(self, away: Away) -> None:
        self._away = away
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        if away is not Away.REFUSED:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._away is Away.NOT:
                await self._forward(reader, writer)
            elif self._away is Away.BLACK_HOLE:
                while await reader.read(65536):
                    pass
            else:
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        self._writers.add(upstream_writer)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.transport.abort()

        try:
            await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))
        finally:
            self._writers.discard(upstream_writer)
            upstream_writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, error = ANSWERS[self._away]
        body = json.dumps(error).encode()
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            self.requests += 1
            writer.write(
                b"HTTP/1.1 "
                + status
                + b"\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: "
                + str(len(body)).encode()
                + b"\r\n\r\n"
                + body
            )
            await writer.drain()

    async def _end(self) -> None:
        await self._be(Away.REFUSED)


@contextlib.contextmanager
def in_front_of(target: str) -> Iterator[Proxy]:
    """A proxy that is gone afterwards."""
    proxy = Proxy(target)
    thread = threading.Thread(target=proxy._loop.run_forever, daemon=True)
    thread.start()
    try:
        proxy.be(Away.NOT)
        yield proxy
    finally:
        proxy.be(Away.REFUSED)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), proxy._loop).result(10)
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join(10)
        proxy._loop.close()


@contextlib.contextmanager
def refusing(code: str, message: str) -> Iterator[str]:
    """An AWS that answers every call with the same error."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"__type": code, "message": message}).encode()
            self.send_response(400)
            self.send_header("content-type", "application/x-amz-json-1.0")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
