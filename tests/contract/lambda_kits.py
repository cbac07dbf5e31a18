"""Lambda functions for the contract suite of the targets: the embedded Lambda, and an emulator's manners."""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiohttp import web

from poller.aws.clients import AwsClients
from poller.aws.lambda_handler import make_lambda_handler
from poller.core.mapping import EventSourceMapping, HandlerSettings, parse_mapping
from poller.ports import Handler
from poller.testing import EmbeddedAws, FunctionFailed, TooManyRequests
from tests.contract.obedient_async import obey_async

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class LambdaKit:
    """A Lambda function's name, with the embedded AWS behind it."""

    name = "lambda"
    throttles = True
    tells_errors = True
    takes_bytes = True
    has_context = False

    @contextlib.asynccontextmanager
    async def serving(
        self, folder: Path, *, timeout: float = 60.0, concurrency: int = 2
    ) -> AsyncIterator[Handler]:
        async with EmbeddedAws(region="eu-west-1") as aws:
            aws.functions.add_raw("orders", _function)
            async with _started(HandlerSettings(timeout=timeout, concurrency=concurrency), aws.url) as handler:
                yield handler

    @contextlib.asynccontextmanager
    async def unreachable(self, folder: Path) -> AsyncIterator[Handler]:
        async with EmbeddedAws(region="eu-west-1") as aws:
            pass
        async with _started(HandlerSettings(), aws.url) as handler:
            yield handler

    def has_ended(self, mark: Path) -> bool:
        """Nobody can end a function at AWS: it goes on until its own timeout. What is ours has ended."""
        return True


class EmulatorKit:
    """The same with `Handler.EndpointUrl`: a server with the manners of the Runtime Interface Emulator."""

    name = "emulator"
    throttles = True
    tells_errors = True
    takes_bytes = True
    has_context = False

    @contextlib.asynccontextmanager
    async def serving(
        self, folder: Path, *, timeout: float = 60.0, concurrency: int = 2
    ) -> AsyncIterator[Handler]:
        async with _emulator() as url:
            settings = HandlerSettings(timeout=timeout, concurrency=concurrency, endpoint_url=url)
            async with _started(settings) as handler:
                yield handler

    @contextlib.asynccontextmanager
    async def unreachable(self, folder: Path) -> AsyncIterator[Handler]:
        async with _emulator() as url:
            pass
        async with _started(HandlerSettings(endpoint_url=url)) as handler:
            yield handler

    def has_ended(self, mark: Path) -> bool:
        """As with Lambda itself."""
        return True


@contextlib.asynccontextmanager
async def _started(settings: HandlerSettings, endpoint_url: str | None = None) -> AsyncIterator[Handler]:
    fields = {"EventSourceArn": "arn:aws:sqs:eu-west-1:000000000000:orders", "FunctionName": "orders"}
    mapping = parse_mapping(fields)
    assert isinstance(mapping, EventSourceMapping), mapping
    with patch.dict(os.environ, CREDENTIALS):
        async with AwsClients(endpoint_url=endpoint_url) as clients:
            handler = make_lambda_handler(replace(mapping, handler=settings), clients)
            await handler.start()
            try:
                yield handler
            finally:
                await handler.close()


async def _function(payload: bytes) -> bytes:
    event = json.loads(payload)
    if event["do"] == "throttle":
        raise TooManyRequests(event["retry_after"])
    try:
        return _written(await obey_async(event))
    except Exception as error:
        raise FunctionFailed(_told(error)) from error


@contextlib.asynccontextmanager
async def _emulator() -> AsyncIterator[str]:
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post("/2015-03-31/functions/function/invocations", _invoke)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _invoke(request: web.Request) -> web.Response:
    event = await request.json()
    if event["do"] == "throttle":
        return web.Response(status=400)
    try:
        payload = _written(await obey_async(event))
    except Exception as error:  # noqa: BLE001 - whatever it is, the runtime tells it
        payload = _told(error)
    return web.Response(body=payload, content_type="text/plain")


def _written(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _told(error: Exception) -> bytes:
    return json.dumps({"errorType": type(error).__name__, "errorMessage": str(error), "stackTrace": []}).encode()
