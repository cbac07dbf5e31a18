"""The target "a Lambda function": Invoke, and wait for what it comes to.

A Runtime Interface Emulator, which is no AWS, is called by lambda_emulator.py.
"""

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar
from io import BytesIO
from typing import Any, Final

import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from poller.aws import errors
from poller.aws.clients import AwsClients
from poller.aws.lambda_answers import MOST_BYTES, Answer, from_lambda, from_refusal, read_up_to
from poller.aws.lambda_emulator import XRAY_HEADER, EmulatorHandler
from poller.core.mapping import EventSourceMapping
from poller.core.model import InvocationResult, SourceProblem
from poller.core.payload import serialise
from poller.core.trace_headers import format_xray
from poller.errors import SourceError
from poller.ports import Handler, Invocation

CONNECT_TIMEOUT: Final = 5.0
CREDENTIALS_TIMEOUT: Final = 10.0
LONGEST_FUNCTION: Final = 900.0
MARGIN: Final = 60.0
"""Seconds that a read waits beyond the longest function and our own limit: neither must be cut short (INV-3)."""

KEEPALIVE_IDLE: Final = 60
"""Seconds without a byte after which the connection is probed. A function may be silent for 15 minutes, and NAT
gateways forget a connection after 350 seconds: its answer would never arrive."""
_KEEPALIVE: Final = {"TCP_KEEPIDLE": KEEPALIVE_IDLE, "TCP_KEEPALIVE": KEEPALIVE_IDLE, "TCP_KEEPINTVL": 30,
                     "TCP_KEEPCNT": 5}  # fmt: skip
_xray: ContextVar[str] = ContextVar("esm_xray")
"""Of the invocation that runs, where there is a trace: an SDK's operation has no parameter for its headers."""
_SDK_FAILS: Final = (BotoCoreError, ResponseParserError, OSError, ValueError)


def make_lambda_handler(mapping: EventSourceMapping, clients: AwsClients) -> Handler:
    """The handler of a mapping whose FunctionName is a Lambda function's."""
    endpoint = mapping.handler.endpoint_url
    return LambdaHandler(mapping, clients) if endpoint is None else EmulatorHandler(mapping, endpoint)


class LambdaHandler:
    """One mapping's function, called by exactly the reference that was configured (INV-1, CFG-53), in the region
    of its ARN.

    The client is its own, with a connection for each call at once and without retries of the SDK's: they would run
    a batch twice and count it once (INV-3).
    """

    def __init__(self, mapping: EventSourceMapping, clients: AwsClients) -> None:
        self._name = mapping.function_name
        self._region = mapping.function_arn.split(":")[3]
        self._clients = clients
        # of the time that a call has: the rest is left to say that there was none
        self._patience = min(CREDENTIALS_TIMEOUT, mapping.handler.timeout / 2)
        self._config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=max(LONGEST_FUNCTION, mapping.handler.timeout) + MARGIN,
            retries={"total_max_attempts": 1},
            max_pool_connections=mapping.handler.concurrency,
            connector_args={"socket_factory": _keepalive_socket},
        )
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._closed = False

    async def start(self) -> None:
        """Makes the client. AWS is not asked: a function that is missing today may be there tomorrow (API-11)."""
        with suppress(SourceError):  # what is wrong is told by the invocations, which try again
            await self._opened()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """See ports.Handler."""
        loop = asyncio.get_running_loop()
        started, outcome = loop.time(), "success"
        if invocation.trace is not None:
            _xray.set(format_xray(invocation.trace))
        try:
            client = await self._opened()
            await self._clients.credentials_within(self._patience, "lambda Invoke")
            result = from_lambda(await _ask(client, self._name, serialise(invocation.event)))
        except ClientError as error:
            refused = errors.from_sdk("lambda", "Invoke", error)
            self._clients.refused(refused)
            result, outcome = from_refusal(self._name, refused, error.response), refused.problem
        except SourceError as error:
            result, outcome = from_refusal(self._name, error, {}), error.problem
        except _SDK_FAILS as error:
            failed = errors.from_sdk("lambda", "Invoke", error)
            result, outcome = from_refusal(self._name, failed, {}), failed.problem
        except aiohttp.ClientError as error:  # in the middle of a body: the SDK lets these through
            lost = errors.from_sdk("lambda", "Invoke", ConnectionError(str(error) or type(error).__name__))
            result, outcome = from_refusal(self._name, lost, {}), lost.problem
        except (LookupError, TypeError, AttributeError):  # the SDK's parsers met JSON of another kind
            strange = errors.unreadable("lambda", "Invoke", "the AWS endpoint", "another kind of answer")
            result, outcome = from_refusal(self._name, strange, {}), strange.problem
        if self._clients.observe is not None:
            self._clients.observe("lambda", "Invoke", outcome, loop.time() - started)
        return result

    async def close(self) -> None:
        """See ports.Handler."""
        self._closed = True
        await self._stack.aclose()

    async def _opened(self) -> Any:
        async with self._opening:  # invocations that start together make one
            if self._closed:
                raise SourceError(SourceProblem.REFUSED, "the handler has been closed")
            if self._client is None:
                own = self._clients.own_client("lambda", self._region, self._config)
                self._client = await self._stack.enter_async_context(own)
                self._client.meta.events.register("before-call.lambda.Invoke", _add_trace)
            return self._client


def _add_trace(params: dict[str, Any], **_: Any) -> None:
    """Lambda hands it to the function. Not in the client context, which is the application's own."""
    if (xray := _xray.get(None)) is not None:
        params["headers"][XRAY_HEADER] = xray


async def _ask(client: Any, name: str, payload: bytes) -> Answer:
    """One Invoke. Raises what the SDK and what is under it raise."""
    # aiohttp warns of many bytes in one piece, and warnings may be errors in the program that we are part of
    event = BytesIO(payload)
    told = await client.invoke(FunctionName=name, InvocationType="RequestResponse", Payload=event)
    body, metadata = told["Payload"], told["ResponseMetadata"]
    try:
        read = await read_up_to(body, MOST_BYTES)
    finally:
        body.close()  # does nothing to a connection whose response was read to its end
    return Answer(metadata["HTTPStatusCode"], metadata["HTTPHeaders"], read)


def _keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that probes an idle connection; what a system does not know is left out."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
