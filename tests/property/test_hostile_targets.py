"""HTTP targets and Lambda endpoints that answer with rubble: every call has one result, at once, what broke off is
no success, and the next call has its own answer.
"""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeAlias

import pytest

from poller.aws.clients import AwsClients
from poller.aws.lambda_handler import LambdaHandler
from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import FunctionError, InvocationResult, NotInvoked, SourceKind, Succeeded, Throttled
from poller.handlers.http import HttpHandler
from poller.ports import Handler, Invocation
from tests.property.fuzz_wire import ANSWERS, BODY, LINES, Server, pieces, rubble, serving
from tests.property.hostile import ODD, as_sent

SECONDS = 60.0
MAPPING = EventSourceMapping(
    "u",
    "n",
    SourceKind.SQS,
    SourceArn("arn:aws:sqs:eu-west-1:000000000000:q", "aws", "eu-west-1", "000000000000", "q"),
    "f",
    "arn:aws:lambda:eu-west-1:000000000000:function:f",
)
EVENT = {"Records": []}
Call: TypeAlias = Callable[[Iterable[bytes]], Awaitable[InvocationResult]]


@asynccontextmanager
async def http(server: Server) -> AsyncIterator[Handler]:
    handler = HttpHandler(server.url, replace(MAPPING, function_name=server.url))
    await handler.start()
    try:
        yield handler
    finally:
        await handler.close()


@asynccontextmanager
async def function(server: Server) -> AsyncIterator[Handler]:
    async with AwsClients(endpoint_url=server.url) as clients:
        handler = LambdaHandler(MAPPING, clients)
        await handler.start()
        try:
            yield handler
        finally:
            await handler.close()


@asynccontextmanager
async def calling(target: Callable[[Server], object]) -> AsyncIterator[Call]:
    """`call(parts)`: what an answer of these parts comes to. After it, a right answer is a success."""

    async with serving() as server, target(server) as handler:  # type: ignore[attr-defined]

        async def ask() -> InvocationResult:
            invocation = Invocation(EVENT, "request-1", time.monotonic() + SECONDS)
            return await handler.invoke(invocation)  # type: ignore[no-any-return]

        async def call(parts: Iterable[bytes]) -> InvocationResult:
            server.parts = list(parts)
            result = await ask()
            assert isinstance(result, Succeeded | FunctionError | Throttled | NotInvoked)
            text = "" if isinstance(result, Succeeded) else result.message
            assert len(text) < 3_000
            server.parts = None
            while isinstance(following := await ask(), NotInvoked):
                pass  # it met the end of the connection, and nobody knows how far it came (INV-4)
            assert following == Succeeded(b'{"Records":[]}'), parts
            return result

        yield call


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


FRAMED = {name: answer for name, (answer, status, _) in ANSWERS.items() if status == 200}


@pytest.mark.parametrize("answer", FRAMED.values(), ids=FRAMED)
async def test_an_answer_that_broke_off_is_no_success(answer: bytes) -> None:
    """INV-4, GEN-2: a batch whose answer was cut is not done, wherever the cut is."""
    async with calling(http) as call:
        for end in range(len(answer)):
            assert not isinstance(await call([answer[:end]]), Succeeded), answer[:end]
        assert await call([answer]) in [Succeeded(BODY), Succeeded(b"{}")]


@pytest.mark.parametrize("target", [http, function])
async def test_rubble(target: Callable[[Server], object]) -> None:
    """INV-4, INV-9."""
    results = set()
    async with calling(target) as call:
        for seed in range(150):
            chance = random.Random(seed)
            results.add(type(await call(pieces(chance, rubble(chance)))))
    assert {Succeeded, NotInvoked} <= results


@pytest.mark.parametrize("target", [http, function])
@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
async def test_odd_bodies(target: Callable[[Server], object], status: int) -> None:
    """INV-4, INV-9: a body is the function's business, or the SDK's where it tells an error."""
    async with calling(target) as call:
        for value in ODD:
            body = as_sent(value)
            result = await call([b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)), body])
            assert result == Succeeded(body) if status == 200 else not isinstance(result, Succeeded)


@pytest.mark.parametrize("target", [http, function])
@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
async def test_odd_headers(target: Callable[[Server], object], status: int) -> None:
    """INV-2, INV-4, INV-8: what stands in them may be anything, and never makes it a success of a refusal."""
    names = (
        b"Retry-After",
        b"X-Amz-Function-Error",
        b"X-Amz-Executed-Version",
        b"x-amzn-errortype",
        b"Content-Type",
    )
    values = (b"", b"NaN", b"inf", b"-1", b"9" * 400, b"\xff\xfe", b"Unhandled", b"x" * 8_000, b"Sat, 99 Foo 2026")
    lines = [b"%b: %b\r\n" % (name, value) for name in names for value in values]
    head = b"HTTP/1.1 %d X\r\nContent-Length: 8\r\n" % status
    async with calling(target) as call:
        for line in [*lines, *(line for line in LINES if line.endswith(b"\r\n") and line != b"\r\n")]:
            result = await call([head + line + b"\r\n" + BODY])
            assert status == 200 or not isinstance(result, Succeeded) or b"HTTP/" in line
            if isinstance(result, Throttled) and result.retry_after is not None:
                assert result.retry_after >= 0
