"""Answers of HTTP servers made of rubble, for the wire client's engine: right ones that are cut, repeated, mixed
and changed byte by byte, in pieces of any size.

`python -m tests.property.fuzz_wire SECONDS [SEED]` goes on for so long and prints what it met; a failure prints
the seed with which it comes again. The engine's rules stand in `exchange`.
"""

import asyncio
import gzip
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from poller.aws.http1 import HttpClient, HttpError, HttpResponse, TimedOut

SECONDS = 60.0
BODY = b'{"a": 1}'
PACKED = gzip.compress(BODY, mtime=0)
OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS: dict[str, tuple[bytes, int, bytes]] = {
    "a length": (OK + b"Content-Length: 8\r\n\r\n" + BODY, 200, BODY),
    "a length, said twice": (OK + b"Content-Length: 2\r\nX: y\r\n\r\n{}", 200, b"{}"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n5\r\n\": 1}\r\n0\r\n\r\n", 200, BODY),
    "extensions and trailers": (
        OK + b'Transfer-Encoding: chunked\r\n\r\n8;a=b;c="d e"\r\n' + BODY + b"\r\n0;x\r\nT: u\r\nV: w\r\n\r\n",
        200,
        BODY,
    ),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK + b"Content-Length: 8\r\n\r\n" + BODY,
        200,
        BODY,
    ),
    "gzip": (
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
        200,
        PACKED,
    ),
    "an error": (b"HTTP/1.1 503 Slow Down\r\nContent-Length: 2\r\nDate: x\r\n\r\n{}", 503, b"{}"),
    "a goodbye": (OK + b"Connection: close\r\nContent-Length: 8\r\n\r\n" + BODY, 200, BODY),
}  # fmt: skip
"""What servers say, its status and its body; the end of each is known from what it says."""

LINES = [
    b"Content-Length: 0\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: +8\r\n",
    b"Content-Length: 8, 8\r\n",
    b"Content-Length: 0x8\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Content-Length:\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: keep-alive, close\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br\r\n",
    b"Date: Sat, 32 Nov 99999 25:61:61 XYZ\r\n",
    b"X-" + b"a" * 3_000 + b": b\r\n",
    b"X: " + b"b" * 70_000 + b"\r\n",
    b"X: \x80\xff\r\n",
    b"X: \x00\r\n",
    b": nameless\r\n",
    b" folded\r\n",
    b"no colon\r\n",
    b"A: b\n",
    b"\r\n",
    b"\r",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/0.9 200\r\n",
    b"HTTP/2.0 200 OK\r\n",
    b"HTTP/1.1 99999 OK\r\n",
    b"HTTP/1.1 -1 OK\r\n",
    b"HTTP/1.1\r\n",
    b"ICY 200 OK\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n",
    b"8;" + b"e" * 3_000 + b"\r\n",
    b"0\r\n\r\n",
]
TAKEN, MISSED = "an answer", "an error"


class Server:
    """Says `parts` once, and ends the connection unless it `stays`; to each later request, what it was asked."""

    parts: Sequence[bytes] | None = None
    stays = False
    url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                if self.parts is not None:
                    parts, self.parts = self.parts, None
                    for part in parts:
                        writer.write(part)
                        await asyncio.sleep(0)
                    await writer.drain()
                    if self.stays:
                        continue
                    writer.write_eof()
                    await reader.read()
                    break
                writer.write(b"%bContent-Length: %d\r\n\r\n%b" % (OK, len(body), body))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """Such a server."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


async def exchange(
    server: Server, parts: Sequence[bytes], max_response: int = 1024 * 1024
) -> HttpResponse | HttpError:
    """One request that is answered so. Whatever came: it is an answer or an error of ours, at once, no longer than
    it may be, and the next two requests have their own answers.
    """
    client = HttpClient(server.url, max_response=max_response)
    server.parts = parts
    try:
        [first] = await asyncio.gather(client.post(b"", b"{}", SECONDS), return_exceptions=True)
        assert isinstance(first, HttpResponse | HttpError), first
        assert not isinstance(first, TimedOut), first
        async with asyncio.timeout(SECONDS):
            while client._open and not server.stays:  # noqa: ASYNC110 - what trails in later is told from the next answer by the close
                await asyncio.sleep(0)
        server.parts = None
        for number in (b"[1]", b"[2]"):
            answer = await client.post(b"", number, SECONDS, idempotent=True)
            assert (answer.status, answer.body) == (200, number), answer.body
    finally:
        await client.close()
    if isinstance(first, HttpResponse):
        assert 200 <= first.status <= 999
        assert len(first.body) <= max_response
    return first


def pieces(chance: random.Random, answer: bytes) -> list[bytes]:
    """The same bytes in a few writes."""
    cuts = sorted(chance.randrange(len(answer) + 1) for _ in range(chance.choice([0, 0, 1, 2, 5])))
    return [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]


def rubble(chance: random.Random) -> bytes:
    """An answer with up to four things done to it."""
    answer = bytearray(chance.choice(list(ANSWERS.values()))[0])
    for _ in range(chance.randrange(5)):
        at = chance.randrange(len(answer) + 1)
        to = min(len(answer), at + chance.randrange(1, 12))
        match chance.randrange(8):
            case 0:
                del answer[at:]
            case 1:
                del answer[at:to]
            case 2:
                answer[at:at] = answer[at:to] * chance.choice([1, 1, 1, 500])
            case 3:
                answer[at:to] = chance.randbytes(chance.randrange(4))
            case 4:
                answer += chance.choice(list(ANSWERS.values()))[0]
            case 5:
                answer[at:at] = chance.choice(LINES)
            case _:
                line = answer.find(b"\r\n", at)  # where a line may stand
                answer[line + 2 : line + 2] = chance.choice(LINES)
    return bytes(answer)


async def attempt(server: Server, seed: int) -> str:
    """One answer; the kind of what became of it."""
    chance = random.Random(seed)
    came = await exchange(server, pieces(chance, rubble(chance)))
    return TAKEN if isinstance(came, HttpResponse) else f"{MISSED}: {type(came).__name__}"


async def run(seconds: float, seed: int) -> Counter[str]:
    """Until the time is over; an assertion that fails names its seed."""
    met: Counter[str] = Counter()
    end = time.monotonic() + seconds
    async with serving() as server:
        while time.monotonic() < end:
            try:
                met[await attempt(server, seed)] += 1
            except BaseException as error:
                error.add_note(f"python -m tests.property.fuzz_wire 0.001 {seed}")
                raise
            seed += 1
    return met


if __name__ == "__main__":
    for kind, count in sorted(asyncio.run(run(float(sys.argv[1]), int(*sys.argv[2:3]))).items()):
        print(f"{count:>8} {kind}")
