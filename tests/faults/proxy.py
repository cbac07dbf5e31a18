"""A proxy between the daemon and a real server: HTTP/1.1, in a thread of its own, that does what rules.py says.

What it does to a request is counted by fault and operation; what it passes on is whole and unchanged, but for the
framing of a body that came in chunks.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from poller.eventloop import new_event_loop
from tests.faults import rules
from tests.faults.refusals import refusal
from tests.faults.rules import Fault, Plan, Rule

_SERVICES = {
    "AmazonSQS": "sqs",
    "Kinesis_20131202": "kinesis",
    "DynamoDBStreams_20120810": "streams",
    "DynamoDB_20120810": "dynamodb",
}
_NOT_HTTP = bytes(range(255, 127, -1)) * 4
_NOT_JSON = b'{"Messages": [{"Body": \xff\xfe'
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what was not sent is thrown away, and the peer is told with RST
_LONGEST_HEAD = 256 * 1024


class _End(Exception):  # noqa: N818 - it tells that the exchange is over, not what went wrong
    """This connection is done with."""


class Message(NamedTuple):
    """A request or an answer: its head with the empty line, and its body."""

    head: bytes
    body: bytes

    @property
    def operation(self) -> str:
        """`sqs.ReceiveMessage`; `http.POST` where there is no X-Amz-Target."""
        target = header(self.head, b"x-amz-target")
        if target is None:
            return "http." + self.head.split(b" ", 1)[0].decode()
        prefix, _, name = target.decode().partition(".")
        return f"{_SERVICES[prefix]}.{name}"


def header(head: bytes, name: bytes) -> bytes | None:
    """The first header of this lower-case name."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


class Proxy:
    """`be` says what it does from now on, from any thread. `faults` and `passed` may be read at any time."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 0)
        self._path = parts.path
        self._loop = new_event_loop()
        self._plan = Plan()
        self._nth: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.faults: Counter[tuple[str, str]] = Counter()
        """How many requests have met a fault, by its name (rules.name_of) and their operation."""
        self.passed: Counter[str] = Counter()
        """How many had a whole answer at once, by operation."""

    @property
    def url(self) -> str:
        """Where the daemon finds it instead of the server."""
        return f"http://127.0.0.1:{self.port}{self._path}"

    @property
    def clients(self) -> int:
        """Connections to it that are open."""
        return len(self._tasks)

    def met(self, fault: Fault) -> int:
        """How many requests have met this fault."""
        return sum(count for (name, _), count in self.faults.copy().items() if name == rules.name_of(fault))

    def be(self, *each: Rule, seed: int = 0, away: bool = False, cut: bool = True) -> None:
        """From now on these rules count, from the first request on. Without any rule it is a plain proxy; `away`:
        nobody listens. Open connections are cut, unless they are to live on and meet the rules themselves.
        """
        plan = Plan(each, seed)
        asyncio.run_coroutine_threadsafe(self._be(plan, away=away, cut=cut or away), self._loop).result(30)

    async def _be(self, plan: Plan, *, away: bool, cut: bool) -> None:
        self._plan = plan
        self._nth.clear()
        if self._server is not None and cut:
            self._server.close()
            self._server = None
            # What it had accepted has its task some turns of the loop later, and what was cut is closed.
            await _turns()
        while cut and self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await _turns()
        if self._server is None and not away:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_LONGEST_HEAD)
            self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(_Exchanges(self, reader, writer).serve())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def next_fault(self, operation: str) -> Fault | None:
        """What the request that has just come meets; counted."""
        self._nth[operation] += 1
        fault = self._plan.fault_of(operation, self._nth[operation])
        if fault is None:
            self.passed[operation] += 1
        else:
            self.faults[rules.name_of(fault), operation] += 1
        return fault

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the server."""
        return await asyncio.open_connection(*self._upstream, limit=_LONGEST_HEAD)


class _Exchanges:
    """One connection of a client, one request after the other, and the connection to the server behind it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def serve(self) -> None:
        """Until either side ends it."""
        try:
            while True:
                await self._serve_one()
        except (_End, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.transport.abort()
            self._drop_server()

    async def _serve_one(self) -> None:
        request = await read_message(self._reader)
        operation = request.operation
        fault = self._proxy.next_fault(operation)
        match fault:
            case rules.Reset(after=False):
                self._reset()
            case rules.BlackHole(after=False):
                await self._swallow()
            case rules.Throttle() | rules.Broken() | rules.Expired() | rules.Refused():
                await self._write(refusal(operation.partition(".")[0], fault))
                return
            case _:
                pass
        answer = await self._ask_while_there(request)
        match fault:
            case rules.Reset():
                self._reset()
            case rules.BlackHole():
                await self._swallow()
            case rules.Delay(seconds=seconds):
                await asyncio.sleep(seconds)
                await self._write(answer.head + answer.body)
            case rules.Truncated():
                await self._write(answer.head + answer.body[: len(answer.body) // 2])
                await self._finish()
            case rules.Garbage():
                await self._write(_NOT_HTTP)
                await self._finish()
            case rules.Mangled():
                await self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_NOT_JSON) + _NOT_JSON)
            case rules.Slow(pieces=pieces, pause=pause):
                whole = answer.head + answer.body
                size = -(-len(whole) // pieces)
                for start in range(0, len(whole), size):
                    await asyncio.sleep(pause)
                    await self._write(whole[start : start + size])
            case _:
                await self._write(answer.head + answer.body)
                if isinstance(fault, rules.HangUp) or header(answer.head, b"connection") == b"close":
                    await self._finish()

    async def _ask_while_there(self, request: Message) -> Message:
        """The server's answer; a client that goes away meanwhile takes its request with it, as it does at AWS."""
        asking = asyncio.ensure_future(self._ask(request))
        going = asyncio.ensure_future(self._reader.read(1))
        try:
            await asyncio.wait({asking, going}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise _End
            return await asking
        finally:
            for task in (asking, going):
                task.cancel()
            await asyncio.gather(asking, going, return_exceptions=True)

    async def _ask(self, request: Message) -> Message:
        """On the connection of the last request, unless the server has closed it meanwhile."""
        kept = self._server
        if kept is not None and (kept[0].at_eof() or kept[1].is_closing()):
            self._drop_server()
        while True:
            reused = self._server is not None
            if self._server is None:
                self._server = await self._proxy.connect()
            reader, writer = self._server
            try:
                writer.write(request.head + request.body)
                return await read_message(reader)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                self._drop_server()
                # the server closed it in this moment: it has not seen the request
                if not reused or (isinstance(error, asyncio.IncompleteReadError) and error.partial):
                    raise

    async def _write(self, data: bytes) -> None:
        if self._writer.is_closing():  # uvloop's transports raise what is no OSError
            raise _End
        self._writer.write(data)
        await self._writer.drain()

    async def _finish(self) -> None:
        """All that was written arrives, then the end."""
        self._writer.close()
        await self._writer.wait_closed()
        raise _End

    def _reset(self) -> None:
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise _End

    async def _swallow(self) -> None:
        while await self._reader.read(65536):
            pass
        raise _End

    def _drop_server(self) -> None:
        if self._server is not None:
            self._server[1].transport.abort()
            self._server = None


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next request or answer; its body with a Content-Length, however it came."""
    head = await reader.readuntil(b"\r\n\r\n")
    while head.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):  # an interim answer
        head = await reader.readuntil(b"\r\n\r\n")
    if b"chunked" in (header(head, b"transfer-encoding") or b"").lower():
        body = b"".join([piece async for piece in _chunks(reader)])
    elif (length := header(head, b"content-length")) is not None:
        return Message(head, await reader.readexactly(int(length)))
    elif head.startswith(b"HTTP/"):
        body = await reader.read(-1)
    else:
        return Message(head, b"")
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"transfer-encoding:")]
    return Message(b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]), body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass  # trailers


@contextlib.contextmanager
def in_front_of(upstream: str) -> Iterator[Proxy]:
    """A plain proxy until it is told otherwise; gone afterwards."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy._loop.run_forever, name="fault proxy", daemon=True)
    thread.start()
    try:
        proxy.be()
        yield proxy
    finally:
        proxy.be(away=True)
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join(10)
        proxy._loop.close()


@contextlib.contextmanager
def refusing(code: str, message: str) -> Iterator[str]:
    """The URL of an AWS that answers every call with the same error."""
    with in_front_of("http://127.0.0.1:9") as proxy:
        proxy.be(Rule(rules.Refused(code, message)))
        yield proxy.url
