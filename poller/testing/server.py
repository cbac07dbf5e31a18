"""The embedded AWS over HTTP: any SDK, poller and load test may be its client.

One port for all services. X-Amz-Target tells those of AWS JSON apart; a request without it is for the services
that speak otherwise. One asyncio protocol on a C parser, no task per request: it is also the endpoint of the
benchmark. Signatures are not looked at.
"""

import asyncio
import email.utils
import itertools
import os
from collections import deque
from typing import Any, Final, NamedTuple, Self

import httptools
import orjson

from poller.clock import Clock
from poller.core.model import JsonObject
from poller.errors import ListenError
from poller.testing.calls import Answer, AwsError, Dropped, MachineService, RestAnswer, Service, Waiting
from poller.testing.dynamodb import DynamoDb
from poller.testing.dynamodb_errors import STREAM_THROTTLE, TABLE_THROTTLE
from poller.testing.faults import Faults
from poller.testing.functions import Functions
from poller.testing.kinesis import Kinesis
from poller.testing.kinesis_errors import throttled
from poller.testing.rest import RestServices
from poller.testing.s3 import S3
from poller.testing.service import SqsService
from poller.testing.sns import Sns
from poller.testing.sqs import Sqs

_LARGEST_BODY: Final = 16 * 1024 * 1024
_REASONS: Final = {200: "OK", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
                   412: "Precondition Failed", 413: "Content Too Large", 429: "Too Many Requests",
                   500: "Error"}  # fmt: skip
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class EmbeddedAws:
    """AWS on a port of this machine, with its state, faults and counters at hand.

        async with EmbeddedAws() as aws:
            client = boto3.client("sqs", endpoint_url=aws.url, ...)

    `clock` is the system's unless one is given; `port` 0 takes a free one. `abandoned_polls_take` imitates other
    stand-ins: a long poll whose client is gone still takes the next message. After `close`, `start` listens on
    the same port again, with the same state: that is how a test takes AWS away for a while.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        region: str = "us-east-1",
        account: str = "000000000000",
        abandoned_polls_take: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self.abandoned_polls_take = abandoned_polls_take
        self.service = SqsService(clock, Sqs(region=region, account=account))
        self.kinesis = Kinesis(region=region, account=account)
        self.kinesis_service = MachineService(
            "kinesis", self.service.clock, self.kinesis, self.faults, throttled()
        )
        self.dynamodb = DynamoDb(region=region, account=account)
        self.dynamodb_service = MachineService(
            "dynamodb", self.service.clock, self.dynamodb, self.faults, TABLE_THROTTLE
        )
        self.dynamodb_streams_service = MachineService(
            "dynamodbstreams", self.service.clock, self.dynamodb.streams, self.faults, STREAM_THROTTLE
        )
        self.services: dict[str, Service] = {
            "AmazonSQS": self.service,
            "Kinesis_20131202": self.kinesis_service,
            "DynamoDB_20120810": self.dynamodb_service,
            "DynamoDBStreams_20120810": self.dynamodb_streams_service,
        }
        self.rest = RestServices(self.service)
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._numbers = itertools.count(1)
        self._date = (0, b"")

    @property
    def url(self) -> str:
        """Where it listens, as an endpoint_url."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def sqs(self) -> Sqs:
        """The state machine of SQS: its queues can be looked at directly."""
        return self.service.sqs

    @property
    def sns(self) -> Sns:
        """The state machine of SNS: what was published can be looked at directly."""
        return self.rest.sns

    @property
    def s3(self) -> S3:
        """The state machine of S3: its buckets can be looked at directly."""
        return self.rest.s3

    @property
    def functions(self) -> Functions:
        """The functions of Lambda; a test adds its own."""
        return self.rest.functions

    @property
    def faults(self) -> Faults:
        """What the next calls shall meet."""
        return self.service.faults

    async def start(self) -> None:
        """Listens; raises errors.ListenError when the address is taken or not ours."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
        except (OSError, OverflowError) as error:
            # asyncio's own text has the address in it once more
            reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
            raise ListenError(
                f"cannot listen on {self.host}:{self.port}: {reason}; choose another port, or 0 for a free one"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self.sqs.url = self.url

    async def close(self) -> None:
        """Listens no more and closes every connection; queues, streams and tables stay."""
        if self._server is None:
            return
        self._server.close()
        await self.functions.close()
        for connection in list(self.connections):
            connection.abort()
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def head(self, status: int, length: int, error: AwsError | None) -> bytes:
        """Status line and headers of an answer in AWS JSON."""
        query_code = None if error is None else error.query_code
        fault = "" if query_code is None else f"x-amzn-query-error: {query_code}\r\n"
        return (
            b"HTTP/1.1 %d %b\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n"
            b"x-amzn-RequestId: 00000000-0000-4000-8000-%012x\r\n%bDate: %b\r\n\r\n"
        ) % (
            status,
            _REASONS.get(status, "Error").encode(),
            length,
            next(self._numbers),
            fault.encode("latin-1", "replace"),
            self._today(),
        )

    def rest_head(self, status: int, length: int, headers: dict[str, str]) -> bytes:
        """The same of an answer of `rest`."""
        told = {"x-amz-request-id": f"{next(self._numbers):016X}"} | headers
        if status not in {204, 304} and "Content-Length" not in headers:
            told["Content-Length"] = str(length)
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        return b"HTTP/1.1 %d %b\r\n%bDate: %b\r\n\r\n" % (
            status,
            _REASONS.get(status, "Error").encode(),
            lines.encode("latin-1", "replace"),
            self._today(),
        )

    def _today(self) -> bytes:
        wall = int(self.service.clock.now().wall)
        if self._date[0] != wall:
            self._date = (wall, email.utils.formatdate(wall, usegmt=True).encode())
        return self._date[1]


class _Request(NamedTuple):
    """A parsed request; `body` is None when it was too long to keep."""

    method: bytes
    url: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | None
    keep_alive: bool


class _Connection(asyncio.Protocol):
    """One client: parses, hands each request to the service, answers in order."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._aws = aws
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._busy = False
        self._last = False
        self._parked: Waiting | None = None
        self._later: asyncio.Task[RestAnswer] | None = None
        self._behind: deque[_Request] = deque()

    # --- the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._aws.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._aws.connections.discard(self)
        self._behind.clear()
        if self._parked is not None and not self._aws.abandoned_polls_take:
            self._parked.cancel()
        self._parked = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.abort()
        except httptools.HttpParserError:
            self._last = True
            self._write(AwsError("MalformedHttpRequestException", "This is not an HTTP request.", 400))

    def abort(self) -> None:
        """Closes without an answer."""
        self._transport.abort()

    # --- the parser ---

    def on_message_begin(self) -> None:
        self._url, self._target, self._headers, self._body, self._size = b"", b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if len(name) == 12 and name.lower() == b"x-amz-target":
            self._target = value
        elif len(name) == 6 and name.lower() == b"expect" and not self._busy:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= _LARGEST_BODY:
            self._body.append(body)

    def on_message_complete(self) -> None:
        body = None if self._size > _LARGEST_BODY else b"".join(self._body)
        method, keep_alive = self._parser.get_method(), self._parser.should_keep_alive()
        request = _Request(method, self._url, self._target, self._headers, body, keep_alive)
        if self._busy:
            self._behind.append(request)
        else:
            self._handle(request)

    # --- requests ---

    def _handle(self, request: _Request) -> None:
        self._busy = True
        self._last = not request.keep_alive
        if request.body is None:
            self._last = True
            self._write(AwsError("RequestEntityTooLargeException", "The request is longer than 16 MiB.", 413))
            return
        if not request.target:
            self._handle_rest(request, request.body)
            return
        prefix, _, operation = request.target.decode("latin-1").partition(".")
        service = self._aws.services.get(prefix)
        if service is None:
            known = ", ".join(self._aws.services)
            text = f"The embedded AWS has no service {prefix}; it has {known}."
            self._write(AwsError("UnknownOperationException", text))
            return
        try:
            fields = orjson.loads(request.body) if request.body else {}
        except orjson.JSONDecodeError:
            fields = None
        if not isinstance(fields, dict):
            self._write(AwsError("SerializationException", "The body is not a JSON object."))
            return
        parked = service.call(operation, fields, self._answer)
        if parked is not None:  # else it is answered, and what was sent behind it may be parked by now
            self._parked = parked

    def _handle_rest(self, request: _Request, body: bytes) -> None:
        if request.method == b"GET" and request.url == b"/" and b"authorization" not in _names(request.headers):
            self._write({"status": "running"})
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers}
        answer = self._aws.rest.handle(request.method.decode(), request.url.decode("latin-1"), headers, body)
        match answer:
            case None:
                pass  # nor is anything that was sent behind it
            case Dropped():
                self.abort()
            case asyncio.Task():
                self._later = answer  # the event loop keeps none alive by itself
                answer.add_done_callback(self._answer_late)
            case (status, told, payload):
                self._send(self._aws.rest_head(status, len(payload), told) + payload)

    def _answer_late(self, task: asyncio.Task[RestAnswer]) -> None:
        self._later = None
        if task.cancelled():
            self.abort()
        else:
            status, told, payload = task.result()
            self._send(self._aws.rest_head(status, len(payload), told) + payload)

    def _answer(self, answer: Answer) -> None:
        self._parked = None
        match answer:
            case Dropped():
                self.abort()
            case _:
                self._write(answer)

    def _write(self, answer: JsonObject | AwsError) -> None:
        if isinstance(answer, AwsError):
            payload = orjson.dumps({"__type": answer.type, "message": answer.message})
            head = self._aws.head(answer.status, len(payload), answer)
        else:
            payload = orjson.dumps(answer)
            head = self._aws.head(200, len(payload), None)
        self._send(head + payload)

    def _send(self, answer: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(answer)
        self._busy = False
        if self._last:
            self._transport.close()
        elif self._behind:
            self._handle(self._behind.popleft())


def _names(headers: list[tuple[bytes, bytes]]) -> set[bytes]:
    return {name.lower() for name, _ in headers}
