"""An HTTP target whose every byte the test decides."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

CERTS = Path(__file__).parent.parent / "aws" / "certs"


class Line:
    """One accepted connection, as a script sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: "Target") -> None:
        self.reader = reader
        self.writer = writer
        self._target = target

    async def request(self) -> tuple[list[str], bytes]:
        """The lines of the next request's head, and its body; IncompleteReadError when the client has gone."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        length = next((int(line[15:]) for line in head if line.lower().startswith("content-length:")), 0)
        body = await self.reader.readexactly(length)
        self._target.requests.append((head, body))
        return head, body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", status: str = "200 OK", extra: str = "") -> None:
        await self.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)

    async def gone(self) -> None:
        """Waits until the client closed the connection."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Line, int], Awaitable[None]]


class Target:
    """Runs `script(line, number)` for each connection; closes the connection when the script ends."""

    def __init__(self, script: Script, *, tls: bool) -> None:
        self.requests: list[tuple[list[str], bytes]] = []
        self.connections = 0
        self.closed = 0
        self._failures: list[BaseException] = []
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        context = None
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTS / "server.pem", CERTS / "server.key")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failures:
            raise self._failures[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            try:
                await self._script(Line(reader, writer, self), self.connections)
            except AssertionError as error:
                self._failures.append(error)
        self.closed += 1
        writer.close()
        self._tasks.discard(task)


@asynccontextmanager
async def target(script: Script, *, tls: bool = False) -> AsyncIterator[Target]:
    """A running target; an assertion that fails in its script fails the test."""
    serving = Target(script, tls=tls)
    await serving.start()
    try:
        yield serving
    finally:
        await serving.stop()


def always(body: bytes = b"", status: str = "200 OK", extra: str = "") -> Script:
    """Answers every request with the same."""

    async def script(line: Line, number: int) -> None:
        while True:
            await line.request()
            await line.answer(body, status, extra)

    return script


def raw(data: bytes) -> Script:
    """Answers the first request with these bytes and ends the connection."""

    async def script(line: Line, number: int) -> None:
        await line.request()
        await line.send(data)

    return script


def bomb(megabytes: int) -> bytes:
    """A gzip member of so many megabytes of zeros, a thousandth in size, made in no time: the same block over and
    over. Its checksum is wrong, which shows only to whoever inflates all of it.
    """
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(1024 * 1024)) + packer.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + block * megabytes + b"\x03\x00" + bytes(8)
