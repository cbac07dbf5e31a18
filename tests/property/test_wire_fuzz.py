"""Whatever a server says, the wire answers with a result or one of our errors, and never mixes two calls up."""

import asyncio
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poller.aws import errors
from poller.aws.credentials import CredentialSource
from poller.aws.http1 import HttpClient, HttpError, HttpResponse, TimedOut
from poller.aws.sigv4 import Credentials
from poller.aws.sqs import _failures
from poller.aws.wire import WireAnswer, WireClient
from poller.clock import SystemClock
from poller.errors import SourceError

FRAGMENTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 500 No\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: x\r\n",
        b"HTTP/1.1 204 \r\n",
        b"Content-Length: 2\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"X: y\r\n",
        b": \r\n",
        b" folded\r\n",
        b"\r\n",
        b"{}",
        b"2\r\n{}\r\n",
        b"0\r\n\r\n",
        b"\x00",
    ]
)
ANSWERS = st.lists(FRAGMENTS | st.binary(max_size=12), max_size=14)


class Source:
    """Credentials without a session's costs."""

    async def get_credentials(self):
        return self

    async def get_frozen_credentials(self):
        return Credentials("A", "s", None)


async def speak(parts, ask):
    """A server whose first answer is `parts`, each written on its own, and whose later ones are right."""

    async def serve(reader, writer):
        nonlocal first
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                if first:
                    first = False
                    for part in parts:
                        writer.write(part)
                        await asyncio.sleep(0)
                    writer.write_eof()
                    await reader.read()
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    first = True
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}")
    try:
        await ask(client)
    finally:
        await client.close()
        server.close()


@given(parts=ANSWERS | ANSWERS.map(lambda parts: [b"".join(parts)]))
@example(
    parts=[b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n", b"\r\n", b"{}", b"HTTP/1.1 200 OK\r\nContent-Length"]
)
@example(parts=[b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: gzip\r\n", b"\r\n", b"{}"])
def test_any_bytes_are_an_answer_or_our_error_and_the_next_call_gets_its_own(parts):
    async def ask(client):
        [first] = await asyncio.gather(client.post(b"", b"{}", 60.0), return_exceptions=True)
        assert isinstance(first, (HttpResponse, HttpError))
        assert not isinstance(first, TimedOut)  # the server closed: waiting for the deadline would be a hang
        async with asyncio.timeout(
            60
        ):  # bytes that trail in later are told from the next answer only by the close
            while client._open:  # noqa: ASYNC110 - a closing connection sets no event
                await asyncio.sleep(0)
        for number in (b"[1]", b"[2]"):
            answer = await client.post(b"", number, 60.0, idempotent=True)
            assert (answer.status, answer.body) == (200, number)

    asyncio.run(speak(parts, ask))


WORDS = ["__type", "message", "Message", "Code", "Successful", "Failed", "Id"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(status=st.integers(200, 599), body=JSON.map(lambda v: json.dumps(v).encode()) | st.binary(max_size=60))
def test_any_answer_is_a_result_or_a_source_error(status, body):
    async def ask(http):
        wire = WireClient(
            "sqs",
            "eu-west-1",
            endpoint="http://x",
            http=http,
            credentials=CredentialSource(Source),
            clock=SystemClock(),
        )
        [answer] = await asyncio.gather(wire.call("X", {}, deadline=60.0), return_exceptions=True)
        assert isinstance(answer, (WireAnswer, SourceError))

    empty = status in {204, 304}
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, 0 if empty else len(body))
    asyncio.run(speak([head, b"" if empty else body], ask))


@given(
    status=st.integers(200, 599),
    body=JSON.map(lambda v: json.dumps(v).encode()) | st.binary(),
    headers=st.dictionaries(st.sampled_from([b"x-amzn-query-error", b"location"]), st.binary()),
)
def test_any_refusal_is_one_printable_line(status, body, headers):
    refusal = errors.read_refusal(HttpResponse(status, headers, body))
    sentence = str(errors.refused("sqs", "Op", "h", refusal))
    assert sentence.isprintable()
    assert len(sentence) < 1200


@given(data=st.dictionaries(st.sampled_from(["Successful", "Failed"]), JSON), sent=st.integers(1, 10))
def test_a_batch_answer_is_failures_or_a_known_error(data, sent):
    """Only what the answer calls successful, by its id, and nowhere failed, counts as done."""
    try:
        failures = _failures(data, sent)
    except (AttributeError, TypeError):
        return
    named = {entry.get("Id") for entry in data.get("Successful") or ()}
    assert {str(i) for i in range(sent)} - {str(f.index) for f in failures} <= named


def test_the_fuzz_itself_sees_an_answer():
    """The scripted server is not so broken that every call above failed."""
    seen = []

    async def ask(client):
        seen.append((await client.post(b"", b"{}", 60.0)).body)

    asyncio.run(speak([b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", b"\r\n", b"{}"], ask))
    assert seen == [b"{}"]
    with pytest.raises(HttpError):
        asyncio.run(speak([b"nonsense"], ask))
